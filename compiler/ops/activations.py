"""Activation functions, element by element."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dlc.compiler.kept import RESULT, Kept, Tape
from dlc.compiler.op import Example, Float, PositiveFloat
from dlc.compiler.ops.elementwise import Unary
from dlc.compiler.types import Tensor

if TYPE_CHECKING:
    from dlc.compiler.onnx.context import OnnxContext, OnnxValue
    from dlc.compiler.torch.context import Code, TorchContext


class Relu(Unary):
    """max(x, 0)."""

    examples = (Example("N T", gives="N T"),)
    torch_name = "F.relu"
    onnx_name = "Relu"
    kept = RESULT


class LeakyRelu(Unary):
    """x where it is positive, `slope` times x elsewhere."""

    slope: Float = 0.01
    examples = (Example("N T", gives="N T"), Example("N T", slope=0.2, gives="N T"))

    def torch(self, t: TorchContext, x: Code) -> Code:
        return t.call("F.leaky_relu", x, self.slope)

    def onnx(self, g: OnnxContext, x: OnnxValue) -> OnnxValue:
        return g.op("LeakyRelu", x, alpha=self.slope)


class Elu(Unary):
    """x where it is positive, alpha * (exp(x) - 1) elsewhere. Clevert et al., 2015."""

    alpha: PositiveFloat = 1.0
    examples = (Example("N T", gives="N T"), Example("N T", alpha=0.5, gives="N T"))

    def torch(self, t: TorchContext, x: Code) -> Code:
        return t.call("F.elu", x) if self.alpha == 1 else t.call("F.elu", x, self.alpha)

    def onnx(self, g: OnnxContext, x: OnnxValue) -> OnnxValue:
        return g.op("Elu", x, alpha=self.alpha)


class Selu(Unary):
    """The scaled ELU that keeps mean 0 and variance 1. Klambauer et al., 2017."""

    examples = (Example("N T", gives="N T"),)
    torch_name = "F.selu"
    onnx_name = "Selu"


class Gelu(Unary):
    """x times the normal distribution function of x; `approximate` takes tanh for it. Hendrycks and Gimpel, 2016."""

    approximate: bool = False
    examples = (Example("N T", gives="N T"), Example("N T", approximate=True, gives="N T"))

    def torch(self, t: TorchContext, x: Code) -> Code:
        return t.call("F.gelu", x, approximate="tanh") if self.approximate else t.call("F.gelu", x)

    def onnx(self, g: OnnxContext, x: OnnxValue) -> OnnxValue:
        return g.op("Gelu", x, approximate="tanh" if self.approximate else None)


class Silu(Unary):
    """x * sigmoid(x), also known as swish. Elfwing et al., 2017."""

    examples = (Example("N T", gives="N T"),)
    torch_name = "F.silu"

    def onnx(self, g: OnnxContext, x: OnnxValue) -> OnnxValue:
        return g.op("Mul", x, g.op("Sigmoid", x))


class Mish(Unary):
    """x * tanh(softplus(x)). Misra, 2019."""

    examples = (Example("N T", gives="N T"),)
    torch_name = "F.mish"
    onnx_name = "Mish"


class Sigmoid(Unary):
    """1 / (1 + exp(-x))."""

    examples = (Example("N T", gives="N T"),)
    torch_name = "torch.sigmoid"
    onnx_name = "Sigmoid"
    kept = RESULT


class HardSigmoid(Unary):
    """x / 6 + 1/2, from 0 to 1."""

    examples = (Example("N T", gives="N T"),)
    torch_name = "F.hardsigmoid"

    def onnx(self, g: OnnxContext, x: OnnxValue) -> OnnxValue:
        return g.op("HardSigmoid", x, alpha=1 / 6, beta=0.5)


class HardSwish(Unary):
    """x * hard_sigmoid(x). Howard et al., 2019."""

    examples = (Example("N T", gives="N T"),)
    torch_name = "F.hardswish"
    onnx_name = "HardSwish"


class Tanh(Unary):
    """The hyperbolic tangent."""

    examples = (Example("N T", gives="N T"),)
    torch_name = "torch.tanh"
    onnx_name = "Tanh"
    kept = RESULT


class Softplus(Unary):
    """log(1 + exp(x))."""

    examples = (Example("N T", gives="N T"),)
    torch_name = "F.softplus"
    onnx_name = "Softplus"


class Softsign(Unary):
    """x / (1 + abs(x))."""

    examples = (Example("N T", gives="N T"),)
    torch_name = "F.softsign"
    onnx_name = "Softsign"

    def keeps(self, tape: Tape, to: tuple[Tensor, ...], x: Tensor) -> Kept:
        return Kept((0,), made=to)
