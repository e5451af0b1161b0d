"""`dlc fmt`: the canonical layout of specs."""

from __future__ import annotations

from pathlib import Path

import click

from dlc.grammar.diagnostics import Diagnostic, Refusal, Sink
from dlc.grammar.format import format_file
from dlc.grammar.parse import parse
from dlc.grammar.source import Source
from dlc.runtime.cli.output import report, write_bytes
from dlc.runtime.spec import read_tree


@click.command("fmt", short_help="Lay specs out in the canonical way.")
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("--check", is_flag=True, help="Write nothing; exit with 1 if a file would change.")
def command(files: tuple[str, ...], check: bool) -> int:
    """Lay specs out in the canonical way, with their comments; what they say stays the same.

    A file with syntax errors is reported and left as it is.
    """
    found: list[Diagnostic] = []
    changed = 0
    for file in files:
        try:
            changed += _lay_out(file, check)
        except Refusal as refusal:
            found.extend(refusal.diagnostics)
    report(found)
    return 1 if found or (check and changed) else 0


def _lay_out(file: str, check: bool) -> bool:
    """Whether a file changed, or would. Raises Refusal where it cannot be read or written."""
    tree = read_tree(file)
    text = format_file(tree)
    if text.encode() == Path(file).read_bytes():
        return False
    sink = Sink()
    if parse(Source(file, text), sink) != tree or sink:
        raise AssertionError(f"the new layout of {file} does not say the same")
    if not check:
        write_bytes(text.encode(), str(Path(file).resolve()))
    click.echo(f"{file}: {'would change' if check else 'laid out'}")
    return True
