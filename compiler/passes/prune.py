"""Drops the nodes whose results nobody needs."""

from __future__ import annotations

from dataclasses import replace

from dlc.compiler.graph import Graph, Node, Value


def prune(graph: Graph) -> Graph:
    """The graph with those nodes alone that its outputs depend on; inputs and modules stay as they are."""
    needed: set[Value] = set(graph.outputs)
    kept: list[Node] = []
    for node in reversed(graph.nodes):
        if not needed.isdisjoint(node.outputs):
            kept.append(node)
            needed.update(node.values)
    return replace(graph, nodes=kept[::-1])
