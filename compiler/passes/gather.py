"""Has standard recurrences run as one operation, whose backward gathers the gradients of weights after the loop."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from dlc.compiler.dim import Dim
from dlc.compiler.graph import Graph, Loop, Node, Value
from dlc.compiler.op import Op
from dlc.compiler.ops.indexing import At, Index, Range
from dlc.compiler.ops.sequences import GruStates, LstmStates
from dlc.compiler.ops.steps import GruStep, LstmStep, Step
from dlc.compiler.passes.front import front
from dlc.compiler.passes.hoist import hoist
from dlc.compiler.passes.prune import prune
from dlc.compiler.passes.recognise import recognise
from dlc.compiler.passes.separate import separate


def gather(graph: Graph) -> Graph:
    """The graph whose loops that are gated recurrent units or long short-term memories are operations, for steps whose
    gradients are taken once.

    A graph that has none stays as it is, and so does one with simple recurrent networks beside them.
    """
    if not any(isinstance(node.action, Loop) for node in graph.nodes):
        return graph
    found = recognise(hoist(separate(front(graph))))
    nodes = [each for node in found.nodes for each in _run(node)]
    left = any(_turn(node) is not None for node in nodes)
    if left or not any(isinstance(node.action, GruStates | LstmStates) for node in nodes):
        return graph
    return prune(replace(found, nodes=nodes))


def _turn(node: Node) -> Node | None:
    """The one node of a loop's body, where that is a turn of a standard recurrence."""
    if not isinstance(node.action, Loop) or len(node.action.body.nodes) != 1:
        return None
    (turn,) = node.action.body.nodes
    return turn if isinstance(turn.action, Step) else None


def _run(node: Node) -> Iterator[Node]:
    """A loop that is such a recurrence as one operation, and what it carries and collects as parts of the results;
    else the node."""
    turn, loop = _turn(node), node.action
    if turn is None or not isinstance(loop, Loop) or any(each not in turn.outputs for each in loop.body.outputs):
        yield node
        return
    match turn.action:
        case GruStep(reset_after=reset_after):
            op: Op = GruStates(reset_after=reset_after)
        case LstmStep():
            op = LstmStates()
        case _:
            yield node
            return
    outside = dict(zip(loop.body.inputs.values(), node.values, strict=False))
    inputs = tuple(outside.get(value, value) for value in turn.values)
    states = {
        of: Value(type, node.span)
        for of, type in zip(turn.outputs, op.results(*(value.type for value in inputs)), strict=True)
    }
    yield Node(op, inputs, tuple(states.values()), node.span)
    for place, (result, of) in enumerate(zip(node.outputs, loop.body.outputs, strict=True)):
        part = At(Dim.of(-1)) if place < loop.carried else Range(Dim.of(1))
        yield Node(Index(items=(part,)), (states[of],), (result,), node.span)
