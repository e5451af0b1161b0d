"""The arithmetic operators of the language on tensors, element by element, broadcasting."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from dlc.compiler.dim import Dim
from dlc.compiler.flow import known
from dlc.compiler.flow.known import Known
from dlc.compiler.flow.reading import Flow, pointwise
from dlc.compiler.kept import NOTHING, Kept, Tape, factors
from dlc.compiler.op import Example, Op
from dlc.compiler.types import (
    DType,
    Operand,
    Scalar,
    ShapeError,
    Tensor,
    broadcast,
    promote,
    require_number,
)

if TYPE_CHECKING:
    from dlc.compiler.onnx.context import OnnxContext, OnnxValue
    from dlc.compiler.torch.context import Code, TorchContext


class Binary(Op, abstract=True):
    """Two tensors, or one and a static number, broadcast."""

    hidden = True
    operator: ClassVar[str]
    onnx_name: ClassVar[str]

    def operand_type(self, left: Operand, right: Operand) -> DType:
        """The element type that both sides are brought to."""
        return promote(left, right)

    def infer(self, left: Operand, right: Operand) -> Tensor:
        require_number("left", left)
        require_number("right", right)
        return Tensor(self.operand_type(left, right), broadcast(left, right))

    def flow(self, to: tuple[Tensor, ...], left: Operand, right: Operand) -> Flow:
        return pointwise(to[0], left, right)

    def torch(self, t: TorchContext, left: Code, right: Code) -> Code:
        return t.binary(self.operator, left, right)

    def onnx(self, g: OnnxContext, left: OnnxValue | Scalar, right: OnnxValue | Scalar) -> OnnxValue:
        dtype = self.operand_type(*g.inputs)
        return self.apply(g, g.tensor(left, dtype), g.tensor(right, dtype), dtype)

    def apply(self, g: OnnxContext, left: OnnxValue, right: OnnxValue, dtype: DType) -> OnnxValue:
        return g.op(self.onnx_name, left, right)


class Add(Binary):
    """left + right."""

    examples = (
        Example("N T", "T", gives="N T"),
        Example("N 1 C", "T 1", gives="N T C"),
        Example("N T", 1, gives="N T"),
        Example("int N", 0.5, gives="N"),
        Example("int N", 2, gives="int N"),
        Example("int N", "N", gives="N"),
        Example("", "N", gives="N"),
    )
    operator = "+"
    onnx_name = "Add"
    kept = NOTHING
    passes = True

    def known(self, to: Tensor, left: Known, right: Known) -> Known:
        line = left.line.plus(right.line) if left.line and right.line else None
        return Known(line, known.through(known.plus, left, right))


class Subtract(Binary):
    """left - right."""

    examples = (
        Example("N T", "N 1", gives="N T"),
        Example(1, "N T", gives="N T"),
        Example("int N", "int N", gives="int N"),
    )
    operator = "-"
    onnx_name = "Sub"
    kept = NOTHING
    passes = True

    def known(self, to: Tensor, left: Known, right: Known) -> Known:
        line = left.line.plus(right.line, -1) if left.line and right.line else None
        return Known(line, known.through(known.minus, left, right))


class Multiply(Binary):
    """left * right."""

    examples = (
        Example("N T", "T", gives="N T"),
        Example(0.5, "N T", gives="N T"),
        Example("int N", "int N", gives="int N"),
    )
    operator = "*"
    onnx_name = "Mul"

    def known(self, to: Tensor, left: Known, right: Known) -> Known:
        return Known(known.scaled(left, right) or known.scaled(right, left), known.through(known.times, left, right))

    def keeps(self, tape: Tape, to: tuple[Tensor, ...], *sides: Operand) -> Kept:
        return Kept(factors(*tape.needs))


class Divide(Binary):
    """left / right, a float also of ints."""

    examples = (
        Example("N T", "T", gives="N T", positive=True),
        Example(1, "N T", gives="N T", positive=True),
        Example("int N", 2, gives="N"),
        Example("int N", "int N", gives="N", positive=True),
    )
    operator = "/"
    onnx_name = "Div"

    def operand_type(self, left: Operand, right: Operand) -> DType:
        dtype = promote(left, right)
        return dtype if dtype.is_float else DType.FLOAT

    def known(self, to: Tensor, left: Known, right: Known) -> Known:
        return Known(None, known.through(known.over, left, right))

    def keeps(self, tape: Tape, to: tuple[Tensor, ...], *sides: Operand) -> Kept:
        return Kept((0, 1) if tape.needs[1] else (1,))


class FloorDivide(Binary):
    """The greatest whole number that is not above left / right."""

    examples = (
        Example("N T", "T", gives="N T", positive=True),
        Example("int N T", 2, gives="int N T"),
        Example("int N T", -3, gives="int N T"),
        Example("N T", 0.5, gives="N T"),
    )
    operator = "//"
    kept = NOTHING

    def torch(self, t: TorchContext, left: Code, right: Code) -> Code:
        if t.outputs[0].dtype.is_float:  # of which PyTorch's // has no derivative
            return t.call("torch.floor", t.binary("/", left, right))
        return t.binary("//", left, right)

    def apply(self, g: OnnxContext, left: OnnxValue, right: OnnxValue, dtype: DType) -> OnnxValue:
        if dtype.is_float:
            return g.op("Floor", g.op("Div", left, right))
        return g.op("Div", g.op("Sub", left, g.op("Mod", left, right)), right)  # Div alone cuts towards 0


class Remainder(Binary):
    """left - right * (left // right): what a division leaves, with the sign of `right`."""

    examples = (
        Example("int N T", 3, gives="int N T < 3"),
        Example("int N T", -3, gives="int N T"),
        Example("int N < V", 3, gives="int N < 3"),
        Example("N T", 0.75, gives="N T"),
    )
    operator = "%"

    def infer(self, left: Operand, right: Operand) -> Tensor:
        result = super().infer(left, right)
        if result.dtype.is_int and isinstance(right, Scalar) and _whole(right).less(1) is False:
            return Tensor(result.dtype, result.shape, _whole(right))
        return result

    def keeps(self, tape: Tape, to: tuple[Tensor, ...], *sides: Operand) -> Kept:
        return Kept((0, 1) if tape.needs[1] else ())

    def apply(self, g: OnnxContext, left: OnnxValue, right: OnnxValue, dtype: DType) -> OnnxValue:
        if dtype.is_float:
            return g.op("Sub", left, g.op("Mul", right, g.op("Floor", g.op("Div", left, right))))
        return g.op("Mod", left, right)


class Power(Binary):
    """left ** right: left to the power of right."""

    examples = (
        Example("N T", 2, gives="N T"),
        Example("N T", 0.5, gives="N T", positive=True),
        Example("N T", "T", gives="N T", positive=True),
        Example(2, "N T", gives="N T"),
        Example("int N", 3, gives="int N"),
    )
    operator = "**"
    onnx_name = "Pow"

    def infer(self, left: Operand, right: Operand) -> Tensor:
        result = super().infer(left, right)
        if result.dtype.is_int and isinstance(right, Scalar) and _whole(right).less(0):
            raise ShapeError("right", f"an int has no power {right}", help='cast the base first: cast(x, "float")')
        return result

    def keeps(self, tape: Tape, to: tuple[Tensor, ...], *sides: Operand) -> Kept:
        return Kept((0, 1), (0,) if tape.needs[1] else ())


class Negate(Op):
    """-x."""

    hidden = True
    examples = (Example("N T", gives="N T"), Example("int N", gives="int N"))
    kept = NOTHING

    def infer(self, x: Tensor) -> Tensor:
        require_number("x", x)
        return x.cast(x.dtype)

    def flow(self, to: tuple[Tensor, ...], x: Tensor) -> Flow:
        return pointwise(to[0], x)

    def known(self, to: Tensor, x: Known) -> Known:
        fills = known.through(known.negative, x)
        return Known(x.line.times(-1) if x.line else None, fills)

    def torch(self, t: TorchContext, x: Code) -> Code:
        return t.unary("-", x)

    def onnx(self, g: OnnxContext, x: OnnxValue) -> OnnxValue:
        return g.op("Neg", x)


def _whole(scalar: Scalar) -> Dim:
    """A static number that met ints and left them ints."""
    assert isinstance(scalar.value, Dim)
    return scalar.value
