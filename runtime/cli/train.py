"""`dlc train`: trains a spec, and writes a run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dlc.runtime.cli.options import SELECTION, Selection, choose, json_option, overrides_option
from dlc.runtime.cli.output import write_json

if TYPE_CHECKING:
    from dlc.runtime.train.rehearsal import Proof
    from dlc.runtime.train.run import Run
    from dlc.runtime.train.session import Result

INTERRUPTED = 130


@click.command("train", short_help="Train, and write a run.")
@click.argument("selection", type=SELECTION, metavar="FILE[:TRAIN]")
@click.option("-o", "output", metavar="RUN", help="The run's folder; runs/ and the name of the file by default.")
@click.option("--resume", is_flag=True, help="Go on from the last checkpoint of the run, if it has one.")
@click.option("--force", is_flag=True, help="Go on even with another spec, data or number of processes, if it can be.")
@click.option("--verify-resume", "verify", is_flag=True, help="Train twice, once killed and resumed, and compare.")
@click.option("--epochs", type=click.IntRange(min=1), help="How many in all, in place of what the settings say.")
@click.option("--device", metavar="NAME", help="As PyTorch names it; the accelerator by default, if there is one.")
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
    quiet: bool,
    overrides: Mapping[str, str],
    as_json: bool,
) -> int:
    """Train what a train block of a spec describes, and write a run.

    Ctrl-C stops between two steps and writes a checkpoint; --resume goes on from there to the very same weights as an
    uninterrupted training. --verify-resume proves it: beside the training it runs another, which is killed at a random
    step and gone on with from a checkpoint before that, and compares every bit of what the two end with.
    """
    if force and not resume:
        raise click.UsageError("--force goes on with a run all the same, and so needs --resume")
    if verify and resume:
        raise click.UsageError("--verify-resume starts a new run, and --resume goes on with one")
    from dlc.runtime.train.start import start
    from dlc.runtime.train.trainer import train

    folder = Path(output) if output is not None else default_folder(selection)
    program, spec, run = start(
        selection.path,
        lambda program: choose(program.trains, selection, "train block"),
        folder,
        overrides,
        resume=resume,
        force=force,
        epochs=epochs,
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
    )
    proof = _proof(run, device) if verify and result.finished else None
    if as_json:
        write_json({"run": str(folder), **_document(result), **({"resumed": proof.document()} if proof else {})})
    else:
        click.echo("\n".join([_told(result, folder), *(proof.lines() if proof else ())]))
    return 0 if result.finished else INTERRUPTED


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
