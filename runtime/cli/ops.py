"""`dlc ops`: the documentation of the operations, made from their classes."""

from __future__ import annotations

import click

from dlc.compiler.op import Op, operations
from dlc.grammar.suggest import nearest
from dlc.runtime.cli.options import json_option
from dlc.runtime.cli.output import write_json
from dlc.runtime.show import operation


@click.command("ops", short_help="Document the operations.")
@click.argument("name", required=False)
@json_option("Print the documentation as JSON.")
def command(name: str | None, as_json: bool) -> None:
    """Document an operation: what it does, its parameters, its weights, examples. Without a name, list them all."""
    known = {name: op for name, op in operations().items() if not op.hidden}
    chosen = list(known.values()) if name is None else [_find(name, known)]
    if as_json:
        write_json([operation.document(op) for op in chosen])
    elif name is None:
        click.echo(operation.index(chosen))
    else:
        click.echo(operation.page(chosen[0]))


def _find(name: str, known: dict[str, type[Op]]) -> type[Op]:
    if name not in known:
        near = nearest(name, known)
        hint = f"did you mean `{near}`?" if near else "`dlc ops` lists them all"
        raise click.UsageError(f"there is no operation `{name}`; {hint}")
    return known[name]
