"""Of two values the smaller, the larger, or the one that a condition chooses; element types."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from dlc.compiler.dim import Dim
from dlc.compiler.flow import known
from dlc.compiler.flow.known import Known
from dlc.compiler.flow.reading import Flow, Gate, pointwise
from dlc.compiler.kept import INPUT, NOTHING, Kept
from dlc.compiler.op import Example, Op
from dlc.compiler.torch.context import Code, TorchContext
from dlc.compiler.types import (
    DType,
    Operand,
    Scalar,
    ShapeError,
    Tensor,
    TypeMismatch,
    broadcast,
    promote,
    require_bool,
    require_number,
)

if TYPE_CHECKING:
    from dlc.compiler.onnx.context import OnnxContext, OnnxValue


class Extreme(Op, abstract=True):
    """The smaller or the larger of two values, element by element."""

    function: ClassVar[str]
    onnx_name: ClassVar[str]
    bound: ClassVar[str]  # which bound of clamp a static number is
    static: ClassVar[str]  # the function of static numbers
    kept = Kept((0, 1))

    def infer(self, x: Operand, y: Operand) -> Tensor:
        if isinstance(x, Scalar) and isinstance(y, Scalar):
            raise TypeMismatch(
                "x",
                "one of the two is a tensor, and both are numbers",
                help=f"{self.static}(x, y) takes static numbers",
            )
        dtype = promote(x, y)
        for name, operand in (("x", x), ("y", y)):
            require_number(name, operand)
        return Tensor(dtype, broadcast(x, y))

    def flow(self, to: tuple[Tensor, ...], x: Operand, y: Operand) -> Flow:
        return pointwise(to[0], x, y)

    def torch(self, t: TorchContext, x: Code, y: Code) -> Code:
        if isinstance(t.inputs[0], Scalar):
            return t.method(y, "clamp", **{self.bound: x})
        if isinstance(t.inputs[1], Scalar):
            return t.method(x, "clamp", **{self.bound: y})
        return t.call(self.function, x, y)

    def onnx(self, g: OnnxContext, x: OnnxValue | Scalar, y: OnnxValue | Scalar) -> OnnxValue:
        dtype = g.outputs[0].dtype
        return g.op(self.onnx_name, g.tensor(x, dtype), g.tensor(y, dtype))


class Minimum(Extreme):
    """The smaller of x and y, element by element; the shapes are broadcast."""

    examples = (
        Example("N T", "T", gives="N T"),
        Example("N T", 0.5, gives="N T"),
        Example("int N", 2, gives="int N"),
        Example("int N", "float N", gives="N"),
    )
    function = "torch.minimum"
    onnx_name = "Min"
    bound = "max"
    static = "min"


class Maximum(Extreme):
    """The larger of x and y, element by element; the shapes are broadcast."""

    examples = (
        Example("N T", "N 1", gives="N T"),
        Example(0, "N T", gives="N T"),
        Example("int N", 0.5, gives="N"),
    )
    function = "torch.maximum"
    onnx_name = "Max"
    bound = "min"
    static = "max"


class Clamp(Op):
    """x where it lies from `low` to `high`, else the nearer bound. Bounds are numbers or tensors; one may be absent."""

    examples = (
        Example("N T", -0.5, 0.5, gives="N T"),
        Example("N T", None, 0.5, gives="N T"),
        Example("N T", "N 1", None, gives="N T"),
        Example("N T", 0, "T", gives="N T"),
        Example("int N", -1, 2, gives="int N"),
    )
    kept = INPUT

    def infer(self, x: Tensor, low: Operand | None = None, high: Operand | None = None) -> Tensor:
        require_number("x", x)
        if low is None and high is None:
            raise ShapeError(None, "clamp has no bound", help="give low, high or both, as in clamp(x, 0, 1)")
        result = x.cast(x.dtype)
        for name, bound in (("low", low), ("high", high)):
            if bound is not None:
                require_number(name, bound)
                result = Tensor(promote(result, bound), broadcast(result, bound))
        if _number(low) is not None and _number(high) is not None and _number(low) > _number(high):
            raise ShapeError("low", f"the lower bound {low} is above the upper bound {high}", against="high")
        return result

    def flow(self, to: tuple[Tensor, ...], x: Tensor, low: Operand | None = None, high: Operand | None = None) -> Flow:
        return pointwise(to[0], x, low, high)

    def torch(self, t: TorchContext, x: Code, low: Code | None = None, high: Code | None = None) -> Code:
        kinds = {isinstance(bound, Scalar) for bound in t.inputs[1:] if bound is not None}
        if len(kinds) > 1:  # PyTorch takes two numbers or two tensors
            return t.method(t.method(x, "clamp", min=low), "clamp", max=high)
        if low is None or high is None:
            return t.method(x, "clamp", **({"max": high} if low is None else {"min": low}))
        return t.method(x, "clamp", low, high)

    def onnx(
        self,
        g: OnnxContext,
        x: OnnxValue,
        low: OnnxValue | Scalar | None = None,
        high: OnnxValue | Scalar | None = None,
    ) -> OnnxValue:
        dtype = g.outputs[0].dtype
        x = g.tensor(x, dtype)
        if low is not None:
            x = g.op("Max", x, g.tensor(low, dtype))
        if high is not None:
            x = g.op("Min", x, g.tensor(high, dtype))
        return x


def _number(operand: Operand | None) -> Any:
    value = operand.value if isinstance(operand, Scalar) else None
    return value.constant if isinstance(value, Dim) else value


class Where(Op):
    """`a` where the condition is true, `b` elsewhere; the shapes are broadcast.

    Two static numbers make a float tensor.
    """

    examples = (
        Example("bool N T", "N T", 0, gives="N T"),
        Example("bool N 1", "T", "N T", gives="N T"),
        Example("bool N", 1, -1, gives="N"),
        Example("bool N", "int N", -1, gives="int N"),
        Example("bool N", "int N", "N", gives="N"),
    )
    kept = INPUT

    def infer(self, condition: Tensor, a: Operand, b: Operand) -> Tensor:
        require_bool("condition", condition)
        if isinstance(a, Scalar) and isinstance(b, Scalar):
            require_number("a", a)
            require_number("b", b)
            dtype = DType.FLOAT
        else:
            dtype = promote(a, b)
        both = Tensor(dtype, broadcast(a, b))
        return Tensor(dtype, broadcast(condition, both))

    def flow(self, to: tuple[Tensor, ...], condition: Tensor, a: Operand, b: Operand) -> Flow:
        return pointwise(to[0], condition, a, b, gates=(Gate(1, 0, False), Gate(2, 0, True)))

    def known(self, to: Tensor, condition: Known, a: Known, b: Known) -> Known:
        return Known(None, known.through(known.choice, condition, a, b))

    def torch(self, t: TorchContext, condition: Code, a: Code, b: Code) -> Code:
        if not all(isinstance(each, Scalar) for each in t.inputs[1:]):
            return t.call("torch.where", condition, a, b)
        chosen = t.call("torch.where", condition, _as_float(t, t.inputs[1], a), _as_float(t, t.inputs[2], b))
        dtype = t.dtype(DType.FLOAT)
        return chosen if dtype == "torch.get_default_dtype()" else t.method(chosen, "to", Code(dtype))

    def onnx(self, g: OnnxContext, condition: OnnxValue, a: OnnxValue | Scalar, b: OnnxValue | Scalar) -> OnnxValue:
        dtype = g.outputs[0].dtype
        return g.op("Where", condition, g.tensor(a, dtype), g.tensor(b, dtype))


def _as_float(t: TorchContext, operand: Scalar, code: Code) -> Code:
    value = operand.value
    if isinstance(value, Dim) and not value.is_constant:
        return t.call("float", code)
    return t.literal(float(value))


TypeName = Literal["float", "float64", "float16", "bfloat16", "int", "int32", "int8", "uint8", "bool"]


def _holds(before: DType, after: DType) -> bool:
    """Whether every int of one type is the same number in the other."""
    return before is after or (before in (DType.INT, DType.INT32) and after in (DType.INT, DType.INT32))


class Cast(Op):
    """x in another element type: floats are cut to ints towards 0, and as a bool is true what is not 0."""

    type: TypeName
    examples = (
        Example("N T", type="int", gives="int N T", smooth=False),
        Example("int N < 7", type="float", gives="N"),
        Example("int N < 7", type="int32", gives="int32 N < 7"),
        Example("bool N", type="int", gives="int N < 2"),
        Example("N", type="bool", gives="bool N"),
        Example("N", type="float64", gives="float64 N"),
    )
    kept = NOTHING
    passes = True

    def infer(self, x: Tensor) -> Tensor:
        dtype = DType(self.type)
        below = Dim.of(2) if x.dtype is DType.BOOL else x.below
        return Tensor(dtype, x.shape, below if dtype.is_int else None)

    def flow(self, to: tuple[Tensor, ...], x: Tensor) -> Flow:
        return pointwise(to[0], x, keeps=_holds(x.dtype, to[0].dtype))

    def known(self, to: Tensor, x: Known) -> Known | None:
        if to.dtype is DType.BOOL:
            return Known(None, known.through(known.truth, x))
        return Known(None, x.fills) if to.dtype.is_float else None

    def torch(self, t: TorchContext, x: Code) -> Code:
        dtype = DType(self.type)
        return x if t.inputs[0].dtype is dtype else t.method(x, "to", Code(t.dtype(dtype)))

    def onnx(self, g: OnnxContext, x: OnnxValue) -> OnnxValue:
        return g.cast(x, DType(self.type))
