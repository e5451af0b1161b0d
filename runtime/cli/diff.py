"""`dlc diff`: what changed between two specs or runs."""

from __future__ import annotations

from collections.abc import Mapping

import click

from dlc.grammar.diagnostics import Refusal
from dlc.runtime.cli.options import json_option, overrides_option
from dlc.runtime.cli.output import report, write_json

SAME, DIFFERENT, TROUBLE = 0, 1, 2
_SHOWN = 16  # changes of an area


@click.command("diff", short_help="Tell what changed between two specs or runs.")
@click.argument("before", metavar="A")
@click.argument("after", metavar="B")
@overrides_option
@json_option("Print a list of the changes.")
def command(before: str, after: str, overrides: Mapping[str, str], as_json: bool) -> int:
    """Tell what changed between two specs or runs, in the spec's words.

    Structure, shapes, weights, costs, data and objective; of two runs also what they measured last and how far their
    weights moved. Comments, layout and the names of values are no change. Exits as `diff` does: 0 where nothing
    changed, 1 where something did, 2 where A or B cannot be read.
    """
    from dlc.runtime.diff.changes import grouped
    from dlc.runtime.diff.compare import AREAS, changes
    from dlc.runtime.diff.sides import read_side

    try:
        found = changes(read_side(before, overrides), read_side(after, overrides))
    except Refusal as refusal:
        report(refusal.diagnostics)
        return TROUBLE
    if as_json:
        write_json({"same": not found, "changes": [change.document() for change in found]})
        return DIFFERENT if found else SAME
    for area in AREAS:
        groups = grouped(change for change in found if change.area == area)
        if groups:
            click.echo(area)
        for change, count in groups[:_SHOWN]:
            click.echo(f"  {change}" + (f"  (and {count - 1} more like it)" if count > 1 else ""))
        if len(groups) > _SHOWN:
            click.echo(f"  … and {len(groups) - _SHOWN} more, which --json lists")
    return DIFFERENT if found else SAME
