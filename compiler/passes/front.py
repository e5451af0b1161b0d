"""Has loops walk the first axis of what they go along."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from dlc.compiler.graph import Graph, Loop, Node, Value
from dlc.compiler.ops.shape import Permute


def front(graph: Graph) -> Graph:
    """The graph whose loops along other axes find these in front: what they walk is turned before, what they collect
    behind them."""
    return replace(graph, nodes=[each for node in graph.nodes for each in _fronted(node)])


def _fronted(node: Node) -> Iterator[Node]:
    if not isinstance(node.action, Loop):
        yield node
        return
    loop = replace(node.action, body=front(node.action.body))
    if not loop.axis or not loop.sequences:
        yield replace(node, action=loop)
        return
    walked: list[Value] = []
    for sequence in list(node.values)[: loop.sequences]:
        order = (loop.axis, *(axis for axis in range(sequence.type.rank) if axis != loop.axis))
        turned = _permuted(sequence, order)
        walked.extend(turned.outputs)
        yield turned
    collected = [
        Value(value.type.reshaped((loop.turns, *value.type.shape)), result.span)
        for value, result in zip(loop.body.outputs[loop.carried :], node.outputs[loop.carried :], strict=True)
    ]
    yield replace(
        node,
        action=replace(loop, axis=0),
        inputs=(*walked, *node.inputs[loop.sequences :]),
        outputs=(*node.outputs[: loop.carried], *collected),
    )
    for value, result in zip(collected, node.outputs[loop.carried :], strict=True):
        order = (*range(1, loop.axis + 1), 0, *range(loop.axis + 1, value.type.rank))
        yield replace(_permuted(value, order), outputs=(result,))


def _permuted(value: Value, order: tuple[int, ...]) -> Node:
    op = Permute(axes=order)
    return Node(op, (value,), (Value(op.results(value.type)[0], value.span),), value.span)
