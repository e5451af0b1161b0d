"""Rewrites of graphs: functions from graph to graph that leave the graph they are given as it is."""

from __future__ import annotations

from collections.abc import Callable

from dlc.compiler.graph import Graph
from dlc.compiler.onnx.opset import SINCE
from dlc.compiler.passes.front import front
from dlc.compiler.passes.heads import join_heads
from dlc.compiler.passes.hoist import hoist
from dlc.compiler.passes.inline import inline
from dlc.compiler.passes.label import label
from dlc.compiler.passes.prune import prune
from dlc.compiler.passes.recognise import recognise
from dlc.compiler.passes.separate import separate

Pass = Callable[[Graph], Graph]

LOOPS: tuple[Pass, ...] = (separate, hoist)
"""What each block goes through before it is written as PyTorch, in this order."""

EXPORT: tuple[Pass, ...] = (inline, join_heads, prune, front, *LOOPS, recognise, prune, label)
"""What a graph goes through before it is written as one flat graph, in this order."""


def export(newest: int) -> tuple[Pass, ...]:
    """`EXPORT`, for a model that may use the operators of an opset and of those before it."""
    return EXPORT if newest >= SINCE["Attention"] else tuple(each for each in EXPORT if each is not join_heads)


def run(passes: tuple[Pass, ...], graph: Graph) -> Graph:
    """The graph after all passes, one after the other."""
    for rewrite in passes:
        graph = rewrite(graph)
    return graph
