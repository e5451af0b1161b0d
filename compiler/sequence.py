"""Sequential depth: the longest chain of operations that must run one after another."""

from __future__ import annotations

from collections.abc import Mapping

from dlc.compiler.calls import callees_first
from dlc.compiler.dim import Dim
from dlc.compiler.graph import Call, Functional, Graph, Loop, Node, Value
from dlc.compiler.op import Op

_NONE = Dim.of(0)


def sequential_depth(graph: Graph) -> Dim:
    """The most operations with multiply-adds on one way through a graph, a recurrent layer counted for each step.

    A block counts by its own longest way, whichever input it starts at.
    """
    depths: dict[Graph, Dim] = {}
    for each in callees_first([graph]):
        depths[each] = _longest(each, depths)
    return depths[graph]


def _longest(graph: Graph, depths: Mapping[Graph, Dim], start: Mapping[Value, Dim] | None = None) -> Dim:
    at: dict[Value, Dim] = dict(start or {})
    for node in graph.nodes:
        before = _NONE
        for value in node.values:
            before = _greater(before, at.get(value, _NONE))
        after = before + _own(node, depths)
        at.update((output, after) for output in node.outputs)
    longest = _NONE
    for value in graph.outputs:
        longest = _greater(longest, at.get(value, _NONE))
    return longest


def _own(node: Node, depths: Mapping[Graph, Dim]) -> Dim:
    match node.action:
        case Call(graph=callee) | Functional(graph=callee):
            return depths[callee]
        case Loop() as loop:
            return _longest(loop.body, depths) * loop.turns
        case Op() as op:
            return _NONE if op.macs(*node.operand_types) == 0 else op.steps(*node.operand_types)
        case _:
            return _NONE


def _greater(one: Dim, other: Dim) -> Dim:
    if one.is_constant and other.is_constant:
        return one if int(one) >= int(other) else other
    return Dim.maximum(one, other)
