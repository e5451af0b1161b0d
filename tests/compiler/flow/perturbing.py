"""Which elements of a result change when one position along an axis of an input is drawn anew."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from dlc.compiler.dim import Symbol
from dlc.compiler.flow.dependence import Alternative, Outer

Array = np.ndarray[Any, Any]
Run = Callable[[Sequence[Array]], Sequence[Array]]


def changes(
    run: Run, arrays: Sequence[Array], place: int, axis: int, fresh: Array
) -> Iterator[tuple[int, list[Array]]]:
    """For each position along the axis which elements of each result change with it."""
    before = run(arrays)
    for position in range(arrays[place].shape[axis]):
        given = [array.copy() for array in arrays]
        at = (slice(None),) * axis + (position,)
        given[place][at] = fresh[at]
        after = run(given)
        yield position, [differs(old, new) for old, new in zip(before, after, strict=True)]


def differs(old: Array, new: Array) -> Array:
    if old.dtype.kind != "f":
        return old != new
    scale = max(1.0, float(np.nanmax(np.abs(old), initial=0.0, where=np.isfinite(old))))
    return ~np.isclose(old, new, rtol=0, atol=1e-5 * scale, equal_nan=True)


def covers(
    dependence: Sequence[Alternative], element: Sequence[int], position: int, binding: Mapping[Symbol, int]
) -> bool:
    """Whether an element may depend on a position, by what the analysis says."""
    return any(_allows(each, element, position, binding) for each in dependence)


def _allows(each: Alternative, element: Sequence[int], position: int, binding: Mapping[Symbol, int]) -> bool:
    values: dict[Any, int] = {}
    for axis, factors in enumerate(each.layout):
        rest = int(element[axis])
        for place in reversed(range(len(factors))):
            size = factors[place].evaluate(binding)
            values[axis, place] = rest % size
            rest //= size
    for form, most in each.system.items():
        total = sum(
            factor * (position if isinstance(variable, Outer) else values[variable]) for variable, factor in form
        )
        if total > most.evaluate(binding):
            return False
    return True
