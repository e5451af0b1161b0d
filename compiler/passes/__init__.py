"""Rewrites of graphs: functions from graph to graph that leave the graph they are given as it is."""

from __future__ import annotations

from collections.abc import Callable

from dlc.compiler.graph import Graph
from dlc.compiler.passes.inline import inline
from dlc.compiler.passes.prune import prune

Pass = Callable[[Graph], Graph]

EXPORT: tuple[Pass, ...] = (inline, prune)
"""What a graph goes through before it is written as one flat graph, in this order."""


def run(passes: tuple[Pass, ...], graph: Graph) -> Graph:
    """The graph after all passes, one after the other."""
    for rewrite in passes:
        graph = rewrite(graph)
    return graph
