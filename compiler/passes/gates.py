"""The parts of a loop's body that recurrences are made of: products of input and state, what they are multiplied with.

What does not depend on the state has left the loop before, so that a gate is the sum of a part of what is walked, of a
product of the state, and of a multiple of the cell where there is one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from dlc.compiler.dim import Dim
from dlc.compiler.graph import Loop, Module, Node, Operand, ReadWeight, Value, WeightModule, find_module
from dlc.compiler.op import Op
from dlc.compiler.ops.activations import Sigmoid
from dlc.compiler.ops.indexing import Index, Range, SwapLast
from dlc.compiler.ops.joining import Concat, Split
from dlc.compiler.ops.linalg import Matmul
from dlc.compiler.ops.linear import Linear
from dlc.compiler.ops.making import Zeros
from dlc.compiler.ops.operators import Add, Multiply, Negate
from dlc.compiler.ops.products import AddMatmul, Affine
from dlc.compiler.types import DType, Tensor, resolve_axis
from dlc.grammar.source import Span


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns of a matrix, from `start` to before `stop`."""

    value: Value
    start: Dim
    stop: Dim


@dataclass(frozen=True, slots=True)
class Gate:
    """input: the part of what is walked. state: what is multiplied with the columns of `matrix`. bias: its own."""

    input: Columns
    state: Value
    matrix: Columns
    layer: Node | None = None  # the `linear` that the matrix is, in place of one that is a value


