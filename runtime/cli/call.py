"""`dlc call`: runs a procedure of a run with its weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dlc.runtime.cli.arrays import packed, plain, shown
from dlc.runtime.cli.options import json_option
from dlc.runtime.cli.output import write_bytes, write_json

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

_FORMATS = (".npz", ".npy", ".png")


@click.command(
    "call", short_help="Run a procedure of a run, such as sampling.", context_settings={"ignore_unknown_options": True}
)
@click.argument("run", metavar="RUN")
@click.argument("procedure", metavar="PROCEDURE", required=False)
@click.argument("values", metavar="[--NAME VALUE]...", nargs=-1, type=click.UNPROCESSED)
@click.option("-o", "output", metavar="OUT", help="The file to write: .npz, .npy, or .png for images.")
@click.option("--seed", type=click.IntRange(min=0), default=0, help="Of what the procedure draws.")
@click.option("--device", metavar="NAME", help="As PyTorch names it; the accelerator by default, if there is one.")
@json_option("Print the results as JSON.")
def command(
    run: str,
    procedure: str | None,
    values: Sequence[str],
    output: str | None,
    seed: int,
    device: str | None,
    as_json: bool,
) -> None:
    """Run a procedure of a run's train block, such as `sample(n = 16):`, with the weights that it was trained to.

    --NAME VALUE gives a parameter of the procedure: a value as a spec writes it, or, for a tensor, numbers such as
    [[1, 2]] or a .npy, .npz, .csv, .txt, .png or .jpg file. Without a procedure, those that there are are listed.
    """
    from dlc.runtime.procedures import call, choose_procedure, parameters, ports
    from dlc.runtime.train.run import Run
    from dlc.runtime.wording import texts

    opened = Run.open(run)
    if procedure is None:
        if not opened.spec.procedures:
            raise click.UsageError(f"{run} has no procedures")
        click.echo("\n".join(f"{name}({', '.join(parameters(opened, name))})" for name in opened.spec.procedures))
        return
    if output is not None and Path(output).suffix not in _FORMATS:
        raise click.UsageError(f"{output}: results are written to {', '.join(_FORMATS[:-1])} or {_FORMATS[-1]}")
    given = _pairs(values)
    parameters(opened, procedure)  # which refuses a name that there is not
    tensors = ports(opened.spec.procedures[procedure])
    chosen = choose_procedure(opened, procedure, {name: text for name, text in given.items() if name not in tensors})
    arrays = _read({name: text for name, text in given.items() if name in tensors}, ports(chosen.procedure))
    results = call(chosen, arrays, seed=seed, device=device)
    if output is not None:
        write_bytes(_written(results, output), output)
    elif as_json:
        write_json({name: plain(array) for name, array in results.items()})
    else:
        types = dict(zip(chosen.procedure.graph.output_names, chosen.procedure.graph.outputs, strict=True))
        for place, (name, array) in enumerate(results.items()):
            said = [f"{line!r}" for line in texts(chosen.spec.data, types[name].type, array)]
            click.echo("\n".join([*([""] if place else []), shown(name, array), *said]))


def _pairs(values: Sequence[str]) -> dict[str, str]:
    """The parameters by name, from `--name value` and `--name=value`."""
    given: dict[str, str] = {}
    rest = list(values)
    while rest:
        name, equal, value = rest.pop(0).partition("=")
        if not name.startswith("--") or len(name) < 3:
            raise click.UsageError(f"{name}: a parameter is given as --name value")
        if not equal:
            if not rest:
                raise click.UsageError(f"{name}: its value is missing")
            value = rest.pop(0)
        given[name.removeprefix("--").replace("-", "_")] = value
    return given


def _read(texts: Mapping[str, str], tensors: Mapping[str, Any]) -> dict[str, Array]:
    from dlc.runtime.infer.inputs import read_input

    return {name: read_input(text, tensors[name]) for name, text in texts.items()}


def _written(results: Mapping[str, Array], output: str) -> bytes:
    from dlc.runtime.infer.pictures import is_images, picture

    if not output.endswith(".png"):
        return packed(results, output)
    images = {name: array for name, array in results.items() if is_images(array)}
    if len(images) != 1:
        told = ", ".join(f"{name}: {array.dtype}{list(array.shape)}" for name, array in results.items())
        raise click.UsageError(f"{output}: a picture is of one result float[n, 1 or 3, h, w], and there is {told}")
    return picture(next(iter(images.values())))
