"""`dlc migrate`: the weights of a run carried to a changed spec."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dlc.runtime.cli.options import SELECTION, Selection, choose, json_option, overrides_option
from dlc.runtime.cli.output import write_json
from dlc.runtime.spec import read_checked

if TYPE_CHECKING:
    from dlc.runtime.migrate.plan import Plan


@click.command("migrate", short_help="Carry the weights of a run to a changed spec.")
@click.argument("run", metavar="RUN")
@click.argument("selection", type=SELECTION, metavar="NEW.dl[:TRAIN]")
@click.option("-o", "output", metavar="RUN2", required=True, help="The folder of the new run.")
@click.option("--map", "mapping", metavar="FILE.map", help="What became of names, as docs/weights.md has it.")
@overrides_option
@json_option("Print what became of each tensor as JSON.")
def command(
    run: str, selection: Selection, output: str, mapping: str | None, overrides: Mapping[str, str], as_json: bool
) -> None:
    """Carry the weights of a run to a changed spec, as a new run.

    A tensor whose name and shape are those of a weight is kept. Every other is named: what a map renames, what is new
    and starts as the spec says, what is dropped. A shape that has changed is an error, unless the map says `initial`.
    The new run is evaluated and exported as any other; `dlc train NEW.dl -o RUN2 --resume` trains it from its first
    step, with an optimiser of its own.
    """
    from dlc.runtime.migrate.carry import document, migrate
    from dlc.runtime.train.run import Run

    old = Run.open(run)
    program = read_checked(selection.path, overrides)
    named = selection
    if selection.name is None and old.config.train in program.trains:
        named = Selection(selection.path, old.config.train)
    spec = choose(program.trains, named, "train block")
    found = migrate(old, program, spec, Path(output), overrides, mapping)
    if as_json:
        write_json({"run": output, **document(found, run)})
    else:
        click.echo(_told(found, output, selection.path))


def _told(found: Plan, output: str, spec: str) -> str:
    lines = [f"{output}: {len(found.kept)} tensors kept as they are"]
    lines += _listed("renamed", [f"{before} -> {after}" for before, after in found.renamed])
    lines += _listed("new, as the spec starts them", found.fresh)
    lines += _listed("dropped", found.dropped)
    lines.append(f"the optimiser starts anew: dlc train {spec} -o {output} --resume")
    return "\n".join(lines)


def _listed(what: str, names: Sequence[str]) -> list[str]:
    return [f"{len(names)} {what}:", *(f"  {name}" for name in names)] if names else []
