"""Has standard recurrences run as one operation, whose backward gathers the gradients of weights after the loop."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from dlc.compiler.dim import Dim
from dlc.compiler.graph import Graph, Loop, Node, Value
from dlc.compiler.op import Op
from dlc.compiler.ops.indexing import At, Index, Range
from dlc.compiler.ops.sequences import GruStates
from dlc.compiler.ops.steps import GruStep
from dlc.compiler.passes.front import front
from dlc.compiler.passes.hoist import hoist
from dlc.compiler.passes.prune import prune
from dlc.compiler.passes.recognise import recognise
from dlc.compiler.passes.separate import separate


def gather(graph: Graph) -> Graph:
    """The graph whose loops that are gated recurrent units are operations, for steps whose gradients are taken once.

    A graph that has none stays as it is, and so does one with other standard recurrences beside them.
    """
    if not any(isinstance(node.action, Loop) for node in graph.nodes):
        return graph
    found = recognise(hoist(separate(front(graph))))
    nodes = [each for node in found.nodes for each in _run(node)]
    if any(_turn(node) is not None for node in nodes) or not any(isinstance(node.action, GruStates) for node in nodes):
        return graph
    return prune(replace(found, nodes=nodes))


def _turn(node: Node) -> Op | None:
    """The one operation that is the body of a loop, where that is a turn of a standard recurrence."""
    if not isinstance(node.action, Loop) or len(node.action.body.nodes) != 1:
        return None
    action = node.action.body.nodes[0].action
    return action if isinstance(action, Op) and type(action).__module__ == GruStep.__module__ else None


def _run(node: Node) -> Iterator[Node]:
    """A loop that is a gated recurrent unit as one operation, and what it carries and collects as parts of the result;
    else the node."""
    turn = _turn(node)
    if not isinstance(turn, GruStep):
        yield node
        return
    op = GruStates(reset_after=turn.reset_after)
    inputs = list(node.values)
    states = Value(op.results(*(value.type for value in inputs))[0], node.span)
    yield Node(op, tuple(inputs), (states,), node.span)
    last, *collected = node.outputs
    yield Node(Index(items=(At(Dim.of(-1)),)), (states,), (last,), node.span)
    for result in collected:
        yield Node(Index(items=(Range(Dim.of(1)),)), (states,), (result,), node.span)
