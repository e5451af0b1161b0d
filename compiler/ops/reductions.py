"""Axes made one number: sums, means, extremes, norms, quantifiers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from dlc.compiler.dim import Dim
from dlc.compiler.flow.reading import Flow, without
from dlc.compiler.kept import INPUT, NOTHING, Kept
from dlc.compiler.op import Example, Int, Ints, NonNegative, Op, PositiveFloat
from dlc.compiler.torch.context import Code
from dlc.compiler.types import (
    DType,
    ShapeError,
    Tensor,
    product,
    require_bool,
    require_filled,
    require_float,
    require_number,
    resolve_axes,
    resolve_axis,
)

if TYPE_CHECKING:
    from dlc.compiler.onnx.context import OnnxContext, OnnxValue
    from dlc.compiler.torch.context import TorchContext


class Reduction(Op, abstract=True):
    """A number from the elements along one axis, several, or all; `keep` leaves reduced axes with size 1."""

    axis: Int | None = None
    axes: Ints | None = None
    keep: bool = False

    torch_name: ClassVar[str]
    onnx_name: ClassVar[str]

    def reduced(self, x: Tensor) -> tuple[int, ...]:
        """The axes that go, in ascending order."""
        if self.axis is not None and self.axes is not None:
            raise ShapeError("axes", "axis and axes are both given", help="give one of the two", against="axis")
        if self.axis is not None:
            return (resolve_axis(self.axis, x.rank),)
        if self.axes is None:
            return tuple(range(x.rank))
        if not self.axes:
            raise ShapeError("axes", "axes names no axis", help="leave it out to reduce all axes")
        return resolve_axes(self.axes, x.rank)

    def count(self, x: Tensor) -> Dim:
        """How many elements make one result."""
        return product([x.shape[axis] for axis in self.reduced(x)])

    def dtype(self, x: Tensor) -> DType:
        """The element type of the result. Raises TypeMismatch."""
        require_float("x", x)
        return x.dtype

    def infer(self, x: Tensor) -> Tensor:
        axes = self.reduced(x)
        sizes = [Dim.of(1) if axis in axes else size for axis, size in enumerate(x.shape)]
        kept = [size for axis, size in enumerate(sizes) if self.keep or axis not in axes]
        return Tensor(self.dtype(x), tuple(kept))

    def flow(self, to: tuple[Tensor, ...], x: Tensor) -> Flow:
        return without(x, to[0], self.reduced(x), keep=self.keep)

    def options(self, x: Tensor) -> dict[str, Any]:
        """The arguments dim and keepdim of PyTorch's reductions, as they were given."""
        options: dict[str, Any] = {}
        if self.axis is not None:
            options["dim"] = self.axis
        elif self.axes is not None:
            first, *others = self.axes
            options["dim"] = self.axes if others else first
        elif self.keep:
            options["dim"] = tuple(range(x.rank))
        return options | ({"keepdim": True} if self.keep else {})

    def torch(self, t: TorchContext, x: Code) -> Code:
        return t.method(x, self.torch_name, **self.options(t.inputs[0]))

    def onnx(self, g: OnnxContext, x: OnnxValue) -> OnnxValue:
        return self.reduce(g, self.onnx_name, g.cast(x, g.outputs[0].dtype))

    def reduce(self, g: OnnxContext, kind: str, x: OnnxValue, keep: bool | None = None) -> OnnxValue:
        axes = self.reduced(g.inputs[0])
        if not axes:
            return g.op("Identity", x)
        return g.op(kind, x, g.ints(axes), keepdims=int(self.keep if keep is None else keep))


class Sum(Reduction):
    """The sum. Of bools, how many are true."""

    examples = (
        Example("N T C", gives=""),
        Example("N T C", axis=1, gives="N C"),
        Example("N C H W", axes=[2, 3], keep=True, gives="N C 1 1"),
        Example("int N T", axis=-1, gives="int N"),
        Example("bool N T", axis=0, gives="int T"),
        Example("", gives=""),
    )
    torch_name = "sum"
    onnx_name = "ReduceSum"
    kept = NOTHING

    def dtype(self, x: Tensor) -> DType:
        return x.dtype if x.dtype.is_float else DType.INT


class Mean(Reduction):
    """The arithmetic mean. Of bools, the share that is true."""

    examples = (
        Example("N C H W", axes=[2, 3], gives="N C"),
        Example("N T", axis=-1, keep=True, gives="N 1"),
        Example("N T", gives=""),
        Example("N T", keep=True, gives="1 1"),
        Example("bool N T", axis=0, gives="T"),
        Example("int N", gives=""),
    )
    torch_name = "mean"
    onnx_name = "ReduceMean"
    kept = NOTHING

    def dtype(self, x: Tensor) -> DType:
        return x.dtype if x.dtype.is_float else DType.FLOAT

    def torch(self, t: TorchContext, x: Code) -> Code:
        cast = {} if t.inputs[0].dtype.is_float else {"dtype": Code(t.dtype(DType.FLOAT))}
        return t.method(x, self.torch_name, **self.options(t.inputs[0]), **cast)


class Prod(Reduction):
    """The product."""

    examples = (
        Example("N T", axis=1, gives="N", positive=True),
        Example("N 2 3", axes=[2, 1], keep=True, gives="N 1 1"),
        Example("int 2 3", gives="int"),
    )
    torch_name = "prod"
    onnx_name = "ReduceProd"
    kept = Kept((0,), (0,))

    def dtype(self, x: Tensor) -> DType:
        require_number("x", x)
        return x.dtype if x.dtype.is_float else DType.INT

    def torch(self, t: TorchContext, x: Code) -> Code:
        if self.axis is None and self.axes is None and not self.keep:
            return t.method(x, "prod")
        for axis in reversed(self.reduced(t.inputs[0])):  # PyTorch multiplies along one axis at a time
            x = t.method(x, "prod", dim=axis, **({"keepdim": True} if self.keep else {}))
        return x


