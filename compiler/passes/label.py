"""Names the values of a flat graph that have none."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from dlc.compiler.calls import every_node
from dlc.compiler.graph import Graph, Loop, Node, Value
from dlc.compiler.naming import Names
from dlc.compiler.op import Op
from dlc.compiler.passes.substitution import substituted


def label(graph: Graph) -> Graph:
    """The graph with a name for every value: one without is called by its module or its operation."""
    names = Names((*graph.inputs, *graph.output_names))
    for node in every_node(graph):
        bodies = node.action.body.inputs.values() if isinstance(node.action, Loop) else ()
        for value in (*node.outputs, *bodies):
            if value.name:
                names.claim(value.name)
    return _labelled(graph, names, {})


def _labelled(graph: Graph, names: Names, called: dict[Value, Value]) -> Graph:
    nodes = list(_nodes(graph.nodes, names, called))
    return replace(graph, nodes=nodes, outputs=tuple(called.get(value, value) for value in graph.outputs))


def _nodes(nodes: Iterable[Node], names: Names, called: dict[Value, Value]) -> Iterable[Node]:
    for node in nodes:
        for output in node.outputs:
            if output.name is None:
                called[output] = replace(output, name=names.claim(_name(node)))
        made = substituted(node, called)
        if isinstance(made.action, Loop):
            made = replace(made, action=replace(made.action, body=_labelled(made.action.body, names, called)))
        yield replace(made, outputs=tuple(called.get(output, output) for output in node.outputs))


def _name(node: Node) -> str:
    return node.module or (node.action.name if isinstance(node.action, Op) else "value")
