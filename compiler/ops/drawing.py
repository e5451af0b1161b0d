"""What random operations share: each is a function of its inputs and of noise, which both targets draw or are given.

The noise of an operation is one tensor of independent numbers, standard normal or uniform from 0 to below 1. Both
targets compute the result from it by the same formula, so that where it is given they can be compared draw for draw.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, ClassVar

from dlc.compiler.op import Op
from dlc.compiler.torch.context import Code, TorchContext
from dlc.compiler.types import DType, Operand, ShapeError, Tensor

if TYPE_CHECKING:
    from dlc.compiler.onnx.context import OnnxContext, OnnxValue


class Distribution(Enum):
    """What the numbers of a noise follow: the standard normal distribution, or the uniform one from 0 to below 1."""

    NORMAL = "normal"
    UNIFORM = "uniform"


_TORCH = {Distribution.NORMAL: "torch.randn", Distribution.UNIFORM: "torch.rand"}
_ONNX = {Distribution.NORMAL: "RandomNormalLike", Distribution.UNIFORM: "RandomUniformLike"}


@dataclass(frozen=True, slots=True)
class Noise:
    """A tensor of independent draws."""

    type: Tensor
    distribution: Distribution


class Drawing(Op, abstract=True):
    """An operation that draws: a subclass defines its noise, and how each target makes the result of it.

    By default the noise is drawn and the result made of it; where PyTorch has a draw of its own, `torch` is overridden.
    """

    random: ClassVar[bool] = True
    noun = "drawn"
    differentiable = False

    def noise(self, *inputs: Any, **_: Any) -> Noise:
        """What is drawn for inputs of these types."""
        raise NotImplementedError(f"{self.name} does not say what it draws")

    def torch_of(self, t: TorchContext, noise: Code, *inputs: Any, **_: Any) -> Code:
        """The PyTorch expression for the result of this noise and these inputs."""
        raise NotImplementedError(f"{self.name} has no lowering to PyTorch")

    def onnx_of(self, g: OnnxContext, noise: OnnxValue, *inputs: Any, **_: Any) -> OnnxValue:
        """The ONNX nodes for the result of this noise and these inputs."""
        raise NotImplementedError(f"{self.name} has no lowering to ONNX")

    def torch(self, t: TorchContext, *inputs: Any, **_: Any) -> Code:
        noise = self.noise(*t.inputs)
        dtype = noise.type.dtype if noise.type.dtype is DType.FLOAT else None
        draw = t.factory(_TORCH[noise.distribution], *(noise.type.shape or ((),)), dtype=dtype)
        return self.torch_of(t, draw, *inputs)

    def onnx(self, g: OnnxContext, *inputs: Any, **_: Any) -> OnnxValue:
        noise = self.noise(*g.inputs)
        # to be like, since a random operator takes no shape that is computed
        blank = g.op("Expand", g.constant(0.0, noise.type.dtype), g.sizes(noise.type.shape))
        return self.onnx_of(g, g.op(_ONNX[noise.distribution], blank), *inputs)


class Given(Op, abstract=True):
    """A random operation that is given its noise, behind its other inputs."""

    hidden = True
    op: Drawing

    def infer(self, *inputs: Operand) -> tuple[Tensor, ...]:
        *others, noise = inputs
        due = self.op.noise(*others).type
        if noise != due:
            raise ShapeError("noise", f"{self.op.name} draws {due}, and its noise is {noise}")
        return self.op.results(*others)

    def torch(self, t: TorchContext, *inputs: Any) -> Code:
        *others, noise = inputs
        return self.op.torch_of(t, noise, *others)

    def onnx(self, g: OnnxContext, *inputs: Any) -> OnnxValue:
        *others, noise = inputs
        return self.op.onnx_of(g, noise, *others)