class Extremum(Reduction, abstract=True):
    """The least or the greatest element."""

    kept = Kept((0,), (0,))

    def dtype(self, x: Tensor) -> DType:
        require_number("x", x)
        return x.dtype

    def infer(self, x: Tensor) -> Tensor:
        result = super().infer(x)
        require_filled("x", x, self.reduced(x))
        return Tensor(result.dtype, result.shape, x.below)


class Max(Extremum):
    """The greatest element."""

    examples = (
        Example("N T", axis=1, gives="N"),
        Example("N C H W", axes=[-1, -2], gives="N C"),
        Example("N T", gives=""),
        Example("int N T < V", axis=0, gives="int T < V"),
    )
    torch_name = "amax"
    onnx_name = "ReduceMax"


class Min(Extremum):
    """The least element."""

    examples = (Example("N T", axis=1, keep=True, gives="N 1"), Example("int N", gives="int"))
    torch_name = "amin"
    onnx_name = "ReduceMin"


class Spread(Reduction, abstract=True):
    """A measure of the distance from the mean, over `count - correction`."""

    correction: NonNegative = 1

    def options(self, x: Tensor) -> dict[str, Any]:
        correction = {} if self.correction == 1 else {"correction": self.correction}
        return super().options(x) | correction

    def infer(self, x: Tensor) -> Tensor:
        result = super().infer(x)
        if self.count(x).at_most(self.correction):
            raise ShapeError(
                "correction",
                f"{self.count(x)} elements less a correction of {self.correction} leave nothing to divide by",
                label=str(x),
            )
        return result

    def variance(self, g: OnnxContext, x: OnnxValue) -> OnnxValue:
        away = g.op("Sub", x, self.reduce(g, "ReduceMean", x, keep=True))
        total = self.reduce(g, "ReduceSum", g.op("Mul", away, away))
        return g.op("Div", total, g.cast(g.size(self.count(g.inputs[0]) - self.correction), g.outputs[0].dtype))


class Var(Spread):
    """The variance: the sum of squared distances from the mean over `count - correction`; 0 is the population's."""

    examples = (
        Example("N T", axis=1, gives="N"),
        Example("N C H W", axes=[0, 2, 3], correction=0, keep=True, gives="1 C 1 1"),
        Example("N T", gives=""),
    )
    torch_name = "var"
    kept = INPUT

    def onnx(self, g: OnnxContext, x: OnnxValue) -> OnnxValue:
        return self.variance(g, x)


class Std(Spread):
    """The standard deviation, the square root of the variance."""

    examples = (Example("N T", axis=1, gives="N"), Example("N T", correction=0, gives=""))
    torch_name = "std"
    kept = Kept((0,), (0,))

    def onnx(self, g: OnnxContext, x: OnnxValue) -> OnnxValue:
        return g.op("Sqrt", self.variance(g, x))


class Norm(Reduction):
    """The p-norm of the elements as one vector: the p-th root of the sum of p-th powers of the absolute values."""

    p: PositiveFloat = 2.0
    examples = (
        Example("N T", gives=""),
        Example("N T", axis=-1, keep=True, gives="N 1"),
        Example("N T", axis=1, p=1, gives="N"),
        Example("N T C", axes=[1, 2], p=3, gives="N"),
    )
    kept = Kept((0,), (0,))

    def torch(self, t: TorchContext, x: Code) -> Code:
        order = {} if self.p == 2 else {"ord": int(self.p) if self.p.is_integer() else self.p}
        return t.call("torch.linalg.vector_norm", x, **order, **self.options(t.inputs[0]))

    def onnx(self, g: OnnxContext, x: OnnxValue) -> OnnxValue:
        if self.p in (1, 2):
            return self.reduce(g, f"ReduceL{self.p:.0f}", x)
        dtype = g.outputs[0].dtype
        powers = g.op("Pow", g.op("Abs", x), g.constant(self.p, dtype))
        return g.op("Pow", self.reduce(g, "ReduceSum", powers), g.constant(1 / self.p, dtype))


class Logsumexp(Reduction):
    """log(sum(exp(x))), without overflow."""

    examples = (
        Example("N T", axis=-1, gives="N"),
        Example("N T C", axes=[1, 2], keep=True, gives="N 1 1"),
        Example("N T", gives=""),
    )
    onnx_name = "ReduceLogSumExp"
    kept = Kept((0,), (0,))

    def torch(self, t: TorchContext, x: Code) -> Code:
        options = {"dim": tuple(range(t.inputs[0].rank))} | self.options(t.inputs[0])
        return t.method(x, "logsumexp", **options)


class Quantifier(Reduction, abstract=True):
    """A statement on bools."""

    def dtype(self, x: Tensor) -> DType:
        require_bool("x", x)
        return DType.BOOL

    def onnx(self, g: OnnxContext, x: OnnxValue) -> OnnxValue:
        return g.cast(self.reduce(g, self.onnx_name, g.cast(x, DType.INT32)), DType.BOOL)


class Any_(Quantifier, name="any"):  # noqa: N801 - `Any` is taken
    """Whether one is true."""

    examples = (
        Example("bool N T", axis=1, gives="bool N"),
        Example("bool N T C", axes=[0, 2], gives="bool T"),
        Example("bool N T", gives="bool"),
    )
    torch_name = "any"
    onnx_name = "ReduceMax"


class All(Quantifier):
    """Whether all are true."""

    examples = (Example("bool N T", axis=1, keep=True, gives="bool N 1"), Example("bool N T", gives="bool"))
    torch_name = "all"
    onnx_name = "ReduceMin"
