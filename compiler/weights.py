"""Weights that no training has touched: drawn as the spec says, the same for the same seed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from dlc.compiler.calls import callees_first, every_node
from dlc.compiler.dim import Dim
from dlc.compiler.graph import Graph
from dlc.compiler.init import Computed
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


def sizes_of(weight: Weight) -> Iterator[Dim]:
    """The sizes that must be numbers before a weight is made: its own, and those of what its start is computed from."""
    yield from weight.shape
    if isinstance(weight.init, Computed):
        for graph in callees_first([weight.init.graph]):
            for node in every_node(graph):
                for output in node.outputs:
                    yield from output.type.shape


def weight_shape(path: str, weight: Weight) -> tuple[int, ...]:
    """The weight's shape in numbers. Raises OpenWeight where one is missing."""
    for size in weight.shape:
        if not size.is_constant:
            raise OpenWeight(path, size)
    return tuple(map(int, weight.shape))


def draw_weights(
    weights: Mapping[str, Weight], seed: int, compute: Callable[[Graph], np.ndarray[Any, Any]] | None = None
) -> dict[str, np.ndarray[Any, Any]]:
    """A value for every weight, by path, `float` in single precision.

    Each depends on the seed and on its own path alone, so that a new weight leaves the others as they were.
    compute: the value of a graph without inputs, for weights that start at one; it may be left out where there are
    none. Raises OpenWeight.
    """
    import numpy as np

    from dlc.compiler.onnx.elements import numpy_type

    drawn: dict[str, np.ndarray[Any, Any]] = {}
    for path, weight in weights.items():
        shape = weight_shape(path, weight)
        key = int.from_bytes(hashlib.sha256(path.encode()).digest(), "big")
        if isinstance(weight.init, Computed):
            if compute is None:
                raise TypeError(f"the weight {path} starts at a computed value, and nothing is given to compute it")
            values = compute(weight.init.graph)
        else:
            values = weight.init.draw(np.random.default_rng([seed, key]), shape)
        drawn[path] = np.ascontiguousarray(values, numpy_type(weight.dtype)).reshape(shape)
    return drawn
