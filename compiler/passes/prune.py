"""Drops the nodes whose results nobody needs, in the bodies of loops too."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from dlc.compiler.calls import captured
from dlc.compiler.graph import Graph, Loop, Node, Value


def prune(graph: Graph) -> Graph:
    """The graph with those nodes alone that its outputs depend on; inputs and modules stay as they are.

    A loop keeps what it collects for somebody, what it carries for somebody or for its own next turn, and of the
    sequences that it walks those that are read, one at least.
    """
    needed: set[Value] = set(graph.outputs)
    kept: list[Node] = []
    for node in reversed(graph.nodes):
        if not needed.isdisjoint(node.outputs):
            left = _prune_loop(node, node.action, needed) if isinstance(node.action, Loop) else node
            kept.append(left)
            needed.update(left.values)
    return replace(graph, nodes=kept[::-1])


def _prune_loop(node: Node, loop: Loop, needed: Collection[Value]) -> Node:
    body, places = _prune_body(loop, {place for place, output in enumerate(node.outputs) if output in needed})
    carried = [place for place in places if place < loop.carried]
    read = {value for each in body.nodes for value in each.values} | set(body.outputs)
    parameters = list(body.inputs.items())
    index = parameters[: int(loop.indexed)]
    slices = parameters[len(index) : len(index) + loop.sequences]
    walked = [place for place, (_, value) in enumerate(slices) if value in read] or [0][: loop.sequences]
    states = parameters[len(index) + loop.sequences :]
    kept = [*index, *(slices[place] for place in walked), *(states[place] for place in carried)]
    body = replace(body, inputs=dict(kept))
    first = node.inputs[loop.sequences : loop.sequences + loop.carried]
    inputs = (*(node.inputs[place] for place in walked), *(first[place] for place in carried), *captured(body))
    action = replace(loop, body=body, sequences=len(walked), carried=len(carried))
    return replace(node, action=action, inputs=inputs, outputs=tuple(node.outputs[place] for place in places))


def _prune_body(loop: Loop, wanted: set[int]) -> tuple[Graph, Sequence[int]]:
    """The body with what its wanted outputs depend on, and the places of these and of what is carried for them."""
    body = loop.body
    carried = list(body.inputs.values())[int(loop.indexed) + loop.sequences :]
    while True:
        places = sorted(wanted)
        outputs = tuple(body.outputs[place] for place in places)
        names = tuple(body.output_names[place] for place in places)
        pruned = prune(replace(body, outputs=outputs, output_names=names))
        read = {value for node in pruned.nodes for value in node.values} | set(outputs)
        also = {place for place, value in enumerate(carried) if value in read} - wanted
        if not also:
            return pruned, places
        wanted = wanted | also
