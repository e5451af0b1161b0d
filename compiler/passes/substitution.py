"""Values of a graph in the place of others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from dlc.compiler.graph import Graph, Loop, Node, Operand, Value


def substituted(node: Node, values: Mapping[Value, Value]) -> Node:
    """The node with other operands, in the bodies of loops too. It is the same node where nothing changes."""
    inputs = tuple(_operand(operand, values) for operand in node.inputs)
    action = node.action
    if isinstance(action, Loop):
        body = body_with(action.body, values)
        action = action if body is action.body else replace(action, body=body)
    return node if inputs == node.inputs and action is node.action else replace(node, action=action, inputs=inputs)


def body_with(body: Graph, values: Mapping[Value, Value]) -> Graph:
    """The body of a loop that reads other values; the same where it reads none of them."""
    nodes = [substituted(node, values) for node in body.nodes]
    outputs = tuple(values.get(value, value) for value in body.outputs)
    if outputs == body.outputs and all(new is old for new, old in zip(nodes, body.nodes, strict=True)):
        return body
    return replace(body, nodes=nodes, outputs=outputs)


def _operand(operand: Operand, values: Mapping[Value, Value]) -> Operand:
    return values.get(operand, operand) if isinstance(operand, Value) else operand
