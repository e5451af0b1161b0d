"""`dlc run`: a model's outputs for inputs from files or from the command line."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import click

from dlc.grammar.suggest import nearest
from dlc.runtime.cli.arrays import packed, plain, shown
from dlc.runtime.cli.options import Pair, json_option
from dlc.runtime.cli.output import write_bytes, write_json

if TYPE_CHECKING:
    import numpy as np

    from dlc.runtime.infer.session import Session

    Array = np.ndarray[Any, Any]

_FORMATS = (".npz", ".npy")


@click.command("run", short_help="Run a model on inputs in onnxruntime.")
@click.argument("model", metavar="MODEL.onnx|RUN")
@click.option(
    "--in",
    "inputs",
    type=Pair(example="image=digit.png"),
    multiple=True,
    help="An input: a .npy, .npz, .csv, .txt, .png or .jpg file, or numbers such as [[1, 2]].",
)
@click.option("--model", "name", metavar="NAME", help="Of a run with several instances, the one to run.")
@click.option("-o", "output", metavar="OUT.npz", help="The file to write: .npz, or .npy for a single output.")
@json_option("Print the outputs as JSON.")
def command(
    model: str, inputs: tuple[tuple[str, str], ...], name: str | None, output: str | None, as_json: bool
) -> None:
    """Run a model on inputs in onnxruntime, checked against its own types, and print or store its outputs."""
    if output is not None and Path(output).suffix not in _FORMATS:
        raise click.UsageError(f"{output}: outputs are written to {' or '.join(_FORMATS)}")
    with _opened(model, name) as session:
        results = session.call(_read(session, inputs))
    if output is not None:
        write_bytes(packed(results, output), output)
    elif as_json:
        write_json({name: plain(array) for name, array in results.items()})
    else:
        click.echo("\n\n".join(shown(name, array) for name, array in results.items()))


@contextmanager
def _opened(place: str, name: str | None) -> Generator[Session]:
    """The session of an exported model, or of one that is exported from a run for as long as it is needed."""
    from dlc.runtime.infer.session import Session

    if not Path(place).is_dir():
        yield Session(place)
        return
    from dlc.compiler.onnx.emit import save_model
    from dlc.runtime.build import onnx_model
    from dlc.runtime.train.run import Run
    from dlc.runtime.trained import trained_model

    trained = trained_model(Run.open(place), name)
    with TemporaryDirectory(prefix="dlc-") as folder:
        path = Path(folder) / "model.onnx"
        save_model(onnx_model(trained.model, trained.weights), path)
        yield Session(path)


def _read(session: Session, inputs: tuple[tuple[str, str], ...]) -> dict[str, Array]:
    from dlc.runtime.infer.inputs import read_input

    ports = {port.name: port for port in session.inputs}
    arrays: dict[str, Array] = {}
    for name, text in inputs:
        if name not in ports:
            near = nearest(name, ports)
            hint = f"did you mean `{near}`?" if near else f"it has {', '.join(map(str, ports)) or 'none'}"
            raise click.UsageError(f"{session.name} has no input `{name}`; {hint}")
        arrays[name] = read_input(text, ports[name])
    return arrays
