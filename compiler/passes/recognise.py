"""Finds standard recurrences among loops by what they compute, whatever their parts are called.

A gated recurrent unit is a blend of the state and a candidate, h' = z h + (1 - z) n, whose gates are sigmoids of
products of the input and the state, and whose reset gate acts before or behind the candidate's matrix. Gates that
weigh the candidate instead are 1 - z, a sigmoid of the opposite. Cho et al., 2014; the names are ONNX's.

Long short-term memory carries a cell as well, c' = f c + i g and h' = o tanh(c'), whose gates may see the cell through
peepholes. A simple recurrent network is an activation of one such product.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from dlc.compiler.graph import Graph, Loop, Module, Node, Value
from dlc.compiler.ops.activations import Relu, Tanh
from dlc.compiler.ops.operators import Add, Multiply, Subtract
from dlc.compiler.ops.steps import GruStep, LstmStep, RnnStep, Step
from dlc.compiler.passes.gates import Body, Gate, orders, whole
from dlc.compiler.types import Scalar

_Found = tuple[Step, list[Value], list[tuple[Gate, bool]], list[Value]]
"""A turn, its states, the gates in its order and whether each is the opposite of what it should be, other operands."""


def recognise(graph: Graph) -> Graph:
    """A flat graph whose loops that run a standard recurrence have bodies of that one operation."""
    made: dict[Value, Node] = {}
    nodes: list[Node] = []
    for node in graph.nodes:
        nodes += _found(node, made, graph.modules | graph.borrowed) or [node]
        made.update((output, node) for output in node.outputs)
    return replace(graph, nodes=nodes)


def _found(node: Node, made: Mapping[Value, Node], modules: Mapping[str, Module]) -> list[Node]:
    """The nodes in place of a loop along the first axis; none where it is no standard recurrence."""
    loop = node.action
    if not isinstance(loop, Loop) or loop.sequences == 0 or loop.axis != 0:
        return []
    kinds = {1: (_Gru, _Rnn), 2: (_Lstm,)}.get(loop.carried, ())
    attempts = (list(kind(node, loop, made, modules).nodes_instead()) for kind in kinds)
    return next((found for found in attempts if found), list[Node]())


class _Matching(Body):
    """One loop, compared with the equations of a recurrence."""

    def nodes_instead(self) -> Iterator[Node]:
        """The nodes in place of the loop; none where it is something else."""
        carried = self.loop.body.outputs[: self.loop.carried]
        if any(state.type.rank != 2 or state.type.shape != self.h.type.shape for state in (*self.states, *carried)):
            return
        found = self.equations()
        if found is None:
            return
        step, states, gates, operands = found
        if any(output is not self.after for output in self.loop.body.outputs[self.loop.carried :]):
            return
        weights = self.weights(gates)
        if weights is None:
            return
        x, *matrices = weights
        yield from self.nodes
        yield self.step(x, states, [*matrices, *operands], step)

    @property
    def after(self) -> Value:
        """The next state."""
        return self.loop.body.outputs[self.states.index(self.h)]

    def equations(self) -> _Found | None:
        """What the body is; none where it is something else."""
        raise NotImplementedError


class _Gru(_Matching):
    def equations(self) -> _Found | None:
        blend = self._blend(self.after)
        if blend is None:
            return None
        update, opposite, candidate = blend
        fresh = self._candidate(candidate)
        z = self.gate(update)
        if fresh is None or z is None or z.state is not self.h:
            return None
        reset, n, reset_after = fresh
        r = self.gate(reset)
        if r is None or r.state is not self.h:
            return None
        return GruStep(reset_after=reset_after), [self.h], [(z, opposite), (r, False), (n, False)], []

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


class _Rnn(_Matching):
    def equations(self) -> _Found | None:
        for name, activation in (("tanh", Tanh), ("relu", Relu)):
            gate = self.gate(self.after, activation)
            if gate is not None and gate.state is self.h:
                return RnnStep(activation=name), [self.h], [(gate, False)], []
        return None


class _Lstm(_Matching):
    def equations(self) -> _Found | None:
        one, other = self.states
        for h, c in ((one, other), (other, one)):
            self.h = h
            found = self._of(c)
            if found is not None:
                return found
        return None

    def _of(self, c: Value) -> _Found | None:
        """What the body is if `c` is the cell."""
        new = self.loop.body.outputs[self.states.index(c)]
        for output, squashed in orders(self.apart(self.after, Multiply)):
            o = self.peeking(output, new) if self._is_tanh(squashed, new) else None
            for kept, written in orders(self.apart(new, Add)):
                f, (i, g) = self._keeping(kept, c), self._writing(written, c)
                if o is not None and f is not None and i is not None and g is not None:
                    return self._lstm(c, [i, o, f], g)
        return None

    def _lstm(self, c: Value, peeking: list[tuple[Gate, Value | None]], g: Gate) -> _Found | None:
        gates = [*(gate for gate, _ in peeking), g]
        if any(gate.state is not self.h for gate in gates):
            return None
        vectors = [vector for _, vector in peeking]
        seen = self.peepholes(vectors) if any(vector is not None for vector in vectors) else []
        return LstmStep(), [self.h, c], [(gate, False) for gate in gates], seen

    def _is_tanh(self, value: Value, of: Value) -> bool:
        node = self.inner.get(value)
        return node is not None and isinstance(node.action, Tanh) and node.inputs == (of,)

    def _keeping(self, value: Value, c: Value) -> tuple[Gate, Value | None] | None:
        """The forget gate of f c."""
        for gate, cell in orders(self.apart(value, Multiply)):
            if cell is c:
                return self.peeking(gate, c)
        return None

    def _writing(self, value: Value, c: Value) -> tuple[tuple[Gate, Value | None] | None, Gate | None]:
        """The input gate and the candidate of i g."""
        for gate, candidate in orders(self.apart(value, Multiply)):
            i, g = self.peeking(gate, c), self.gate(candidate, Tanh)
            if i is not None and g is not None:
                return i, g
        return None, None
