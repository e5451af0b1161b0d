"""Numbers as 8-bit integers: the steps between levels, and the nearest levels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

_LARGEST = 127


def scales(array: Array, axis: int) -> Array:
    """The step between two neighbouring integers for each index of an axis: a 127th of the largest magnitude."""
    import numpy as np

    others = tuple(each for each in range(array.ndim) if each != axis)
    largest = np.abs(array).max(axis=others)
    return np.where(largest > 0, largest / _LARGEST, 1).astype(np.float32)


def quantised(array: Array, axis: int) -> Array:
    """The nearest integers, in steps of `scales`."""
    import numpy as np

    steps = scales(array, axis).reshape([-1 if each == axis else 1 for each in range(array.ndim)])
    return np.clip(np.rint(array / steps), -_LARGEST, _LARGEST).astype(np.int8)


def levels(least: float, greatest: float) -> tuple[float, int]:
    """The step of 256 levels from the least to the greatest number, zero being one of them, and which one."""
    least, greatest = min(least, 0.0), max(greatest, 0.0)
    step = (greatest - least) / 255
    if step == 0:
        return 1.0, 0
    return step, min(255, max(0, round(-least / step)))
