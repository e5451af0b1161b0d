"""The rows of the table: a spec, what it is, what it must show, and the function that finds out whether it does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zoo.workshop import Workshop

SPECS = Path(__file__).parents[1] / "specs"

Measure = Callable[["Workshop"], str]


class MissedError(Exception):
    """A spec does not show what it must; the message is what it reached."""


@dataclass(frozen=True)
class Row:
    """A spec of a family. `measure` trains it and gives what it reached, in words; it raises MissedError.

    small: values of `--set` that make it small enough to be tried in seconds. epochs: those of such a trial.
    """

    family: str
    name: str
    what: str
    asked: str
    data: str
    measure: Measure
    small: Mapping[str, Any]
    epochs: int

    @property
    def key(self) -> str:
        return f"{self.family}/{self.name}"

    @property
    def spec(self) -> Path:
        return SPECS / self.family / f"{self.name}.dl"


_ROWS: dict[str, Row] = {}


def row(
    spec: str, *, what: str, asked: str, data: str, small: Mapping[str, Any] | None = None, epochs: int = 2
) -> Callable[[Measure], Measure]:
    """Registers a function as the measure of `family/name`. For the rest see `Row`."""
    family, _, name = spec.partition("/")

    def register(measure: Measure) -> Measure:
        if spec in _ROWS:
            raise ValueError(f"two rows are called {spec}")
        _ROWS[spec] = Row(family, name, what, asked, data, measure, dict(small or {}), epochs)
        return measure

    return register


def rows() -> dict[str, Row]:
    """All rows by `family/name`, families in the order of their modules' names."""
    families = import_module("zoo.families")
    for module in iter_modules(families.__path__):
        import_module(f"zoo.families.{module.name}")
    return _ROWS


def need(held: bool, reached: str) -> str:
    """What was reached, where it is what must be shown. Raises MissedError where it is not."""
    if not held:
        raise MissedError(reached)
    return reached
