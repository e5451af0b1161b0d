"""Penalties on weights, to be added to a loss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from dlc.compiler.kept import INPUT
from dlc.compiler.op import Example, Op
from dlc.compiler.torch.context import Code, TorchContext
from dlc.compiler.types import DType, Tensor, require_float

if TYPE_CHECKING:
    from dlc.compiler.graph import ModelRef as Model
    from dlc.compiler.onnx.context import OnnxContext, OnnxValue


class Penalty(Op, abstract=True):
    """A sum over the elements of a tensor, or of all learned weights of a model."""

    method: ClassVar[str]
    onnx_name: ClassVar[str]
    kept = INPUT

    def infer(self, net: Tensor | Model) -> Tensor:
        if not isinstance(net, Tensor):
            return Tensor(DType.FLOAT, ())
        require_float("net", net)
        return Tensor(net.dtype, ())

    def torch(self, t: TorchContext, net: Code) -> Code:
        if isinstance(t.inputs[0], Tensor):
            return t.method(t.method(net, self.method), "sum")
        weights = t.method(net, "parameters")
        return Code(f"sum(weight.{self.method}().sum() for weight in {weights})")

    def onnx(self, g: OnnxContext, net: OnnxValue | Sequence[OnnxValue]) -> OnnxValue:
        parts = net if isinstance(net, Sequence) else [net]
        sums = [g.op(self.onnx_name, part, keepdims=0) for part in parts]
        return g.op("Sum", *sums) if len(sums) > 1 else sums[0]


class L1(Penalty, name="l1"):
    """The sum of absolute values: of a tensor, or of all learned weights of a model."""

    method = "abs"
    onnx_name = "ReduceL1"
    examples = (Example("N T", gives=""), Example("model 3 4, 5", gives="", smooth=False))


class L2(Penalty, name="l2"):
    """The sum of squares: of a tensor, or of all learned weights of a model."""

    method = "square"
    onnx_name = "ReduceSumSquare"
    examples = (Example("N T", gives=""), Example("model 3 4, 5", gives="", tolerance=1e-4))
