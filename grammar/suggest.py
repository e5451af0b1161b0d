"""The nearest name, for "did you mean"."""

from __future__ import annotations

from collections.abc import Iterable

# An edit costs two, another case of the same letter one.
_EDIT = 2
_CASE = 1
_LONGEST = 80


def nearest(name: str, candidates: Iterable[str]) -> str | None:
    """The candidate fewest edits away: within a third of the name's length, at least one.

    Edits are insertions, deletions, substitutions and swaps of neighbours (Damerau, "A technique for computer detection
    and correction of spelling errors", 1964, each place edited once); a change of case is half of one, and however
    many letters differ in case alone, the candidate is near. A word that shares no letter is never near. Of several
    equally near the first in the alphabet.
    """
    if not name or len(name) > _LONGEST:
        return None
    limit = _EDIT * max(1, len(name) // 3)
    best: tuple[int, str] | None = None
    for candidate in candidates:
        if candidate == name or abs(len(candidate) - len(name)) * _EDIT > limit:
            continue
        cost = _CASE if candidate.casefold() == name.casefold() else distance(name, candidate)
        if cost <= min(limit, _EDIT * len(name) - 1) and (best is None or (cost, candidate) < best):
            best = cost, candidate
    return best[1] if best else None


def distance(a: str, b: str) -> int:
    """Twice the number of edits from one word to the other, a change of case counting one."""
    before: list[int] = []
    row = [_EDIT * column for column in range(len(b) + 1)]
    for i, letter in enumerate(a):
        before, above = row, before
        row = [_EDIT * (i + 1)]
        for j, other in enumerate(b):
            cost = min(before[j + 1] + _EDIT, row[j] + _EDIT, before[j] + _substitution(letter, other))
            if i and j and letter == b[j - 1] and a[i - 1] == other and letter != other:
                cost = min(cost, above[j - 1] + _EDIT)
            row.append(cost)
    return row[-1]


def _substitution(a: str, b: str) -> int:
    if a == b:
        return 0
    return _CASE if a.casefold() == b.casefold() else _EDIT
