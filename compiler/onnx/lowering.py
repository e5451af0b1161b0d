"""The context of one node that is lowered to ONNX: `OnnxContext`, as operations see it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from dlc.compiler.dim import Dim
from dlc.compiler.onnx import model as onnx
from dlc.compiler.onnx.loops import Turn
from dlc.compiler.onnx.sizes import Sizes
from dlc.compiler.onnx.writer import Writer
from dlc.compiler.types import DType, Scalar, Tensor


class NodeContext:
    """Handed to `Op.onnx`. See `OnnxContext` for what its methods do. name: what the node's results are called."""

    def __init__(
        self,
        writer: Writer,
        sizes: Sizes,
        inputs: tuple[Any, ...],
        outputs: tuple[Tensor, ...],
        weight: Callable[[str], onnx.Value],
        name: str,
        newest: int,
    ) -> None:
        self.inputs = inputs
        self.outputs = outputs
        self.newest = newest
        self._weight = weight
        self._writer: Writer = writer
        self._sizes = sizes
        self._name = name

    def weight(self, name: str) -> onnx.Value:
        return self._weight(name)

    def op(self, kind: str, *inputs: onnx.Value | None, domain: str = "", **attributes: Any) -> onnx.Value:
        return self._writer.add(kind, inputs, attributes, domain=domain)[0]

    def multi(
        self, kind: str, *inputs: onnx.Value | None, results: int, domain: str = "", **attributes: Any
    ) -> tuple[onnx.Value, ...]:
        return self._writer.add(kind, inputs, attributes, results, domain)

    def loop(
        self, turns: Dim, first: Sequence[onnx.Value], turn: Callable[..., Sequence[onnx.Value]]
    ) -> tuple[onnx.Value, ...]:
        outer = self._writer
        names = [outer.value_names.claim(f"{self._name}/state") for _ in first]
        states = [onnx.Value(name, value.dtype) for name, value in zip(names, first, strict=True)]
        written = Turn(outer, lambda: states)
        self._writer = written.writer
        results = turn(written.number, *states)
        self._writer = outer
        return written.finish(f"{self._name}/body", self._sizes.scalar(turns), first, results)

    def choose(
        self,
        condition: onnx.Value,
        some: Callable[[], onnx.Value],
        other: Callable[[], onnx.Value],
        type: Tensor,
    ) -> onnx.Value:
        outer = self._writer
        branches: dict[str, onnx.Graph] = {}
        for branch, write in (("then", some), ("else", other)):
            self._writer = outer.inner()
            result = write()
            result.dtype = type.dtype
            branches[f"{branch}_branch"] = self._writer.graph(f"{self._name}/{branch}", (), [result])
        self._writer = outer
        (chosen,) = outer.add("If", (condition,), branches)
        chosen.dtype = type.dtype
        return chosen

    def once(self, name: str, write: Callable[[], onnx.Value]) -> onnx.Value:
        def outside(writer: Writer) -> onnx.Value:
            inner, self._writer = self._writer, writer
            value = write()
            self._writer = inner
            return value

        return self._sizes.once(name, outside)

    def tensor(self, operand: onnx.Value | Scalar, dtype: DType) -> onnx.Value:
        if not isinstance(operand, Scalar):
            return self.cast(operand, dtype)
        if isinstance(operand.value, Dim) and not operand.value.is_constant:
            return self.cast(self.size(operand.value), dtype)
        value = int(operand.value) if isinstance(operand.value, Dim) else operand.value
        return self.constant(value, dtype)

    def constant(self, value: Any, dtype: DType) -> onnx.Value:
        return self._writer.constant(value, dtype)

    def ints(self, values: Sequence[int]) -> onnx.Value:
        return self._writer.constant(list(values), DType.INT)

    def size(self, dim: Dim) -> onnx.Value:
        return self._sizes.scalar(dim)

    def sizes(self, dims: Sequence[Dim]) -> onnx.Value:
        return self._sizes.vector(dims)

    def cast(self, value: onnx.Value, dtype: DType) -> onnx.Value:
        if value.dtype is dtype:
            return value
        return self.op("Cast", value, to=dtype)
