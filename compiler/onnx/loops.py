"""Loops in ONNX: those along sequences as `Scan`, those that count as `Loop`.

onnxruntime's `Scan` fails on an empty sequence, and stops the whole process where it is to transpose an empty tensor
by itself. So what is walked and collected is transposed outside, and an `If` keeps the `Scan` from empty sequences.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from dlc.compiler.dim import Dim
from dlc.compiler.graph import Loop, Node, Value
from dlc.compiler.onnx import model as onnx
from dlc.compiler.onnx.elements import numpy_type
from dlc.compiler.onnx.sizes import Sizes
from dlc.compiler.onnx.writer import Writer
from dlc.compiler.ops.steps import Step
from dlc.compiler.types import DType, Tensor


class Lowering(Protocol):
    """How the nodes of bodies are written; see `dlc.compiler.onnx.nodes.Lowering`."""

    @property
    def values(self) -> Mapping[Value, onnx.Value]: ...

    def run(self, nodes: Iterable[Node], writer: Writer) -> None: ...

    def enter(self, given: onnx.Value, value: Value) -> onnx.Value: ...

    def describe(self, value: onnx.Value, type: Tensor) -> None: ...


def write(
    lowering: Lowering, sizes: Sizes, writer: Writer, node: Node, loop: Loop, name: str
) -> tuple[onnx.Value, ...]:
    """The results of a loop: the carried values after the last turn, then what was collected, along the loop's axis.

    name: what its graphs are called by.
    """
    written = _Loop(lowering, sizes, writer, node, loop, name)
    results = written.scan() if loop.sequences else written.count()
    carried, collected = results[: loop.carried], results[loop.carried :]
    types = [output.type for output in node.outputs[loop.carried :]]
    return (
        *carried,
        *(_from_front(writer, value, type.rank, loop) for value, type in zip(collected, types, strict=True)),
    )


class _Loop:
    """One loop while it is being written. What it collects comes stacked along the first axis."""

    def __init__(self, lowering: Lowering, sizes: Sizes, writer: Writer, node: Node, loop: Loop, name: str) -> None:
        operands = [lowering.values[value] for value in node.values]
        self._lowering = lowering
        self._sizes = sizes
        self._writer = writer
        self._loop = loop
        self._name = name
        self._sequences = operands[: loop.sequences]
        self._ranks = [value.type.rank for value in list(node.values)[: loop.sequences]]
        self._first = operands[loop.sequences : loop.sequences + loop.carried]
        self._carried = [output.type for output in loop.body.outputs[: loop.carried]]
        self._stacked = [
            output.type.reshaped((loop.turns, *output.type.shape)) for output in loop.body.outputs[loop.carried :]
        ]

    def scan(self) -> tuple[onnx.Value, ...]:
        loop = self._loop
        walked = [
            _to_front(self._writer, sequence, rank, loop.axis)
            for sequence, rank in zip(self._sequences, self._ranks, strict=True)
        ]
        step = _step(loop)
        if step is not None:
            return self._unless_empty(self._fused(step, walked[0]))
        inner = self._writer.inner()
        parameters = [self._parameter(value) for value in loop.body.inputs.values()]
        slices, states = parameters[: loop.sequences], parameters[loop.sequences :]
        body = inner.graph(f"{self._name}/body", [*states, *slices], self._turn(inner))
        attributes = {"body": body, "num_scan_inputs": loop.sequences}

        def add(writer: Writer) -> tuple[onnx.Value, ...]:
            return writer.add("Scan", (*self._first, *walked), attributes, results=len(loop.body.outputs))

        return self._unless_empty(add)

    def _fused(self, step: Node, walked: onnx.Value) -> Callable[[Writer], tuple[onnx.Value, ...]]:
        """Adds a standard recurrence by its operator, which has an axis of directions, here one."""
        op = step.action
        assert isinstance(op, Step)
        _, *operands = step.values
        before, weights = operands[: op.states], operands[op.states :]
        carried = list(self._loop.body.inputs.values())[1:]
        first, second = (self._writer.constant([axis], DType.INT) for axis in (0, 1))

        def lift(value: onnx.Value) -> onnx.Value:
            return self._writer.add("Unsqueeze", (value, first), {})[0]

        starts = [lift(self._first[carried.index(state)]) for state in before]
        matrices = [lift(self._lowering.values[weight]) for weight in weights]
        attributes = {"hidden_size": int(step.outputs[0].type.shape[1]), **op.attributes()}
        given = (walked, *matrices[:3], None, *starts, *matrices[3:])

        def add(writer: Writer) -> tuple[onnx.Value, ...]:
            states, *last = writer.add(op.kind, given, attributes, results=1 + op.states)
            ends = {
                output: writer.add("Squeeze", (value, first), {})[0]
                for output, value in zip(step.outputs, last, strict=True)
            }
            outputs = self._loop.body.outputs
            collected = outputs[len(carried) :]
            return (
                *(ends[output] for output in outputs[: len(carried)]),
                *(writer.add("Squeeze", (states, second), {})[0] for _ in collected),
            )

        return add

    def _unless_empty(self, add: Callable[[Writer], tuple[onnx.Value, ...]]) -> tuple[onnx.Value, ...]:
        """What is added if there are turns, and elements where an operator stops the process without any; else the
        first values, and nothing collected."""
        turns = self._loop.turns if _step(self._loop) is None else self._loop.turns * self._carried[0].shape[0]
        if Dim.of(1).at_most(turns):
            return add(self._writer)
        empty = self._sizes.scalar(turns), self._writer.constant(0, DType.INT)
        some, none = self._writer.inner(), self._writer.inner()
        results = self._described(add(some))
        unchanged = [none.add("Identity", (value,), {})[0] for value in self._first]
        nothing = [self._nothing(none, type) for type in self._stacked]
        branches = {
            "then_branch": some.graph(f"{self._name}/some", (), results),
            "else_branch": none.graph(f"{self._name}/none", (), self._described((*unchanged, *nothing))),
        }
        condition = self._writer.add("Greater", empty, {})
        return self._described(self._writer.add("If", condition, branches, results=len(results)))

    def _nothing(self, writer: Writer, type: Tensor) -> onnx.Value:
        import numpy as np

        zero = np.zeros(1, numpy_type(type.dtype))
        return writer.add("ConstantOfShape", (self._sizes.vector(type.shape),), {"value": zero})[0]

    def count(self) -> tuple[onnx.Value, ...]:
        loop = self._loop
        parameters = list(loop.body.inputs.values())
        turn = Turn(self._writer, lambda: [self._parameter(value) for value in parameters[int(loop.indexed) :]])
        if loop.indexed:
            index = parameters[0]
            self._lowering.enter(self._index(turn), index)
        results = turn.finish(
            f"{self._name}/body", self._sizes.scalar(loop.turns), self._first, self._turn(turn.writer)
        )
        return (*results[: loop.carried], *map(self._shaped, results[loop.carried :], self._stacked))

    def _index(self, turn: Turn) -> onnx.Value:
        loop, index = self._loop, turn.number
        if loop.step != 1:
            index = turn.writer.add("Mul", (index, self._writer.constant(loop.step, DType.INT)), {})[0]
        if loop.start != 0:
            index = turn.writer.add("Add", (index, self._sizes.scalar(loop.start)), {})[0]
        return index

    def _shaped(self, value: onnx.Value, type: Tensor) -> onnx.Value:
        """Gives what no turn collected its shape, which onnxruntime knows only as far as it is in numbers."""
        if Dim.of(1).at_most(self._loop.turns) or all(size.is_constant for size in type.shape[1:]):
            return value
        return self._writer.add("Reshape", (value, self._sizes.vector(type.shape)), {"allowzero": 1})[0]

    def _turn(self, writer: Writer) -> list[onnx.Value]:
        self._lowering.run(self._loop.body.nodes, writer)
        return [self._lowering.values[output] for output in self._loop.body.outputs]

    def _parameter(self, value: Value) -> onnx.Value:
        return self._lowering.enter(onnx.Value(self._writer.value_names.claim(str(value.name))), value)

    def _described(self, results: Sequence[onnx.Value]) -> tuple[onnx.Value, ...]:
        for result, type in zip(results, (*self._carried, *self._stacked), strict=True):
            self._lowering.describe(result, type)
        return tuple(results)


def _step(loop: Loop) -> Node | None:
    """The only node of a body that is one turn of a standard recurrence."""
    match loop.body.nodes:
        case [Node(action=Step()) as step]:
            return step
        case _:
            return None


class Turn:
    """The body of a `Loop` while it is being written: the number of the turn, from 0 on, and the values it starts with.

    state: gives these values as inputs of the body.
    """

    def __init__(self, writer: Writer, state: Callable[[], Sequence[onnx.Value]]) -> None:
        self._outer = writer
        self.writer = writer.inner()
        self.number = self._scalar("turn", DType.INT)
        self._more = self._scalar("more", DType.BOOL)
        self.state = state()

    def finish(
        self, name: str, turns: onnx.Value, first: Sequence[onnx.Value], results: Sequence[onnx.Value]
    ) -> tuple[onnx.Value, ...]:
        """Adds the `Loop`, whose results are `results` after the last turn, or stacked beyond those carried."""
        more = self.writer.add("Identity", (self._more,), {})[0]
        body = self.writer.graph(name, [self.number, self._more, *self.state], [more, *results])
        always = self._outer.constant(True, DType.BOOL)
        return self._outer.add("Loop", (turns, always, *first), {"body": body}, results=len(results))

    def _scalar(self, name: str, dtype: DType) -> onnx.Value:
        return onnx.Value(self._outer.value_names.claim(name), dtype, ())


def _to_front(writer: Writer, value: onnx.Value, rank: int, axis: int) -> onnx.Value:
    order = [axis, *(place for place in range(rank) if place != axis)]
    return _transposed(writer, value, order)


def _from_front(writer: Writer, value: onnx.Value, rank: int, loop: Loop) -> onnx.Value:
    axis = min(loop.axis, rank - 1)
    return _transposed(writer, value, [*range(1, axis + 1), 0, *range(axis + 1, rank)])


def _transposed(writer: Writer, value: onnx.Value, order: list[int]) -> onnx.Value:
    attributes: dict[str, Any] = {"perm": order}
    return value if order == sorted(order) else writer.add("Transpose", (value,), attributes)[0]
