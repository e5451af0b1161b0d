"""Weights that no training has touched: drawn as the spec says, the same for the same seed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dlc.compiler.dim import Dim
from dlc.compiler.op import Weight

if TYPE_CHECKING:
    import numpy as np


class OpenWeight(Exception):
    """A weight has a size without a number, so that it cannot be made.

    path: the weight's, or that of the layer which owns it, seen from the block that is written. size: its size.
    """

    def __init__(self, path: str, size: Dim) -> None:
        super().__init__(f"the weight {path} has the size {size}, which has no number")
        self.path = path
        self.size = size


def weight_shape(path: str, weight: Weight) -> tuple[int, ...]:
    """The weight's shape in numbers. Raises OpenWeight where one is missing."""
    for size in weight.shape:
        if not size.is_constant:
            raise OpenWeight(path, size)
    return tuple(map(int, weight.shape))


def draw_weights(weights: Mapping[str, Weight], seed: int) -> dict[str, np.ndarray[Any, Any]]:
    """A value for every weight, by path, `float` in single precision.

    Each depends on the seed and on its own path alone, so that a new weight leaves the others as they were.
    Raises OpenWeight.
    """
    import numpy as np

    from dlc.compiler.onnx.elements import numpy_type

    drawn: dict[str, np.ndarray[Any, Any]] = {}
    for path, weight in weights.items():
        shape = weight_shape(path, weight)
        key = int.from_bytes(hashlib.sha256(path.encode()).digest(), "big")
        values = weight.init.draw(np.random.default_rng([seed, key]), shape)
        drawn[path] = np.ascontiguousarray(values, numpy_type(weight.dtype)).reshape(shape)
    return drawn