@dataclass(eq=False)
class Body:
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
        given = list(body.inputs.values())
        self.states = given[self.loop.sequences :]
        self.h = self.states[0]
        self.walked = dict(zip(given[: self.loop.sequences], self.node.values, strict=False))
        self.width = self.h.type.shape[-1]

    # --- the sums ---

    def gate(self, value: Value, activation: type[Op] = Sigmoid) -> Gate | None:
        """The products whose activation a value is, or is a part of."""
        outer = self.columns(value)
        node = self.inner.get(outer.value)
        if node is None or not isinstance(node.action, activation):
            return None
        (sum_,) = node.values
        return self._both(sum_) if outer.value is value else self.product(replace(outer, value=sum_))

    def peeking(self, value: Value, cell: Value) -> tuple[Gate, Value | None] | None:
        """A gate, and the vector by which the cell is multiplied in its sum, if there is one."""
        plain = self.gate(value)
        if plain is not None:
            return plain, None
        node = self.inner.get(value)
        if node is None or not isinstance(node.action, Sigmoid):
            return None
        (sum_,) = node.values
        for rest, peek in orders(self.apart(sum_, Add)):
            vector, gate = self._factor(peek, cell), self._both(rest)
            if vector is not None and gate is not None:
                return gate, vector
        return None

    def _both(self, sum_: Value) -> Gate | None:
        """What is walked, or a part of it, plus a product of a state."""
        known = self.product(self.columns(sum_))
        if known is not None:
            return known
        for slice_, rest in orders(self.apart(sum_, Add)):
            state = self.of_state(self.columns(rest))
            if slice_ in self.walked and state is not None:
                return replace(state, input=whole(slice_))
        return None

    def _factor(self, value: Value, cell: Value) -> Value | None:
        """The vector of outside by which the cell is multiplied."""
        node = self.inner.get(value)
        if node is None or not isinstance(node.action, Multiply):
            return None
        match node.inputs:
            case (Value() as left, Value() as right) if right is cell or left is cell:
                vector = left if right is cell else right
                return vector if self._is_outside(vector) and vector.type.shape == (self.width,) else None
            case _:
                return None

    def _is_outside(self, value: Value) -> bool:
        return value not in self.inner and value not in self.walked and value not in self.states

    def product(self, part: Columns) -> Gate | None:
        """Columns of what is walked plus a product."""
        node = self.inner.get(part.value)
        if node is None or not isinstance(node.action, AddMatmul):
            return None
        known, state, matrix = node.values
        if known not in self.walked or not self._is_outside(matrix) or known.type.shape != part.value.type.shape:
            return None
        return Gate(replace(part, value=known), state, replace(part, value=matrix))

    def of_state(self, part: Columns) -> Gate | None:
        """Columns of a product of the state alone. Its `input` is open."""
        node = self.inner.get(part.value)
        match node:
            case Node(action=Linear(), inputs=(Value() as state,)) if state is self.h:
                return Gate(part, state, part, node)
            case Node(action=Matmul(), inputs=(Value() as state, Value() as matrix)) if (
                state is self.h and self._is_outside(matrix) and matrix.type.rank == 2
            ):
                return Gate(part, state, replace(part, value=matrix))
            case _:
                return None

    def apart(self, value: Value, kind: type[Op]) -> tuple[Value, Value] | None:
        """The operands of a node of that kind, if both are tensors of the state's shape."""
        node = self.inner.get(value)
        if node is None or not isinstance(node.action, kind):
            return None
        match node.inputs:
            case (Value() as left, Value() as right) if left.type.shape == right.type.shape == value.type.shape:
                return left, right
            case _:
                return None

    def columns(self, value: Value) -> Columns:
        """What a value is a part of."""
        return columns_of(value, self.inner)

    # --- the weights ---

    def weights(self, gates: list[tuple[Gate, bool]]) -> list[Value] | None:
        """The input, the matrices and the biases, gates one below the other; opposite ones negated."""
        xs: set[Value] = set()
        inputs: list[Value] = []
        states: list[Value] = []
        biases: list[tuple[Value | None, bool]] = []
        own_biases: list[tuple[Value | None, bool]] = []
        for gate, opposite in gates:
            part = columns_of(self.walked[gate.input.value], self.made)
            if gate.input.value.type.shape[-1] != self.width and part.value is not self.walked[gate.input.value]:
                return None
            rows = gate.input if part.value is self.walked[gate.input.value] else part
            layer = self._layer(part.value)
            if layer is None or rows.stop - rows.start != self.width:
                return None
            x, weight, bias = layer
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

    def peepholes(self, vectors: list[Value | None]) -> list[Value]:
        """The vectors that the cell is multiplied by, one behind the other, 0 where there is none."""
        none = self._op(Zeros(shape=(self.width,)))
        return [self._joined([none if vector is None else vector for vector in vectors])]

    def _layer(self, value: Value) -> tuple[Value, Value, Value | None] | None:
        """The input, the matrix and the bias of the layer outside that a value is made by."""
        match self.made.get(value):
            case Node(action=Affine(), inputs=(Value() as x, Value() as weight, *bias)):
                return x, weight, _only(bias)
            case Node(action=Linear(bias=biased), inputs=(Value() as x,), module=path):
                return x, self._read(f"{path}.weight"), self._read(f"{path}.bias") if biased else None
            case Node(action=Matmul(), inputs=(Value() as x, Value() as matrix)) if matrix.type.rank == 2:
                return x, self._op(SwapLast(), matrix), None
            case Node(action=Add(), inputs=(Value() as left, Value() as right)):
                for sum_, bias in orders((left, right)):
                    if bias.type.shape == sum_.type.shape[-1:] and (layer := self._layer(sum_)) is not None:
                        x, weight, more = layer
                        return x, weight, bias if more is None else self._op(Add(), more, bias)
                return None
            case _:
                return None

    def _recurrent(self, gate: Gate) -> tuple[Value, Value | None]:
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

    def step(self, x: Value, states: list[Value], operands: list[Value], op: Op) -> Node:
        """The loop over the input alone, whose body is one operation. states: as the operation takes them."""
        loop, body = self.loop, self.loop.body
        name, _ = next(iter(body.inputs.items()))
        slice_ = Value(x.type.reshaped(x.type.shape[1:]), self.span, name)
        after = [body.outputs[self.states.index(state)] for state in states]
        made = replace(
            body,
            inputs={name: slice_, **{str(state.name): state for state in self.states}},
            nodes=[Node(op, (slice_, *states, *operands), tuple(after), self.inner[after[0]].span)],
        )
        first = self.node.inputs[loop.sequences : loop.sequences + loop.carried]
        return replace(self.node, action=replace(loop, body=made, sequences=1), inputs=(x, *first, *operands))


def columns_of(value: Value, made: Mapping[Value, Node]) -> Columns:
    node = made.get(value)
    if node is None or not isinstance(node.action, Split) or value.type.dtype is not DType.FLOAT:
        return whole(value)
    (matrix,) = node.values
    if resolve_axis(node.action.axis, matrix.type.rank) != matrix.type.rank - 1:
        return whole(value)
    start = Dim.of(0)
    for output in node.outputs:
        if output is value:
            return Columns(matrix, start, start + value.type.shape[-1])
        start = start + output.type.shape[-1]
    raise AssertionError("a value is made by its node")


def whole(value: Value) -> Columns:
    return Columns(value, Dim.of(0), value.type.shape[-1])


def orders(pair: tuple[Value, Value] | None) -> tuple[tuple[Value, Value], ...]:
    return () if pair is None else (pair, (pair[1], pair[0]))


def _only(values: list[Operand]) -> Value | None:
    match values:
        case [Value() as value]:
            return value
        case _:
            return None
