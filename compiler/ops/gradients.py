"""Where gradients stop."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dlc.compiler.flow.reading import Flow, pointwise
from dlc.compiler.op import Example, Op
from dlc.compiler.types import Tensor

if TYPE_CHECKING:
    from dlc.compiler.onnx.context import OnnxContext, OnnxValue
    from dlc.compiler.torch.context import Code, TorchContext


class Stop(Op):
    """x itself, through which no gradient flows: to what is minimised it is a constant."""

    examples = (Example("N 8", gives="N 8", smooth=False), Example("int N < V", gives="int N < V"))
    differentiable = False
    view = True

    def infer(self, x: Tensor) -> Tensor:
        return x

    def flow(self, to: tuple[Tensor, ...], x: Tensor) -> Flow:
        return pointwise(to[0], x, keeps=True)

    def torch(self, t: TorchContext, x: Code) -> Code:
        return t.method(x, "detach")

    def onnx(self, g: OnnxContext, x: OnnxValue) -> OnnxValue:
        return g.op("Identity", x)
