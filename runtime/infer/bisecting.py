"""The operation from which on an export differs from PyTorch, found by halving the graph."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from dlc.compiler.graph import Graph, Node, Value
from dlc.compiler.onnx.emit import build_model, save_model
from dlc.grammar.diagnostics import Refusal
from dlc.runtime.infer.errors import RunFailed
from dlc.runtime.infer.reference import PyTorch, distance

Array = np.ndarray[Any, Any]


def first_difference(
    graph: Graph, weights: Mapping[str, Array], inputs: Mapping[str, Array], tolerance: float, newest: int
) -> Node | None:
    """The first node of a flat graph after which onnxruntime and PyTorch differ, found by halving.

    The graph is cut after a node, a loop being one, and what is alive there is compared; few outputs are added, since
    they keep onnxruntime from the very fusions that may be at fault. newest: the newest opset that the parts may need.
    None where the difference is gone when looked at.
    """
    low, high = 0, len(graph.nodes)
    if not _differs_at(graph, high, weights, inputs, tolerance, newest):
        return None
    while high - low > 1:
        middle = (low + high) // 2
        if _differs_at(graph, middle, weights, inputs, tolerance, newest):
            high = middle
        else:
            low = middle
    return graph.nodes[high - 1]


def _differs_at(
    graph: Graph, cut: int, weights: Mapping[str, Array], inputs: Mapping[str, Array], tolerance: float, newest: int
) -> bool:
    alive = list(_alive(graph, cut))
    if not alive:
        return False
    names = tuple(f"alive_{place}" for place in range(len(alive)))
    part = replace(graph, nodes=graph.nodes[:cut], outputs=tuple(alive), output_names=names, checks=[])
    expected = PyTorch(part, weights)(inputs)
    try:
        actual = _run(part, weights, inputs, newest)
    except Refusal as refusal:
        if not all(isinstance(diagnostic, RunFailed) for diagnostic in refusal.diagnostics):
            raise
        return True
    return any(distance(actual[name], expected[name])[1] > tolerance for name in names)


def _run(graph: Graph, weights: Mapping[str, Array], inputs: Mapping[str, Array], newest: int) -> dict[str, Array]:
    from dlc.runtime.infer.session import Session

    with TemporaryDirectory(prefix="dlc-") as folder:
        path = Path(folder) / "part.onnx"
        save_model(build_model(graph, weights, newest), path)
        return Session(path, trusted=True).call(inputs)  # what would end this process has ended the comparison


def _alive(graph: Graph, cut: int) -> Iterator[Value]:
    """The values made before the cut that are needed behind it."""
    needed = {value for node in graph.nodes[cut:] for value in node.values} | set(graph.outputs)
    for node in graph.nodes[:cut]:
        yield from (output for output in node.outputs if output in needed)
