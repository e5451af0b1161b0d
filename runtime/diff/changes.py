"""A change in words: what it is about, and what was and is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from dlc.runtime.mapping.pattern import generalised


@dataclass(frozen=True, slots=True)
class Change:
    """area: structure, shapes, weights, costs, data, objective, or results. what: of which model, block or setting it
    is. before, after: as the spec says it; none for what was not there, or is not there any more."""

    area: str
    what: str
    before: str | None
    after: str | None

    def __str__(self) -> str:
        if self.before is None:
            return f"{self.what}: + {self.after}"
        if self.after is None:
            return f"{self.what}: - {self.before}"
        return f"{self.what}: {self.before} -> {self.after}"

    def document(self) -> dict[str, Any]:
        return {"area": self.area, "what": self.what, "before": self.before, "after": self.after}


def compared(area: str, what: str, before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[Change]:
    """Entries by name that were added, removed or changed."""
    for name in dict.fromkeys([*before, *after]):
        old, new = before.get(name), after.get(name)
        if old != new:
            yield Change(area, f"{what}{name}", old, new)


def grouped(changes: Iterable[Change]) -> list[tuple[Change, int]]:
    """Changes that differ in numbers within names alone, as one with how many they are."""
    groups: dict[tuple[str, str, str | None, str | None], list[Change]] = {}
    for change in changes:
        key = (change.area, generalised(change.what), change.before, change.after)
        groups.setdefault(key, []).append(change)
    return [(group[0], len(group)) for group in groups.values()]
