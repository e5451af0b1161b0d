"""Finds statements that repeat themselves over the items of a list, and writes them as a loop."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from dlc.compiler.torch.draft import ITEM, item
from dlc.compiler.torch.layout import INDENT
from dlc.compiler.torch.names import item_name, unused

_ITEM = re.compile("([^\\W\\d](?:[\\w.]|\ue000\\d+/\\d+\ue001)*)" + ITEM.pattern)
_WORD = re.compile(r"(?<![\w.])[^\W\d]\w*")


def rolled(statements: Sequence[str], taken: Collection[str]) -> list[str]:
    """The statements with every exact repetition over the items of a list as a `for`, inner lists first.

    taken: the names that are in use, which a loop's variable must not be.
    """
    found = list(statements)
    nesting = max((len(ITEM.findall(name)) for text in found for name in _lists(text)), default=0)
    for depth in range(nesting, -1, -1):
        while (shorter := _roll_one(found, depth, taken)) is not None:
            found = shorter
    return found


def _roll_one(statements: list[str], depth: int, taken: Collection[str]) -> list[str] | None:
    for first, second in _neighbours(statements):
        length = second - first
        for start in range(max(0, first - length + 1), first + 1):
            loop = _loop_at(statements, start, length, depth, taken)
            if loop is not None:
                written, end = loop
                return [*statements[:start], *written, *statements[end:]]
    return None


def _neighbours(statements: Sequence[str]) -> list[tuple[int, int]]:
    """The places of statements that use the first item of a list, each with that which then first uses the second."""
    opened: dict[str, int] = {}
    found: dict[tuple[int, int], None] = {}
    for place, text in enumerate(statements):
        for use in _ITEM.finditer(text):
            if use.group(2) == "0":
                opened.setdefault(use.group(1), place)
            elif use.group(2) == "1" and opened.get(use.group(1), place) < place:
                found[opened.pop(use.group(1)), place] = None
    return sorted(found)


def _loop_at(
    statements: list[str], start: int, length: int, depth: int, taken: Collection[str]
) -> tuple[list[str], int] | None:
    """A loop whose turns are `length` statements each, from `start` on, and where it ends."""

    def turn(number: int) -> str:
        at = start + number * length
        return "\n".join(statements[at : at + length])

    lists = {name: count for name, count in _lists(turn(0)).items() if len(ITEM.findall(name)) == depth}
    pattern = _abstract(turn(1), lists, 1) if lists else None
    if pattern is None:
        return None
    first = _abstract(turn(0), lists, 0)
    before = [] if first == pattern else _carried(first, pattern)
    if before is None:
        return None
    turns = 2
    while start + (turns + 1) * length <= len(statements) and _abstract(turn(turns), lists, turns) == pattern:
        turns += 1
    return [*before, _loop(pattern, lists, turns, taken)], start + turns * length


def _lists(text: str) -> dict[str, int]:
    """The lists whose first items a turn uses, each with the number of its items."""
    return {found.group(1): int(found.group(3)) for found in _ITEM.finditer(text) if found.group(2) == "0"}


def _abstract(text: str, lists: dict[str, int], place: int) -> str | None:
    """A turn with a stand-in for the item at this place of each list; none if it does not use them all."""
    for number, (name, count) in enumerate(lists.items()):
        here = name + item(place, count)
        if here not in text:
            return None
        text = text.replace(here, f"__i{number}__")
    return text


def _carried(first: str | None, pattern: str) -> list[str] | None:
    """What is to be bound before the loop so that its first turn is like the others: one name to another."""
    if first is None:
        return None
    here, there = _WORD.findall(first), _WORD.findall(pattern)
    differing = {pair for pair in zip(here, there, strict=False) if pair[0] != pair[1]}
    if len(here) != len(there) or len(differing) != 1:
        return None
    ((old, new),) = differing
    if any(old in _WORD.findall(line.partition(" = ")[0]) for line in first.split("\n") if " = " in line):
        return None
    same = _WORD.sub(lambda word: new if word.group() == old else word.group(), first) == pattern
    return [f"{new} = {old}"] if same and not _reads_first(first, new) else None


def _reads_first(turn: str, name: str) -> bool:
    """Whether a turn reads a name before it binds it."""
    for line in turn.split("\n"):
        targets, bound, value = line.partition(" = ")
        if name in _WORD.findall(value if bound else line):
            return True
        if bound and name in _WORD.findall(targets):
            return False
    return False


def _loop(pattern: str, lists: dict[str, int], turns: int, taken: Collection[str]) -> str:
    names: list[str] = []
    iterated: list[str] = []
    for number, (name, count) in enumerate(lists.items()):
        last = "" if name.endswith("\ue001") else name.rpartition(".")[2]
        names.append(unused(item_name(last), {*taken, *_WORD.findall(pattern), *names}, "_"))
        pattern = pattern.replace(f"__i{number}__", names[-1])
        iterated.append(name if turns == count else f"{name}[:{turns}]")
    over = iterated[0] if len(lists) == 1 else f"zip({', '.join(iterated)}, strict=True)"
    body = "\n".join(INDENT + line for line in pattern.split("\n"))
    return f"for {', '.join(names)} in {over}:\n{body}"
