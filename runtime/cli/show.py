"""`dlc show`: the summary of models, and of what a training changes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import click

from dlc.runtime.cli.options import SELECTION, Selection, choose, json_option, overrides_option
from dlc.runtime.cli.output import write_bytes, write_json
from dlc.runtime.show import summary, training
from dlc.runtime.spec import read_checked

_PICTURES = (".svg", ".png", ".html", ".mmd")


@click.command("show", short_help="Summarise models: layers, shapes, weights, costs.")
@click.argument("selection", type=SELECTION, metavar="FILE[:NAME]")
@click.option("--depth", type=click.IntRange(min=1), default=1, help="Open blocks down to this many levels.")
@click.option("--picture", metavar="OUT", help="Draw the network: a .svg, .png, .html or .mmd (Mermaid).")
@overrides_option
@json_option("Print inputs, outputs, weights and layers as JSON.")
def command(selection: Selection, depth: int, picture: str | None, overrides: Mapping[str, str], as_json: bool) -> None:
    """Summarise the models of a spec: for each layer its output, its weights and biases, its multiply-adds, the bytes
    that training keeps of it, and how much of the input it sees.

    What depends on an open dimension is shown as an expression of it; --set N=1 puts a number in its place. Of a train
    block, which loss of a step reaches which weights, and which it updates.
    """
    if picture is not None and Path(picture).suffix not in _PICTURES:
        raise click.UsageError(f"{picture}: a picture is one of {', '.join(_PICTURES)}")
    program = read_checked(selection.path, overrides)
    if picture is not None:
        from dlc.runtime.picture.draw import draw

        model = choose(program.models, selection, "model")
        write_bytes(draw(model, Path(picture).suffix, depth), picture)
        click.echo(picture)
        return
    if selection.name is not None and selection.name in program.trains and selection.name not in program.models:
        train = program.trains[selection.name]
        if as_json:
            write_json(training.document(train))
        else:
            click.echo(training.table(train))
        return
    if selection.name is None and program.models:
        models = list(program.models.values())
    else:
        models = [choose(program.models, selection, "model")]
    if as_json:
        write_json(summary.document(models, depth))
    else:
        click.echo("\n\n".join(summary.table(model, depth) for model in models))
