"""Finds standard recurrences among loops by what they compute, whatever their parts are called.

A gated recurrent unit is a blend of the state and a candidate, h' = z h + (1 - z) n, whose gates are sigmoids of
products of the input and the state, and whose reset gate acts before or behind the candidate's matrix. Gates that
weigh the candidate instead are 1 - z, a sigmoid of the opposite. Cho et al., 2014; the names are ONNX's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from dlc.compiler.dim import Dim
from dlc.compiler.graph import Graph, Loop, Module, Node, Operand, ReadWeight, Value, WeightModule, find_module
from dlc.compiler.op import Op
from dlc.compiler.ops.activations import Sigmoid, Tanh
from dlc.compiler.ops.indexing import Index, Range, SwapLast
from dlc.compiler.ops.joining import Concat, Split
from dlc.compiler.ops.linalg import Matmul
from dlc.compiler.ops.linear import Linear
from dlc.compiler.ops.making import Zeros
from dlc.compiler.ops.operators import Add, Multiply, Negate, Subtract
from dlc.compiler.ops.products import AddMatmul, Affine
from dlc.compiler.ops.steps import GruStep
from dlc.compiler.types import DType, Scalar, Tensor, resolve_axis
from dlc.grammar.source import Span


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


@dataclass(frozen=True, slots=True)
class _Columns:
    """The columns of a matrix, from `start` to before `stop`."""

    value: Value
    start: Dim
    stop: Dim


@dataclass(frozen=True, slots=True)
class _Gate:
    """input: the part of what is walked. state: what is multiplied with the columns of `matrix`. bias: its own."""

    input: _Columns
    state: Value
    matrix: _Columns
    layer: Node | None = None  # the `linear` that the matrix is, in place of one that is a value


@dataclass(eq=False)
class _Matching:
    """One loop, compared with the equations. made: the nodes outside, by their results."""

    node: Node
    action: object
    made: Mapping[Value, Node]
    modules: Mapping[str, Module]
    nodes: list[Node] = field(default_factory=list[Node])

    def __post_init__(self) -> None:
        assert isinstance(self.action, Loop)
        self.loop = self.action
        body = self.loop.body
        self.inner = {output: node for node in body.nodes for output in node.outputs}
        *slices, self.h = body.inputs.values()
        self.walked = dict(zip(slices, self.node.values, strict=False))
        self.width = self.h.type.shape[-1]

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
        z = self._gate(update)
        if fresh is None or z is None or z.state is not self.h:
            return
        reset, n, reset_after = fresh
        r = self._gate(reset)
        if r is None or r.state is not self.h:
            return
        weights = self._weights([(z, opposite), (r, False), (n, False)])
        if weights is None:
            return
        x, *operands = weights
        yield from self.nodes
        yield self._step(x, operands, GruStep(reset_after=reset_after))

    # --- the equations ---

    def _blend(self, value: Value) -> tuple[Value, bool, Value] | None:
        """The gate of h' = z h + (1 - z) n, whether it is 1 - z, and n."""
        match self._apart(value, Add):
            case (left, right):
                pass
            case _:
                return None
        for one, other in ((left, right), (right, left)):
            kept, new = self._apart(one, Multiply), self._apart(other, Multiply)
            for gate, state in _orders(kept):
                for weight, candidate in _orders(new):
                    if state is not self.h:
                        continue
                    if self._is_rest(weight, gate):
                        return gate, False, candidate
                    if self._is_rest(gate, weight):
                        return weight, True, candidate
            for gate, difference in _orders(new):
                match self._apart(difference, Subtract):
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

    def _candidate(self, value: Value) -> tuple[Value, _Gate, bool] | None:
        """The reset gate of a candidate, its products, and whether the gate acts behind the matrix."""
        node = self.inner.get(value)
        if node is None or not isinstance(node.action, Tanh):
            return None
        (sum_,) = node.values
        before = self._product(self._columns(sum_))
        if before is not None:
            for reset, state in _orders(self._apart(before.state, Multiply)):
                if state is self.h:
                    return reset, before, False
            return None
        for known, rest in _orders(self._apart(sum_, Add)):
            for reset, term in _orders(self._apart(rest, Multiply)):
                state = self._of_state(self._columns(term))
                if known in self.walked and state is not None:
                    return reset, replace(state, input=_whole(known)), True
        return None

    def _gate(self, value: Value) -> _Gate | None:
        """The products whose sigmoid a value is, or is a part of."""
        outer = self._columns(value)
        node = self.inner.get(outer.value)
        if node is None or not isinstance(node.action, Sigmoid):
            return None
        (sum_,) = node.values
        if outer.value is value:
            inner = self._columns(sum_)
            known = self._product(inner)
            if known is not None:
                return known
            for slice_, rest in _orders(self._apart(sum_, Add)):
                state = self._of_state(self._columns(rest))
                if slice_ in self.walked and state is not None:
                    return replace(state, input=_whole(slice_))
            return None
        return self._product(replace(outer, value=sum_))

    def _product(self, part: _Columns) -> _Gate | None:
        """Columns of what is walked plus a product."""
        node = self.inner.get(part.value)
        if node is None or not isinstance(node.action, AddMatmul):
            return None
        known, state, matrix = node.values
        if known not in self.walked or matrix in self.inner or known.type.shape != part.value.type.shape:
            return None
        return _Gate(replace(part, value=known), state, replace(part, value=matrix))

    def _of_state(self, part: _Columns) -> _Gate | None:
        """Columns of a product of the state alone. Its `input` is open."""
        node = self.inner.get(part.value)
        match node:
            case Node(action=Linear(), inputs=(Value() as state,)) if state is self.h:
                return _Gate(part, state, part, node)
            case Node(action=Matmul(), inputs=(Value() as state, Value() as matrix)) if (
                state is self.h and matrix not in self.inner and matrix.type.rank == 2
            ):
                return _Gate(part, state, replace(part, value=matrix))
            case _:
                return None

    def _apart(self, value: Value, kind: type[Op]) -> tuple[Value, Value] | None:
        """The operands of a node of that kind, if both are tensors of the state's shape."""
        node = self.inner.get(value)
        if node is None or not isinstance(node.action, kind):
            return None
        match node.inputs:
            case (Value() as left, Value() as right) if left.type.shape == right.type.shape == value.type.shape:
                return left, right
            case _:
                return None

    def _columns(self, value: Value) -> _Columns:
        """What a value is a part of."""
        return _columns(value, self.inner)

    # --- the weights ---

    def _weights(self, gates: list[tuple[_Gate, bool]]) -> list[Value] | None:
        """The input, the matrices and the biases, gates one below the other; opposite ones negated."""
        xs: set[Value] = set()
        inputs: list[Value] = []
        states: list[Value] = []
        biases: list[tuple[Value | None, bool]] = []
        own_biases: list[tuple[Value | None, bool]] = []
        for gate, opposite in gates:
            part = _columns(self.walked[gate.input.value], self.made)
            if gate.input.value.type.shape[-1] != self.width and part.value is not self.walked[gate.input.value]:
                return None
            rows = gate.input if part.value is self.walked[gate.input.value] else part
            layer = self.made.get(part.value)
            if layer is None or not isinstance(layer.action, Affine | Linear) or rows.stop - rows.start != self.width:
                return None
            x, weight, bias = self._layer(layer)
            matrix, own = self._recurrent(gate)
            xs.add(x)
            first, last = rows.start, rows.stop
            inputs.append(self._signed(self._rows(weight, first, last), opposite))
            states.append(self._signed(matrix, opposite))
            known = None if bias is None else self._rows(bias, first, last)
            biases += [(known, opposite)]
            own_biases += [(own, opposite)]
        if len(xs) != 1 or (x := xs.pop()).type.rank != 3:
            return None
        none = self._op(Zeros(shape=(self.width,)))
        both = [none if bias is None else self._signed(bias, opposite) for bias, opposite in (*biases, *own_biases)]
        return [x, self._joined(inputs), self._joined(states), self._joined(both)]

    def _layer(self, node: Node) -> tuple[Value, Value, Value | None]:
        """The input, the matrix and the bias of a layer outside."""
        if isinstance(node.action, Affine):
            x, weight, *bias = node.values
            return x, weight, bias[0] if bias else None
        (x,) = node.values
        assert isinstance(node.action, Linear)
        return x, self._read(f"{node.module}.weight"), self._read(f"{node.module}.bias") if node.action.bias else None

    def _recurrent(self, gate: _Gate) -> tuple[Value, Value | None]:
        """The rows of the matrix that the state is multiplied with, and of the bias behind it."""
        start, stop = gate.matrix.start, gate.matrix.stop
        if gate.layer is None:
            return self._rows(self._op(SwapLast(), gate.matrix.value), start, stop), None
        assert isinstance(gate.layer.action, Linear)
        weight = self._rows(self._read(f"{gate.layer.module}.weight"), start, stop)
        bias = self._read(f"{gate.layer.module}.bias") if gate.layer.action.bias else None
        return weight, None if bias is None else self._rows(bias, start, stop)

    def _read(self, path: str) -> Value:
        module = find_module(self.modules, path)
        assert isinstance(module, WeightModule)
        made = Value(Tensor(module.weight.dtype, module.weight.shape), self.span)
        self.nodes.append(Node(ReadWeight(), (), (made,), self.span, path))
        return made

    def _rows(self, value: Value, start: Dim, stop: Dim) -> Value:
        if start == 0 and stop == value.type.shape[0]:
            return value
        return self._op(Index(items=(Range(start, stop),)), value)

    def _signed(self, value: Value, opposite: bool) -> Value:
        return self._op(Negate(), value) if opposite else value

    def _joined(self, values: list[Value]) -> Value:
        return self._op(Concat(axis=0), *values)

    def _op(self, op: Op, *inputs: Value) -> Value:
        made = Value(op.results(*(value.type for value in inputs))[0], self.span)
        self.nodes.append(Node(op, inputs, (made,), self.span))
        return made

    @property
    def span(self) -> Span:
        return self.node.span

    def _step(self, x: Value, operands: list[Value], op: Op) -> Node:
        """The loop over the input alone, whose body is one operation."""
        loop, body = self.loop, self.loop.body
        name, _ = next(iter(body.inputs.items()))
        slice_ = Value(x.type.reshaped(x.type.shape[1:]), self.span, name)
        after = body.outputs[0]
        inputs: tuple[Operand, ...] = (slice_, self.h, *operands)
        made = replace(
            body,
            inputs={name: slice_, str(self.h.name): self.h},
            nodes=[Node(op, inputs, (after,), self.inner[after].span)],
        )
        first = self.node.inputs[loop.sequences]
        return replace(self.node, action=replace(loop, body=made, sequences=1), inputs=(x, first, *operands))


def _columns(value: Value, made: Mapping[Value, Node]) -> _Columns:
    node = made.get(value)
    if node is None or not isinstance(node.action, Split) or value.type.dtype is not DType.FLOAT:
        return _whole(value)
    (whole,) = node.values
    if resolve_axis(node.action.axis, whole.type.rank) != whole.type.rank - 1:
        return _whole(value)
    start = Dim.of(0)
    for output in node.outputs:
        if output is value:
            return _Columns(whole, start, start + value.type.shape[-1])
        start = start + output.type.shape[-1]
    raise AssertionError("a value is made by its node")


def _whole(value: Value) -> _Columns:
    return _Columns(value, Dim.of(0), value.type.shape[-1])


def _orders(pair: tuple[Value, Value] | None) -> tuple[tuple[Value, Value], ...]:
    return () if pair is None else (pair, (pair[1], pair[0]))
