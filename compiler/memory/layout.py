"""How a tensor lies in memory, and whether another shape of it is a view: where strides cannot say it, it is copied."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

from dlc.compiler.flow.reading import Flow, Name, Near
from dlc.compiler.types import Tensor

Layout = tuple[int, ...] | None
"""The axes in the order in which they lie in memory, those of size 1 left out; none where there are gaps between
elements, or where they lie on one another."""


def ordered(type: Tensor) -> Layout:
    """The layout of what is made anew."""
    return tuple(axis for axis, size in enumerate(type.shape) if size != 1)


def viewed(before: Tensor, layout: Layout, after: Sequence[Tensor], flows: Sequence[Flow]) -> list[Layout] | None:
    """The layouts of views of a tensor, as an operation with these flows gives them; none where it must copy."""
    layouts: list[Layout] = []
    for type, flow in zip(after, flows, strict=True):
        if not flow.keeps:
            if layout != ordered(before):
                return None
            layouts.append(ordered(type))
            continue
        found = _through(before, layout, flow)
        if found is False:
            return None
        layouts.append(found)
    return layouts


def _through(before: Tensor, layout: Layout, flow: Flow) -> Layout | Literal[False]:
    """The layout of one result, or False where it is no view."""
    reads = flow.reads[0] or ()
    gaps = layout is None
    places: dict[Name, tuple[int, int]] = {}  # of each name: its place in memory, and the axis that it is a part of
    for axis in layout if layout is not None else range(before.rank):
        read = reads[axis]
        names = read if isinstance(read, tuple) else (read.name,) if isinstance(read, Near) else ()
        gaps = gaps or not isinstance(read, tuple)
        for name in names:
            if name is not None and flow.sizes.get(name) != 1:
                places[name] = (len(places), axis)
    starts: list[tuple[int, int]] = []
    for axis, group in enumerate(flow.result):
        names = [name for name in group if flow.sizes[name] != 1]
        known = [places[name] for name in names if name in places]
        spread = len(known) < len(names)
        if spread and len(names) > 1:
            return False
        if any(b != a + 1 for (a, _), (b, _) in pairwise(known)):
            return False
        if gaps and len({axis for _, axis in known}) > 1:
            return False
        gaps = gaps or spread
        if known:
            starts.append((known[0][0], axis))
    return None if gaps else tuple(axis for _, axis in sorted(starts))
