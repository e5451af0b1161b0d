"""Axis patterns, as in `rearrange(x, "n t (h e) -> n h t e", h=8)`: axes named, in groups, before and after.

A side is a list of groups: one name, several in parentheses (an axis that is their product, the last one running
fastest), `1` for an axis of size 1, or `...` for any number of axes. Rogozhnikov, "Einops", 2022.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dlc.compiler.dim import Dim
from dlc.compiler.types import ShapeError, Tensor, axes, product

Group = tuple[str, ...]
"""The names that one axis is made of, none for an axis of size 1."""

_TOKEN = re.compile(r"\s*(->|\.\.\.|[()]|[A-Za-z_][A-Za-z0-9_]*|1(?![0-9])|\S)")
_REST = "..."


@dataclass(frozen=True, slots=True)
class Pattern:
    """Both sides of a pattern whose `...` have been replaced by names of their own."""

    left: tuple[Group, ...]
    right: tuple[Group, ...]

    @property
    def before(self) -> list[str]:
        return [name for group in self.left for name in group]

    @property
    def after(self) -> list[str]:
        return [name for group in self.right for name in group]


def read(text: str, rank: int) -> Pattern:
    """The pattern for a tensor of that rank. Raises ShapeError for one that is malformed or of another rank."""
    left, arrow, right = text.partition("->")
    if not arrow:
        raise ShapeError("pattern", "the pattern has no `->`", help='write both sides, as in "n t d -> n d t"')
    before, after = parse_side(left), parse_side(right)
    for side in (before, after):
        _check_once(side)
    open_before = (_REST,) in before
    if (_REST,) in after and not open_before:
        raise ShapeError("pattern", "`...` stands on the right of the pattern alone")
    missing = rank - len(before) + open_before
    if missing < 0 or (missing and not open_before):
        due = f"{'at least ' if open_before else ''}{axes(len(before) - open_before)}"
        raise ShapeError("pattern", f"the pattern is for {due}, and x has {rank}")
    rest = [(f"...{place}",) for place in range(missing)]
    return Pattern(_fill(before, rest), _fill(after, rest))


def parse_side(text: str) -> tuple[Group, ...]:
    """The groups of one side of a pattern; `...` is a group of that one name."""
    groups: list[Group] = []
    inside: list[str] | None = None
    for token in _TOKEN.findall(text):
        if token == "(" and inside is None:
            inside = []
        elif token == ")" and inside is not None:
            groups.append(tuple(inside))
            inside = None
        elif token == "1":
            groups += [()] if inside is None else []
        elif token == _REST and inside is None:
            groups.append((token,))
        elif token.isidentifier():
            if inside is None:
                groups.append((token,))
            else:
                inside.append(token)
        else:
            raise ShapeError("pattern", f"`{token}` is out of place in the pattern", label="names, (groups), 1, ...")
    if inside is not None:
        raise ShapeError("pattern", "a parenthesis of the pattern is not closed")
    return tuple(groups)


def _check_once(side: tuple[Group, ...]) -> None:
    seen: set[str] = set()
    for name in (name for group in side for name in group):
        if name in seen:
            raise ShapeError("pattern", f"`{name}` stands twice on one side of the pattern")
        seen.add(name)


def _fill(side: tuple[Group, ...], rest: Sequence[Group]) -> tuple[Group, ...]:
    filled: list[Group] = []
    for group in side:
        filled += rest if group == (_REST,) else [group]
    return tuple(filled)


def bind(pattern: Pattern, x: Tensor, given: Mapping[str, Dim]) -> dict[str, Dim]:
    """The size of each name, from the shape and from the sizes that are given. Raises ShapeError."""
    sizes = dict(given)
    for name, size in given.items():
        if name not in pattern.before and name not in pattern.after:
            raise ShapeError(name, f"`{name}` does not occur in the pattern")
        if size.less(0):
            raise ShapeError(name, f"`{name}` is {size}, and a size is not negative")
    for axis, (group, whole) in enumerate(zip(pattern.left, x.shape, strict=True)):
        _bind_group(group, whole, axis, sizes)
    for name in pattern.after:
        if name not in sizes:
            raise ShapeError("pattern", f"the size of `{name}` is not known", help=f"give it, as in {name}=2")
    return sizes


def _bind_group(group: Group, whole: Dim, axis: int, sizes: dict[str, Dim]) -> None:
    unknown = [name for name in group if name not in sizes]
    known = product([sizes[name] for name in group if name in sizes])
    written = " ".join(group) or "1"
    if len(unknown) > 1:
        raise ShapeError(
            "pattern",
            f"axis {axis} is ({written}), and the sizes of {' and '.join(f'`{name}`' for name in unknown)} are unknown",
            help=f"give all but one, as in {unknown[0]}=2",
        )
    if unknown:
        left = whole.divide(known)
        if left is None:
            factors = ", ".join(f"{name} = {sizes[name]}" for name in group if name in sizes)
            raise ShapeError(
                "pattern",
                f"axis {axis} of size {whole} does not divide into ({written})",
                label=f"{factors}: {whole} is not a multiple of {known}",
                sizes=(whole, known),
            )
        sizes[unknown[0]] = left if group[1:] else whole
    elif known != whole:
        raise ShapeError(
            "pattern", f"axis {axis} has size {whole}, and the pattern's `{written}` has {known}", sizes=(whole, known)
        )


def shape(groups: Sequence[Group], sizes: Mapping[str, Dim]) -> tuple[Dim, ...]:
    """The sizes of the axes that these groups stand for."""
    return tuple(sizes[group[0]] if len(group) == 1 else product([sizes[name] for name in group]) for group in groups)
