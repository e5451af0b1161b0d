"""The operators of the language that compare and connect truth values, element by element, broadcasting."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dlc.compiler.flow import known
from dlc.compiler.flow.known import Known
from dlc.compiler.flow.reading import Flow, pointwise
from dlc.compiler.op import Example, Op
from dlc.compiler.ops.operators import Binary
from dlc.compiler.types import (
    DType,
    Operand,
    Scalar,
    Tensor,
    TypeMismatch,
    broadcast,
    require_bool,
)

if TYPE_CHECKING:
    from dlc.compiler.onnx.context import OnnxContext, OnnxValue
    from dlc.compiler.torch.context import Code, TorchContext


class Comparison(Binary, abstract=True):
    """A relation between two numbers, element by element."""

    def infer(self, left: Operand, right: Operand) -> Tensor:
        result = super().infer(left, right)
        return result.cast(DType.BOOL)


class Less(Comparison):
    """left < right, as a bool."""

    examples = (
        Example("N T", "T", gives="bool N T"),
        Example("int N", 2, gives="bool N"),
        Example("int N", 0.5, gives="bool N"),
        Example("int N", "N", gives="bool N"),
    )
    operator = "<"
    onnx_name = "Less"

    def known(self, to: Tensor, left: Known, right: Known) -> Known:
        return known.ordered(left, right, strict=True)


class LessEqual(Comparison):
    """left <= right, as a bool."""

    examples = (Example("N T", "T", gives="bool N T"), Example("int N", 2, gives="bool N"))
    operator = "<="
    onnx_name = "LessOrEqual"

    def known(self, to: Tensor, left: Known, right: Known) -> Known:
        return known.ordered(left, right, strict=False)


class Greater(Comparison):
    """left > right, as a bool."""

    examples = (Example("N T", "T", gives="bool N T"), Example("int N", 2, gives="bool N"))
    operator = ">"
    onnx_name = "Greater"

    def known(self, to: Tensor, left: Known, right: Known) -> Known:
        return known.ordered(right, left, strict=True)


class GreaterEqual(Comparison):
    """left >= right, as a bool."""

    examples = (Example("N T", "T", gives="bool N T"), Example("int N", 2, gives="bool N"))
    operator = ">="
    onnx_name = "GreaterOrEqual"

    def known(self, to: Tensor, left: Known, right: Known) -> Known:
        return known.ordered(right, left, strict=False)


class Equality(Binary, abstract=True):
    """A comparison that bools have too."""

    def infer(self, left: Operand, right: Operand) -> Tensor:
        bools = [
            isinstance(side.value, bool) if isinstance(side, Scalar) else side.dtype is DType.BOOL
            for side in (left, right)
        ]
        if bools[0] != bools[1]:
            raise TypeMismatch(
                "right", "a bool and a number are never equal", label=f"{left} against {right}", against="left"
            )
        self.operand_type(left, right)
        return Tensor(DType.BOOL, broadcast(left, right))

    def flow(self, to: tuple[Tensor, ...], left: Operand, right: Operand) -> Flow:
        return pointwise(to[0], left, right, compares=frozenset((0, 1)))


class Equal(Equality):
    """left == right, as a bool."""

    examples = (
        Example("int N T", "int T", gives="bool N T"),
        Example("int N", 2, gives="bool N"),
        Example("bool N", "bool N", gives="bool N"),
        Example("bool N", True, gives="bool N"),
        Example("N", 0, gives="bool N"),
    )
    operator = "=="
    onnx_name = "Equal"

    def known(self, to: Tensor, left: Known, right: Known) -> Known:
        return known.equal(left, right)


class NotEqual(Equality):
    """left != right, as a bool."""

    examples = (Example("int N T", "int T", gives="bool N T"), Example("bool N", "bool N", gives="bool N"))
    operator = "!="

    def apply(self, g: OnnxContext, left: OnnxValue, right: OnnxValue, dtype: DType) -> OnnxValue:
        return g.op("Not", g.op("Equal", left, right))

    def known(self, to: Tensor, left: Known, right: Known) -> Known:
        return known.inverted(known.equal(left, right))


class Logical(Binary, abstract=True):
    """A connective of two bools."""

    def infer(self, left: Operand, right: Operand) -> Tensor:
        require_bool("left", left)
        require_bool("right", right)
        return Tensor(DType.BOOL, broadcast(left, right))


class LogicalAnd(Logical):
    """left and right: whether both are true."""

    examples = (Example("bool N T", "bool T", gives="bool N T"), Example("bool N", True, gives="bool N"))
    operator = "&"
    onnx_name = "And"

    def known(self, to: Tensor, left: Known, right: Known) -> Known:
        return Known(None, known.through(known.conjunction, left, right))


class LogicalOr(Logical):
    """left or right: whether one or both are true."""

    examples = (Example("bool N T", "bool T", gives="bool N T"),)
    operator = "|"
    onnx_name = "Or"

    def known(self, to: Tensor, left: Known, right: Known) -> Known:
        return Known(None, known.through(known.disjunction, left, right))


class LogicalNot(Op):
    """not x: whether it is false."""

    hidden = True
    examples = (Example("bool N T", gives="bool N T"),)

    def infer(self, x: Tensor) -> Tensor:
        require_bool("x", x)
        return x

    def flow(self, to: tuple[Tensor, ...], x: Tensor) -> Flow:
        return pointwise(to[0], x)

    def known(self, to: Tensor, x: Known) -> Known:
        return known.inverted(x)

    def torch(self, t: TorchContext, x: Code) -> Code:
        return t.unary("~", x)

    def onnx(self, g: OnnxContext, x: OnnxValue) -> OnnxValue:
        return g.op("Not", x)
