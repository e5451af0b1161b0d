"""`dlc run`: a model's outputs for inputs from files or from the command line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dlc.grammar.suggest import nearest
from dlc.runtime.cli.arrays import packed, plain, shown
from dlc.runtime.cli.engine import engine, engine_options
from dlc.runtime.cli.labels import labelled, read_labels
from dlc.runtime.cli.options import Pair, json_option
from dlc.runtime.cli.output import write_bytes, write_json
from dlc.runtime.cli.results import require_format, write_results

if TYPE_CHECKING:
    import numpy as np

    from dlc.runtime.infer.session import Session

    Array = np.ndarray[Any, Any]

_BATCH = 256
_ARRAYS = (".npz", ".npy")


@click.command("run", short_help="Run a model on inputs in onnxruntime.")
@click.argument("model", metavar="MODEL.onnx|RUN")
@click.option(
    "--in",
    "inputs",
    type=Pair(example="image=digit.png"),
    multiple=True,
    help="An input: a .npy, .npz, .csv, .txt, .png or .jpg file, a folder of images, or numbers such as [[1, 2]].",
)
@click.option("--data", metavar="FILE", help="Of a run: raw data, from which its data block makes the inputs.")
@click.option("--batch", type=click.IntRange(min=1), help="Run so many examples at a time, read as they are needed.")
@click.option("--tuned", is_flag=True, help="Find with the first batch how its size runs fastest.")
@click.option("--labels", metavar="NAMES", help="Names of classes, a line each, or a folder for each: tell the best.")
@click.option("--model", "name", metavar="NAME", help="Of a run with several instances, the one to run.")
@click.option(
    "--provider", default="CPU", metavar="NAME", help="What computes: CPU, CUDA, OpenVINO, …; CPU by default."
)
@engine_options
@click.option("-o", "output", metavar="OUT", help="The file to write: .npz, .npy, .csv, .jsonl, or .png for images.")
@json_option("Print the outputs as JSON.")
def command(
    model: str,
    inputs: tuple[tuple[str, str], ...],
    data: str | None,
    batch: int | None,
    tuned: bool,
    labels: str | None,
    name: str | None,
    provider: str,
    output: str | None,
    as_json: bool,
    **how: Any,
) -> None:
    """Run a model on inputs in onnxruntime, checked against its own types, and print or store its outputs.

    A model's inputs are the fields of its data block. --data FILE makes them from raw data of the same columns, as in
    training, with the statistics that were fitted there.

    A model's file is run in a process of its own, with limits on its memory and time, whatever it says of itself;
    --trust runs it in this one. A run is exported anew, and needs none.
    """
    from dlc.runtime.infer.opening import opened

    if output is not None:
        require_format(output)
    if data is not None and inputs:
        raise click.UsageError("either --data or --in gives the inputs")
    if data is not None and not Path(model).is_dir():
        raise click.UsageError(f"--data needs a run, whose spec tells how inputs are made of data, and {model} is none")
    if tuned and data is None and batch is None:
        raise click.UsageError("--tuned is of batches: say how many examples one has, as in --batch 256")
    with opened(model, name, provider=provider, **engine(model, **how)) as found:
        session = found.session
        if data is not None:
            batches: Iterator[Mapping[str, Array]] = _over_data(session, model, name, data, batch or _BATCH, tuned)
        elif batch is not None:
            batches = _in_batches(session, inputs, batch, tuned)
        else:
            batches = iter([session.call(_read(session, inputs))])
        if labels is not None:
            batches = labelled(batches, read_labels(labels))
        if data is not None or batch is not None:
            _deliver(batches, output, as_json)
        else:
            _deliver_once(next(batches), output, as_json)


def _over_data(
    session: Session, run: str, name: str | None, data: str, batch: int, tuned: bool
) -> Iterator[Mapping[str, Array]]:
    from dlc.runtime.infer.batches import require_batched
    from dlc.runtime.infer.fields import Transformed
    from dlc.runtime.train.run import Run
    from dlc.runtime.trained import choose_instance

    require_batched(session)
    opened = Run.open(run)
    fields = Transformed(opened, choose_instance(opened, name), [port.name for port in session.inputs], data)
    for number, arrays in enumerate(fields.batches(batch)):
        if tuned and not number:
            session.tune(arrays)
        yield session.call(arrays)


def _in_batches(
    session: Session, inputs: Sequence[tuple[str, str]], batch: int, tuned: bool
) -> Iterator[Mapping[str, Array]]:
    from dlc.runtime.infer.batches import in_batches, pieces

    ports = {port.name: port for port in session.inputs}
    named = _named(session, inputs)
    return in_batches(session, {name: pieces(text, ports[name], batch) for name, text in named.items()}, tuned=tuned)


def _read(session: Session, inputs: Sequence[tuple[str, str]]) -> dict[str, Array]:
    from dlc.runtime.infer.inputs import read_input

    ports = {port.name: port for port in session.inputs}
    return {name: read_input(text, ports[name]) for name, text in _named(session, inputs).items()}


def _named(session: Session, inputs: Sequence[tuple[str, str]]) -> dict[str, str]:
    """The inputs by name. UsageError for a name that the model does not have, or that is given twice."""
    names = [port.name for port in session.inputs]
    given: dict[str, str] = {}
    for name, text in inputs:
        if name not in names:
            near = nearest(name, names)
            hint = f"did you mean `{near}`?" if near else f"it has {', '.join(names) or 'none'}"
            raise click.UsageError(f"{session.name} has no input `{name}`; {hint}")
        if name in given:
            raise click.UsageError(f"the input `{name}` is given twice")
        given[name] = text
    return given


def _deliver(batches: Iterator[Mapping[str, Array]], output: str | None, as_json: bool) -> None:
    """Results of one batch after the other: written as they come, or printed once all are there."""
    if output is not None:
        count = write_results(batches, output)
        click.echo(f"{output}: {count:,} examples", err=True)
        return
    import numpy as np

    gathered: dict[str, list[Array]] = {}
    for results in batches:
        for name, array in results.items():
            gathered.setdefault(name, []).append(array)
    _print({name: np.concatenate(arrays) for name, arrays in gathered.items()}, as_json)


def _deliver_once(results: Mapping[str, Array], output: str | None, as_json: bool) -> None:
    if output is None:
        _print(results, as_json)
    elif output.endswith(_ARRAYS):
        write_bytes(packed(results, output), output)
    else:
        write_results(iter([results]), output)


def _print(results: Mapping[str, Array], as_json: bool) -> None:
    if as_json:
        write_json({name: plain(array) for name, array in results.items()})
    else:
        click.echo("\n\n".join(shown(name, array) for name, array in results.items()))
