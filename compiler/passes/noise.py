"""Makes what is drawn at random an input, so that a graph computes the same wherever it runs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from dlc.compiler.calls import every_node
from dlc.compiler.dim import Dim
from dlc.compiler.graph import Graph, Loop, Node, Value
from dlc.compiler.naming import Names
from dlc.compiler.ops.drawing import Drawing, Given
from dlc.compiler.ops.indexing import Gather, Index
from dlc.compiler.ops.making import Fill
from dlc.compiler.ops.operators import Add
from dlc.compiler.types import DType, Scalar, Tensor
from dlc.grammar.source import Span


def noise_as_inputs(graph: Graph) -> Graph:
    """A flat graph whose random operations are given their noise by inputs, behind its own; `Graph.noise` lists them.

    Each is called after what is drawn: the noise of `x` is `x_noise`. What is drawn in a loop has an axis of turns in
    front, from the first turn to the last, and each turn picks its own; loops within loops have an axis each, the
    outermost first. Operations that draw in training alone are at rest and stay.
    """
    taken = Names([*graph.inputs, *graph.output_names, *graph.weights(), *_values(graph)])
    level = _Level(taken)
    nodes = [each for node in graph.nodes for each in level.rewritten(node)]
    inputs = {str(value.name): value for value in level.noise}
    noise = {name: level.noise[value] for name, value in inputs.items()}
    return replace(graph, inputs=graph.inputs | inputs, nodes=nodes, noise=graph.noise | noise)


def draws(graph: Graph) -> bool:
    """Whether something is drawn in the graph or its loops, by an operation that can be given its noise."""
    return any(isinstance(node.action, Drawing) for node in every_node(graph))


def _values(graph: Graph) -> Iterator[str]:
    for node in every_node(graph):
        bodies = node.action.body.inputs.values() if isinstance(node.action, Loop) else ()
        yield from (str(value.name) for value in (*bodies, *node.outputs))


@dataclass(slots=True)
class _Level:
    """The graph, or the body of a loop, while its nodes are rewritten. noise: what it needs from outside."""

    taken: Names
    noise: dict[Value, str] = field(default_factory=dict[Value, str])

    def rewritten(self, node: Node) -> Iterator[Node]:
        """The nodes in place of one."""
        match node.action:
            case Drawing() as op:
                yield replace(node, action=Given(op=op), inputs=(*node.inputs, self._noise(op, node)))
            case Loop() as loop:
                yield from self._loop(node, loop)
            case _:
                yield node

    def _noise(self, op: Drawing, node: Node) -> Value:
        drawn = op.noise(*node.operand_types)
        value = self._value(drawn.type, node.span, f"{node.outputs[0].name}_noise")
        self.noise[value] = drawn.distribution.value
        return value

    def _value(self, type: Tensor, span: Span, name: str) -> Value:
        return Value(type, span, self.taken.claim(name))

    def _loop(self, node: Node, loop: Loop) -> Iterator[Node]:
        """The loop with a count of its turns among what it carries, by which it picks from the noise of them all."""
        inner = _Level(self.taken)
        nodes = [each for step in loop.body.nodes for each in inner.rewritten(step)]
        if not inner.noise:
            yield node
            return
        span, start = node.span, Fill(shape=(), value=0)
        first = self._value(start.infer(), span, "first")
        turn, following, last = (self._value(Tensor(DType.INT, ()), span, name) for name in ("turn", "turn", "turns"))
        outside = {self._of_all_turns(value, loop): value for value in inner.noise}
        self.noise |= {whole: inner.noise[value] for whole, value in outside.items()}
        picked = [Node(Index(items=(Gather(),)), (whole, turn), (value,), span) for whole, value in outside.items()]
        counted = Node(Add(), (turn, Scalar(Dim.of(1))), (following,), span)
        body = loop.body
        carried = loop.sequences + loop.carried
        yield Node(start, (), (first,), span)
        yield replace(
            node,
            action=replace(
                loop,
                carried=loop.carried + 1,
                body=replace(
                    body,
                    inputs=body.inputs | {str(turn.name): turn},
                    nodes=[*picked, *nodes, counted],
                    outputs=(*body.outputs[: loop.carried], following, *body.outputs[loop.carried :]),
                    output_names=(
                        *body.output_names[: loop.carried],
                        str(following.name),
                        *body.output_names[loop.carried :],
                    ),
                ),
            ),
            inputs=(*node.inputs[:carried], first, *node.inputs[carried:], *outside),
            outputs=(*node.outputs[: loop.carried], last, *node.outputs[loop.carried :]),
        )

    def _of_all_turns(self, value: Value, loop: Loop) -> Value:
        """The noise of all turns. It takes over the name, which is the input's in the end."""
        whole = Value(value.type.reshaped((loop.turns, *value.type.shape)), value.span, value.name)
        value.name = self.taken.claim(str(value.name))
        return whole
