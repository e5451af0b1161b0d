"""What is compared: a spec, or a run with its own spec, its weights and what it measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dlc.compiler.program import Program
from dlc.runtime.spec import read_checked

if TYPE_CHECKING:
    from dlc.runtime.train.run import Run


@dataclass(frozen=True)
class Side:
    """One of the two."""

    place: str
    program: Program
    run: Run | None


def read_side(place: str, overrides: Mapping[str, str]) -> Side:
    """A run where the path is a folder, else a spec. Raises Refusal."""
    if not Path(place).is_dir():
        return Side(place, read_checked(place, overrides), None)
    from dlc.runtime.train.run import Run

    run = Run.open(place)
    return Side(place, run.program, run)
