"""Noise that regularises: in training alone, something is dropped and the rest made larger to match."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from dlc.compiler.dim import Dim
from dlc.compiler.flow.reading import Flow, pointwise
from dlc.compiler.kept import Kept, Tape
from dlc.compiler.op import Example, Op, Probability
from dlc.compiler.ops.windows import require_image
from dlc.compiler.torch.context import Code, TorchContext
from dlc.compiler.types import DType, Tensor, require_axes, require_float

if TYPE_CHECKING:
    from dlc.compiler.onnx.context import OnnxContext, OnnxValue


class Dropping(Op, abstract=True):
    """Sets what it drops to 0 with probability `p` and divides the rest by 1 - p; in evaluation x stays as it is."""

    p: Probability = 0.5
    stateful: ClassVar[bool] = True

    def infer(self, x: Tensor) -> Tensor:
        require_float("x", x)
        return Tensor(x.dtype, x.shape)

    def flow(self, to: tuple[Tensor, ...], x: Tensor) -> Flow:
        return pointwise(to[0], x)

    def keeps(self, tape: Tape, to: tuple[Tensor, ...], x: Tensor) -> Kept:
        return Kept(made=(self._drawn(x).cast(DType.BOOL if tape.accelerator else x.dtype),))

    def _drawn(self, x: Tensor) -> Tensor:
        """What is dropped or kept as one."""
        return x

    def onnx(self, g: OnnxContext, x: OnnxValue) -> OnnxValue:
        return x


class Dropout(Dropping):
    """Drops each element with probability `p` in training. Srivastava et al., 2014."""

    examples = (Example("N T", gives="N T"), Example("N T", p=0.1, gives="N T"))

    def torch_module(self, t: TorchContext, *_: Any) -> Code:
        return t.call("nn.Dropout", self.p)

    def torch(self, t: TorchContext, x: Code) -> Code:
        return t.call(t.module, x) if t.module else t.call("F.dropout", x, self.p, t.training)


class SpatialDropout(Dropping):
    """Drops each channel (axis 1) with probability `p` in training. Tompson et al., 2015."""

    examples = (Example("N C T", gives="N C T"), Example("N C H W", p=0.1, gives="N C H W"))

    def infer(self, x: Tensor) -> Tensor:
        require_image("x", x)
        return super().infer(x)

    def _drawn(self, x: Tensor) -> Tensor:
        return x.reshaped((*x.shape[:2], *[1] * (x.rank - 2)))

    def torch_module(self, t: TorchContext, *_: Any) -> Code:
        return t.call(f"nn.Dropout{t.inputs[0].rank - 2}d", self.p)

    def torch(self, t: TorchContext, x: Code) -> Code:
        if t.module:
            return t.call(t.module, x)
        return t.call(f"F.dropout{t.inputs[0].rank - 2}d", x, self.p, t.training)


class DropPath(Dropping):
    """Drops each example (axis 0) with probability `p` in training. Huang et al., 2016.

    At the end of a residual branch it leaves out the branch.
    """

    examples = (Example("N T 4", p=0.2, gives="N T 4"), Example("N", gives="N"))

    def infer(self, x: Tensor) -> Tensor:
        require_axes("x", x, 1)
        return super().infer(x)

    def _drawn(self, x: Tensor) -> Tensor:
        return x.reshaped((x.shape[0], *[1] * (x.rank - 1)))

    def torch_module(self, t: TorchContext, *_: Any) -> Code:
        return t.call("nn.Dropout", self.p)

    def torch(self, t: TorchContext, x: Code) -> Code:
        type: Tensor = t.inputs[0]
        kept = t.factory("torch.ones", type.shape[0], *[Dim.of(1)] * (type.rank - 1), dtype=type.dtype)
        kept = t.call(t.module, kept) if t.module else t.call("F.dropout", kept, self.p, t.training)
        return t.binary("*", x, kept)
