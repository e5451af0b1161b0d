"""Names: one that is taken already gets a number, from 2 on; an item of a list is called by the singular."""

from __future__ import annotations

import re
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


def singular(name: str) -> str | None:
    """What one item of a list is called: `layers` gives `layer`. None where the name is no plural."""
    if name.endswith("ies") and len(name) > 4:
        return f"{name[:-3]}y"
    if re.search("(ch|sh|ss|x|z)es$", name):
        return name[:-2]
    if name.endswith("s") and not name.endswith("ss") and len(name) > 2:
        return name[:-1]
    return None
