"""The context of one node that is lowered to ONNX: `OnnxContext`, as operations see it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from dlc.compiler.dim import Dim
from dlc.compiler.onnx.elements import onnx_type
from dlc.compiler.onnx.loops import Turn
from dlc.compiler.onnx.sizes import Sizes
from dlc.compiler.onnx.writer import Writer
from dlc.compiler.types import DType, Scalar, Tensor

if TYPE_CHECKING:
    import onnx_ir as ir


class NodeContext:
    """Handed to `Op.onnx`. See `OnnxContext` for what its methods do. name: what the node's results are called."""

    def __init__(
        self,
        writer: Writer,
        sizes: Sizes,
        inputs: tuple[Any, ...],
        outputs: tuple[Tensor, ...],
        weight: Callable[[str], ir.Value],
        name: str,
    ) -> None:
        self.inputs = inputs
        self.outputs = outputs
        self._weight = weight
        self._writer = writer
        self._sizes = sizes
        self._name = name

    def weight(self, name: str) -> ir.Value:
        return self._weight(name)

    def op(self, kind: str, *inputs: ir.Value | None, domain: str = "", **attributes: Any) -> ir.Value:
        return self._writer.add(kind, inputs, attributes, domain=domain)[0]

    def multi(
        self, kind: str, *inputs: ir.Value | None, results: int, domain: str = "", **attributes: Any
    ) -> tuple[ir.Value, ...]:
        return self._writer.add(kind, inputs, attributes, results, domain)

    def loop(
        self, turns: Dim, first: Sequence[ir.Value], turn: Callable[..., Sequence[ir.Value]]
    ) -> tuple[ir.Value, ...]:
        import onnx_ir as ir

        outer = self._writer
        names = [outer.value_names.claim(f"{self._name}/state") for _ in first]
        states = [ir.Value(name=name, type=value.type) for name, value in zip(names, first, strict=True)]
        written = Turn(outer, lambda: states)
        self._writer = written.writer
        results = turn(written.number, *states)
        self._writer = outer
        return written.finish(f"{self._name}/body", self._sizes.scalar(turns), first, results)

    def tensor(self, operand: ir.Value | Scalar, dtype: DType) -> ir.Value:
        if not isinstance(operand, Scalar):
            return self.cast(operand, dtype)
        if isinstance(operand.value, Dim) and not operand.value.is_constant:
            return self.cast(self.size(operand.value), dtype)
        value = int(operand.value) if isinstance(operand.value, Dim) else operand.value
        return self.constant(value, dtype)

    def constant(self, value: Any, dtype: DType) -> ir.Value:
        return self._writer.constant(value, dtype)

    def ints(self, values: Sequence[int]) -> ir.Value:
        return self._writer.constant(list(values), DType.INT)

    def size(self, dim: Dim) -> ir.Value:
        return self._sizes.scalar(dim)

    def sizes(self, dims: Sequence[Dim]) -> ir.Value:
        return self._sizes.vector(dims)

    def cast(self, value: ir.Value, dtype: DType) -> ir.Value:
        if value.dtype == onnx_type(dtype):
            return value
        return self.op("Cast", value, to=dtype)
