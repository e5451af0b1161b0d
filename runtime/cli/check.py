"""`dlc check`: parses and checks, and imports nothing else."""

from __future__ import annotations

from collections.abc import Mapping

import click

from dlc.grammar.diagnostics import Diagnostic
from dlc.grammar.render import to_json
from dlc.runtime.cli.options import json_option, overrides_option
from dlc.runtime.cli.output import report, write_json
from dlc.runtime.spec import read_spec


@click.command("check", short_help="Parse and check specs.")
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@overrides_option
@json_option("Print a list of the diagnostics.")
def command(files: tuple[str, ...], overrides: Mapping[str, str], as_json: bool) -> int:
    """Parse and check specs, and report every mistake.

    Checks names, types, shapes, training and data; reads the data's types, and trains nothing.
    """
    found: list[Diagnostic] = []
    for file in files:
        _, sink = read_spec(file, overrides)
        found.extend(sink)
        if as_json:
            continue
        if sink:
            report(sink)
        else:
            click.echo(f"{file}: ok")
    if as_json:
        write_json(to_json(found))
    elif found:
        click.echo("\n1 error" if len(found) == 1 else f"\n{len(found)} errors", err=True)
    return 1 if found else 0
