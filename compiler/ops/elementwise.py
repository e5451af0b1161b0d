"""Functions of each element."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from dlc.compiler.flow import known
from dlc.compiler.flow.known import Known
from dlc.compiler.flow.reading import Flow, pointwise
from dlc.compiler.kept import INPUT, NOTHING, RESULT, Kept, Tape
from dlc.compiler.op import Example, Op
from dlc.compiler.torch.context import Code, TorchContext
from dlc.compiler.types import Tensor, require_float, require_number

if TYPE_CHECKING:
    from dlc.compiler.onnx.context import OnnxContext, OnnxValue


class Unary(Op, abstract=True):
    """A function of each element of a float tensor: one call in PyTorch, one node in ONNX."""

    torch_name: ClassVar[str]
    onnx_name: ClassVar[str]
    kept = INPUT

    def infer(self, x: Tensor) -> Tensor:
        require_float("x", x)
        return x

    def flow(self, to: tuple[Tensor, ...], x: Tensor) -> Flow:
        return pointwise(to[0], x)

    def torch(self, t: TorchContext, x: Code) -> Code:
        return t.call(self.torch_name, x)

    def onnx(self, g: OnnxContext, x: OnnxValue) -> OnnxValue:
        return g.op(self.onnx_name, x)


class NumberUnary(Unary, abstract=True):
    """The same for tensors of ints too."""

    def infer(self, x: Tensor) -> Tensor:
        require_number("x", x)
        return x.cast(x.dtype)


class Exp(Unary):
    """e to the power of x."""

    examples = (Example("N T", gives="N T"),)
    torch_name = "torch.exp"
    onnx_name = "Exp"
    kept = RESULT

    def known(self, to: Tensor, x: Known) -> Known:
        return Known(None, known.through(known.exponential, x))


class Log(Unary):
    """The natural logarithm."""

    examples = (Example("N T", gives="N T", positive=True),)
    torch_name = "torch.log"
    onnx_name = "Log"

    def known(self, to: Tensor, x: Known) -> Known:
        return Known(None, known.through(known.logarithm, x))


class Log1p(Unary):
    """log(1 + x), accurate for small x."""

    examples = (Example("N T", gives="N T", positive=True),)
    torch_name = "torch.log1p"

    def onnx(self, g: OnnxContext, x: OnnxValue) -> OnnxValue:
        return g.op("Log", g.op("Add", x, g.constant(1.0, self.infer(g.inputs[0]).dtype)))


class Expm1(Unary):
    """exp(x) - 1, accurate for small x."""

    examples = (Example("N T", gives="N T"),)
    torch_name = "torch.expm1"
    kept = RESULT

    def onnx(self, g: OnnxContext, x: OnnxValue) -> OnnxValue:
        return g.op("Sub", g.op("Exp", x), g.constant(1.0, self.infer(g.inputs[0]).dtype))


class Sqrt(Unary):
    """The square root."""

    examples = (Example("N T", gives="N T", positive=True),)
    torch_name = "torch.sqrt"
    onnx_name = "Sqrt"
    kept = RESULT


class Rsqrt(Unary):
    """1 / sqrt(x)."""

    examples = (Example("N T", gives="N T", positive=True),)
    torch_name = "torch.rsqrt"
    kept = RESULT

    def onnx(self, g: OnnxContext, x: OnnxValue) -> OnnxValue:
        return g.op("Reciprocal", g.op("Sqrt", x))


class Abs(NumberUnary):
    """The absolute value."""

    examples = (Example("N T", gives="N T"), Example("int N", gives="int N"))
    torch_name = "torch.abs"
    onnx_name = "Abs"


class Sign(NumberUnary):
    """-1, 0 or 1, as x is negative, 0 or positive."""

    examples = (Example("N T", gives="N T"), Example("int N", gives="int N"))
    torch_name = "torch.sign"
    onnx_name = "Sign"
    kept = NOTHING


class Sin(Unary):
    """The sine of x in radians."""

    examples = (Example("N T", gives="N T"),)
    torch_name = "torch.sin"
    onnx_name = "Sin"


class Cos(Unary):
    """The cosine of x in radians."""

    examples = (Example("N T", gives="N T"),)
    torch_name = "torch.cos"
    onnx_name = "Cos"


class Erf(Unary):
    """The error function, 2/sqrt(pi) times the integral of exp(-t^2) from 0 to x."""

    examples = (Example("N T", gives="N T"),)
    torch_name = "torch.erf"
    onnx_name = "Erf"


class Floor(Unary):
    """The greatest whole number that is not above x."""

    examples = (Example("N T", gives="N T"),)
    torch_name = "torch.floor"
    onnx_name = "Floor"
    kept = NOTHING


class Ceil(Unary):
    """The least whole number that is not below x."""

    examples = (Example("N T", gives="N T"),)
    torch_name = "torch.ceil"
    onnx_name = "Ceil"
    kept = NOTHING


class Round(Unary):
    """The nearest whole number, of two equally near ones the even one."""

    examples = (Example("N T", gives="N T"),)
    torch_name = "torch.round"
    onnx_name = "Round"
    kept = NOTHING


class Square(NumberUnary):
    """x times x."""

    examples = (Example("N T", gives="N T"), Example("int N", gives="int N"))
    torch_name = "torch.square"

    def onnx(self, g: OnnxContext, x: OnnxValue) -> OnnxValue:
        return g.op("Mul", x, x)


class Reciprocal(Unary):
    """1 / x."""

    examples = (Example("N T", gives="N T", positive=True),)
    onnx_name = "Reciprocal"

    def keeps(self, tape: Tape, to: tuple[Tensor, ...], x: Tensor) -> Kept:
        return Kept(made=to)

    def torch(self, t: TorchContext, x: Code) -> Code:
        return t.binary("/", "1", x)
