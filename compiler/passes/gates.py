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
from dlc.compiler.ops.operators import Add, Negate
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
        *slices, self.h = body.inputs.values()
        self.walked = dict(zip(slices, self.node.values, strict=False))
        self.width = self.h.type.shape[-1]

    # --- the sums ---

    def gate(self, value: Value) -> Gate | None:
        """The products whose sigmoid a value is, or is a part of."""
        outer = self.columns(value)
        node = self.inner.get(outer.value)
        if node is None or not isinstance(node.action, Sigmoid):
            return None
        (sum_,) = node.values
        if outer.value is value:
            inner = self.columns(sum_)
            known = self.product(inner)
            if known is not None:
                return known
            for slice_, rest in orders(self.apart(sum_, Add)):
                state = self.of_state(self.columns(rest))
                if slice_ in self.walked and state is not None:
                    return replace(state, input=whole(slice_))
            return None
        return self.product(replace(outer, value=sum_))

    def product(self, part: Columns) -> Gate | None:
        """Columns of what is walked plus a product."""
        node = self.inner.get(part.value)
        if node is None or not isinstance(node.action, AddMatmul):
            return None
        known, state, matrix = node.values
        if known not in self.walked or matrix in self.inner or known.type.shape != part.value.type.shape:
            return None
        return Gate(replace(part, value=known), state, replace(part, value=matrix))

    def of_state(self, part: Columns) -> Gate | None:
        """Columns of a product of the state alone. Its `input` is open."""
        node = self.inner.get(part.value)
        match node:
            case Node(action=Linear(), inputs=(Value() as state,)) if state is self.h:
                return Gate(part, state, part, node)
            case Node(action=Matmul(), inputs=(Value() as state, Value() as matrix)) if (
                state is self.h and matrix not in self.inner and matrix.type.rank == 2
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

    def step(self, x: Value, operands: list[Value], op: Op) -> Node:
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
