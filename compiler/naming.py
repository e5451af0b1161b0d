"""Names that are taken once: what is taken already gets a number, from 2 on."""

from __future__ import annotations

from collections.abc import Iterable


class Names:
    """The names in use in one scope."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._taken = set(taken)
        self._counts: dict[str, int] = {}

    def claim(self, name: str) -> str:
        """The name, or the first of `name_2`, `name_3`, ... that is free; it is taken from then on."""
        free = name
        count = self._counts.get(name, 1)
        while free in self._taken:
            count += 1
            free = f"{name}_{count}"
        self._counts[name] = count
        self._taken.add(free)
        return free
