"""`dlc train`: trains a spec, and writes a run."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from dlc.grammar.diagnostics import Refusal
from dlc.runtime.cli.options import SELECTION, Selection, choose, json_option, overrides_option
from dlc.runtime.cli.output import write_json

if TYPE_CHECKING:
    from dlc.runtime.train.rehearsal import Proof
    from dlc.runtime.train.run import Run
    from dlc.runtime.train.session import Result
    from dlc.runtime.train.team import Team

INTERRUPTED = 130


@click.command("train", short_help="Train, and write a run.")
@click.argument("selection", type=SELECTION, metavar="FILE[:TRAIN]")
@click.option("-o", "output", metavar="RUN", help="The run's folder; runs/ and the name of the file by default.")
@click.option("--resume", is_flag=True, help="Go on from the last checkpoint of the run, if it has one.")
@click.option("--force", is_flag=True, help="Go on even with another spec or other data, if it can be.")
@click.option("--verify-resume", "verify", is_flag=True, help="Train twice, once killed and resumed, and compare.")
@click.option("--epochs", type=click.IntRange(min=1), help="How many in all, in place of what the settings say.")
@click.option("--device", metavar="NAME", help="As PyTorch names it; the accelerator by default, if there is one.")
@click.option("--devices", type=click.IntRange(min=1), help="Train by so many processes, each with its own device.")
@click.option("--shard", is_flag=True, help="Keep in each process a part of the weights alone, by FSDP.")
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
@overrides_option
@json_option("Print what came of it as JSON, and no progress.")
def command(
    selection: Selection,
    output: str | None,
    resume: bool,
    force: bool,
    verify: bool,
    epochs: int | None,
    device: str | None,
    devices: int | None,
    shard: bool,
    quiet: bool,
    overrides: Mapping[str, str],
    as_json: bool,
) -> int:
    """Train what a train block of a spec describes, and write a run.

    Ctrl-C stops between two steps and writes a checkpoint; --resume goes on from there to the very same weights as an
    uninterrupted training. --verify-resume proves it: beside the training it runs another, which is killed at a random
    step and gone on with from a checkpoint before that, and compares every bit of what the two end with.

    --devices N starts N processes on this machine, which share each batch and come to what one process would; under
    torchrun, on one machine or several, each process finds the others by itself. --shard is for networks that do not
    fit into the memory of one device.
    """
    if force and not resume:
        raise click.UsageError("--force goes on with a run all the same, and so needs --resume")
    if verify and resume:
        raise click.UsageError("--verify-resume starts a new run, and --resume goes on with one")
    several = int(os.environ.get("WORLD_SIZE", "1")) > 1 and "RANK" in os.environ
    if shard and not several and devices in (None, 1):
        raise click.UsageError("--shard divides weights among processes, and so needs --devices, or torchrun")
    if verify and (several or devices not in (None, 1)):
        raise click.UsageError("--verify-resume trains in one process")
    if devices not in (None, 1) and not several:
        from dlc.runtime.train.several.launch import launch

        assert devices is not None
        return launch([sys.executable, "-m", "dlc", *_again()], devices)
    from dlc.runtime.train.start import start
    from dlc.runtime.train.trainer import train

    folder = Path(output) if output is not None else default_folder(selection)

    def go(team: Team, device: str | None) -> tuple[Run, Result]:
        team.shards = shard
        program, spec, run = team.lead(
            lambda: start(
                selection.path,
                lambda program: choose(program.trains, selection, "train block"),
                folder,
                overrides,
                resume=resume or not team.leads,
                force=force,
                epochs=epochs,
            )
        )
        result = train(
            spec,
            program,
            run,
            epochs=epochs,
            resume=resume,
            force=force,
            overrides=overrides,
            quiet=quiet or as_json,
            device=device,
            team=team,
        )
        return run, result

    if several:
        return _in_team(lambda team, device: go(team, device)[1], folder, device, as_json)
    from dlc.runtime.train.team import ALONE

    run, result = go(ALONE, device)
    proof = _proof(run, device) if verify and result.finished else None
    if as_json:
        write_json({"run": str(folder), **_document(result), **({"resumed": proof.document()} if proof else {})})
    else:
        click.echo("\n".join([_told(result, folder), *(proof.lines() if proof else ())]))
    return 0 if result.finished else INTERRUPTED


def _again() -> list[str]:
    """The arguments that this process was called with, as click has read them."""
    context = click.get_current_context()
    selection: Selection = context.params["selection"]
    given = ["train", selection.path if selection.name is None else f"{selection.path}:{selection.name}"]
    for parameter in context.command.params:
        value = context.params.get(parameter.name or "")
        if not isinstance(parameter, click.Option) or parameter.name == "devices" or value in (None, False, {}):
            continue
        option = parameter.opts[-1]
        if parameter.name == "overrides":
            given += [part for name, text in value.items() for part in (option, f"{name}={text}")]
        else:
            given += [option] if value is True else [option, str(value)]
    return given


def _in_team(go: Callable[[Team, str | None], Result], folder: Path, device: str | None, as_json: bool) -> NoReturn:
    """Trains as one of several processes, of which the first tells what came of it."""
    from dlc.runtime.train.several.launch import LAUNCHER, LOST
    from dlc.runtime.train.several.team import LostPeerError, joined_team, leave
    from dlc.runtime.train.trainer import choose_device

    place = choose_device(device)
    if str(place) == "cuda":
        place = choose_device(f"cuda:{os.environ.get('LOCAL_RANK', '0')}")
    try:
        with joined_team(place) as team:
            result = go(team, str(place))
    except LostPeerError as error:
        if LAUNCHER in os.environ:  # which tells of the one that has gone
            leave(LOST)
        from dlc.runtime.errors import ProcessDied

        message = f"process {os.environ['RANK']} has lost another one, and so ends too"
        raise Refusal(ProcessDied(message, None, notes=(str(error),))) from error
    if team.leads and as_json:
        write_json({"run": str(folder), **_document(result)})
    elif team.leads:
        click.echo(_told(result, folder))
    leave(0 if result.finished else INTERRUPTED)


def _proof(run: Run, device: str | None) -> Proof:
    from dlc.runtime.train.rehearsal import rehearse

    return rehearse(run, device=device)


def default_folder(selection: Selection) -> Path:
    """Where a run goes that no folder was named for."""
    stem = Path(selection.path).stem
    return Path("runs") / (stem if selection.name is None else f"{stem}-{selection.name}")


def _document(result: Result) -> dict[str, object]:
    return {
        "finished": result.finished,
        "epochs": result.epochs,
        "steps": result.steps,
        "seconds": round(result.seconds, 3),
        "best": result.best,
        "parts": {part: dict(means) for part, means in result.parts.items()},
    }


def _told(result: Result, folder: Path) -> str:
    if result.finished:
        kept = f", with the weights of epoch {result.best}" if result.best not in (None, result.epochs) else ""
        return f"{folder}: {result.epochs} epochs, {result.steps} steps, {result.seconds:.1f} s{kept}"
    return f"{folder}: stopped after step {result.steps}; --resume goes on from there"
