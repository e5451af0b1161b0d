"""Finds standard recurrences among loops by what they compute, whatever their parts are called.

A gated recurrent unit is a blend of the state and a candidate, h' = z h + (1 - z) n, whose gates are sigmoids of
products of the input and the state, and whose reset gate acts before or behind the candidate's matrix. Gates that
weigh the candidate instead are 1 - z, a sigmoid of the opposite. Cho et al., 2014; the names are ONNX's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from dlc.compiler.graph import Graph, Loop, Node, Value
from dlc.compiler.ops.activations import Tanh
from dlc.compiler.ops.operators import Add, Multiply, Subtract
from dlc.compiler.ops.steps import GruStep
from dlc.compiler.passes.gates import Body, Gate, orders, whole
from dlc.compiler.types import Scalar


def recognise(graph: Graph) -> Graph:
    """A flat graph whose loops that run a gated recurrent unit have bodies of that one operation."""
    made: dict[Value, Node] = {}
    nodes: list[Node] = []
    for node in graph.nodes:
        found = list(_Matching(node, node.action, made, graph.modules | graph.borrowed).gru()) if _fits(node) else []
        nodes += found or [node]
        made.update((output, node) for output in node.outputs)
    return replace(graph, nodes=nodes)


def _fits(node: Node) -> bool:
    loop = node.action
    return isinstance(loop, Loop) and loop.sequences > 0 and loop.carried == 1 and loop.axis == 0


@dataclass(eq=False)
class _Matching(Body):
    """One loop, compared with the equations."""

    def gru(self) -> Iterator[Node]:
        """The nodes in place of the loop; none where it is something else."""
        body = self.loop.body
        after = body.outputs[0]
        if self.h.type.rank != 2 or any(output is not after for output in body.outputs):
            return
        blend = self._blend(after)
        if blend is None:
            return
        update, opposite, candidate = blend
        fresh = self._candidate(candidate)
        z = self.gate(update)
        if fresh is None or z is None or z.state is not self.h:
            return
        reset, n, reset_after = fresh
        r = self.gate(reset)
        if r is None or r.state is not self.h:
            return
        weights = self.weights([(z, opposite), (r, False), (n, False)])
        if weights is None:
            return
        x, *operands = weights
        yield from self.nodes
        yield self.step(x, operands, GruStep(reset_after=reset_after))

    # --- the equations ---

    def _blend(self, value: Value) -> tuple[Value, bool, Value] | None:
        """The gate of h' = z h + (1 - z) n, whether it is 1 - z, and n."""
        match self.apart(value, Add):
            case (left, right):
                pass
            case _:
                return None
        for one, other in ((left, right), (right, left)):
            kept, new = self.apart(one, Multiply), self.apart(other, Multiply)
            for gate, state in orders(kept):
                for weight, candidate in orders(new):
                    if state is not self.h:
                        continue
                    if self._is_rest(weight, gate):
                        return gate, False, candidate
                    if self._is_rest(gate, weight):
                        return weight, True, candidate
            for gate, difference in orders(new):
                match self.apart(difference, Subtract):
                    case (minuend, subtrahend) if subtrahend is one and minuend is self.h:
                        return gate, False, one
                    case (minuend, subtrahend) if subtrahend is one and one is self.h:
                        return gate, True, minuend
                    case _:
                        continue
        return None

    def _is_rest(self, value: Value, gate: Value) -> bool:
        """Whether a value is 1 - gate."""
        node = self.inner.get(value)
        if node is None or not isinstance(node.action, Subtract):
            return False
        one, other = node.inputs
        return isinstance(one, Scalar) and one.value == 1 and other is gate

    def _candidate(self, value: Value) -> tuple[Value, Gate, bool] | None:
        """The reset gate of a candidate, its products, and whether the gate acts behind the matrix."""
        node = self.inner.get(value)
        if node is None or not isinstance(node.action, Tanh):
            return None
        (sum_,) = node.values
        before = self.product(self.columns(sum_))
        if before is not None:
            for reset, state in orders(self.apart(before.state, Multiply)):
                if state is self.h:
                    return reset, before, False
            return None
        for known, rest in orders(self.apart(sum_, Add)):
            for reset, term in orders(self.apart(rest, Multiply)):
                state = self.of_state(self.columns(term))
                if known in self.walked and state is not None:
                    return reset, replace(state, input=whole(known)), True
        return None
