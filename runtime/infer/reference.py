"""What an export is held against: the model in PyTorch, and how far its results lie from it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from dlc.compiler.graph import Graph

if TYPE_CHECKING:
    import torch

Array = np.ndarray[Any, Any]


class PyTorch:
    """The emitted PyTorch of a graph, with weights, in evaluation mode."""

    def __init__(self, graph: Graph, weights: Mapping[str, Array]) -> None:
        import torch

        from dlc.compiler.torch.emit import emit_graph
        from dlc.compiler.torch.names import identifier
        from dlc.runtime.emitted import load_module

        emitted = load_module(graph.name, emit_graph(graph))
        made: torch.nn.Module = getattr(emitted, identifier(graph.name))()
        made.load_state_dict({path: torch.tensor(array) for path, array in weights.items()})
        self._module = made.eval()
        self._names = graph.output_names

    def __call__(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """The outputs by name."""
        import torch

        with torch.no_grad():
            given: Any = self._module(*map(torch.as_tensor, inputs.values()))
        results: list[torch.Tensor] = [*given] if isinstance(given, tuple) else [given]
        return {name: result.detach().numpy() for name, result in zip(self._names, results, strict=True)}


def distance(actual: Array, expected: Array) -> tuple[float, float]:
    """The greatest difference, and that as a part of the largest finite magnitude that is expected.

    Infinite where shapes, element types, or the places of infinities and of what is no number differ.
    """
    if actual.shape != expected.shape or actual.dtype != expected.dtype:
        return np.inf, np.inf
    if actual.size == 0:
        return 0.0, 0.0
    left, right = actual.astype(np.float64), expected.astype(np.float64)
    finite = np.isfinite(right)
    if not np.array_equal(left[~finite], right[~finite], equal_nan=True) or not np.isfinite(left[finite]).all():
        return np.inf, np.inf
    greatest = float(np.abs(left[finite] - right[finite]).max(initial=0.0))
    largest = float(np.abs(right[finite]).max(initial=0.0))
    return greatest, greatest / largest if largest else greatest
