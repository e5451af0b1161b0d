"""Tensors made from nothing but their sizes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from dlc.compiler.dim import Dim
from dlc.compiler.flow.known import Known, Line, compared, constant, square
from dlc.compiler.flow.reading import Flow, flow, unread
from dlc.compiler.kept import NOTHING
from dlc.compiler.op import Example, Float, Int, Op, Size, Sizes
from dlc.compiler.torch.context import Code, TorchContext
from dlc.compiler.types import DType, ShapeError, Tensor, require_rank
from dlc.compiler.validation import Before

if TYPE_CHECKING:
    from dlc.compiler.onnx.context import OnnxContext, OnnxValue


def _as_number(value: Any) -> Any:
    return Dim.of(value) if isinstance(value, int) and not isinstance(value, bool) else value


Number = Annotated[Dim | float | bool, Before(_as_number)]


class Filled(Op, abstract=True):
    """A tensor of floats that are all the same."""

    shape: Sizes
    variadic = "shape"
    filling: ClassVar[float]
    torch_name: ClassVar[str]

    def infer(self) -> Tensor:
        require_sizes(self.shape)
        return Tensor(DType.FLOAT, self.shape)

    def flow(self, to: tuple[Tensor, ...]) -> Flow:
        return flow(to[0])

    def known(self, to: Tensor) -> Known:
        return constant(self.filling)

    def torch(self, t: TorchContext) -> Code:
        return t.factory(self.torch_name, *sizes_of(self.shape))

    def onnx(self, g: OnnxContext) -> OnnxValue:
        return g.op("Expand", g.constant(self.filling, DType.FLOAT), g.sizes(self.shape))


class Zeros(Filled):
    """A tensor of zeros."""

    filling = 0.0
    torch_name = "torch.zeros"
    noun = "zeros"
    examples = (Example(shape=(2, 3), gives="2 3"), Example(shape=(), gives=""))


class Ones(Filled):
    """A tensor of ones."""

    filling = 1.0
    torch_name = "torch.ones"
    noun = "ones"
    examples = (Example(shape=(2, 3), gives="2 3"),)


class Fill(Op):
    """A tensor whose elements are all `value`: a static number or a scalar tensor, whose element type it takes."""

    shape: Sizes
    value: Number | None = None
    variadic = "shape"
    examples = (
        Example(shape=(2, 3), value=0.5, gives="2 3"),
        Example(shape=(4,), value=7, gives="int 4 < 8"),
        Example(shape=(4,), value=-1, gives="int 4"),
        Example(shape=(2,), value=True, gives="bool 2"),
        Example("", shape=(4,), gives="4"),
        Example("int < 9", shape=(2, 2), gives="int 2 2 < 9"),
    )
    kept = NOTHING

    def infer(self, value: Tensor | None = None) -> Tensor:
        require_sizes(self.shape)
        if value is None:
            return self._static()
        if self.value is not None:
            raise ShapeError("value", "the value is given twice, as a tensor and as a number")
        require_rank("value", value, 0)
        return value.reshaped(self.shape)

    def flow(self, to: tuple[Tensor, ...], *value: Tensor | None) -> Flow:
        return flow(to[0], *(None if each is None else () for each in value), keeps=True)

    def known(self, to: Tensor, *value: Known) -> Known | None:
        number = self.value.constant if isinstance(self.value, Dim) else self.value
        return constant(number) if number is not None else value[0] if value else None

    def _static(self) -> Tensor:
        if self.value is None:
            raise ShapeError(None, "there is no value to fill with", help="give it by name: fill(N, value=0.5)")
        if isinstance(self.value, Dim):
            return Tensor(DType.INT, self.shape, None if self.value.less(0) is not False else self.value + 1)
        return Tensor(DType.BOOL if isinstance(self.value, bool) else DType.FLOAT, self.shape)

    def torch(self, t: TorchContext, value: Code | None = None) -> Code:
        if value is not None:
            return t.method(value, "expand", *sizes_of(self.shape))
        return t.factory("torch.full", self.shape, t.literal(self.value), dtype=t.outputs[0].dtype)

    def onnx(self, g: OnnxContext, value: OnnxValue | None = None) -> OnnxValue:
        if value is None:
            dtype = g.outputs[0].dtype
            value = g.size(self.value) if isinstance(self.value, Dim) else g.constant(self.value, dtype)
        return g.op("Expand", value, g.sizes(self.shape))


class Arange(Op):
    """The ints from `a` up to but not including `b` in steps of `step`; from 0 to `a` where there is no `b`."""

    a: Size
    b: Size | None = None
    step: Int = 1
    examples = (
        Example(a=5, gives="int 5 < 5"),
        Example(a=2, b=9, gives="int 7 < 9"),
        Example(a=2, b=9, step=3, gives="int 3 < 9"),
        Example(a=9, b=-1, step=-2, gives="int 5 < 10"),
        Example(a=-3, b=2, gives="int 5"),
        Example(a=7, step=2, gives="int 4 < 7"),
    )

    def infer(self) -> Tensor:
        if self.step == 0:
            raise ShapeError("step", "step is 0, so the end is never reached")
        start, stop = self._ends()
        way = stop - start if self.step > 0 else start - stop
        if way.less(0):
            raise ShapeError(
                "b", f"there is no way from {start} to {stop} in steps of {self.step}", sizes=(start, stop)
            )
        length = (way + abs(self.step) - 1) // abs(self.step)
        least, above = (start, stop) if self.step > 0 else (stop + 1, start + 1)
        return Tensor(DType.INT, (length,), above if least.less(0) is False else None)

    def flow(self, to: tuple[Tensor, ...]) -> Flow:
        return flow(to[0], fixed=(0,))

    def known(self, to: Tensor) -> Known:
        return Known(Line(((0, self.step),), self._ends()[0]))

    def _ends(self) -> tuple[Dim, Dim]:
        return (Dim.of(0), self.a) if self.b is None else (self.a, self.b)

    def torch(self, t: TorchContext) -> Code:
        if self.step != 1:
            return t.factory("torch.arange", *self._ends(), self.step, dtype=None)
        return t.factory("torch.arange", *([self.a] if self.b is None else [self.a, self.b]), dtype=None)

    def onnx(self, g: OnnxContext) -> OnnxValue:
        start, stop = self._ends()
        return g.op("Range", g.size(start), g.size(stop), g.constant(self.step, DType.INT))


class Linspace(Op):
    """`count` floats from `a` to `b`, both included, at equal distances."""

    a: Float
    b: Float
    count: Size
    examples = (Example(a=0.0, b=1.0, count=5, gives="5"), Example(a=1e-4, b=0.02, count=1, gives="1"))

    def infer(self) -> Tensor:
        require_sizes((self.count,), "count")
        return Tensor(DType.FLOAT, (self.count,))

    def torch(self, t: TorchContext) -> Code:
        return t.factory("torch.linspace", self.a, self.b, self.count)

    def onnx(self, g: OnnxContext) -> OnnxValue:
        if self.count.is_constant:
            import numpy as np

            return g.constant(np.linspace(self.a, self.b, int(self.count)), DType.FLOAT)
        one = g.constant(1, DType.INT)
        place = g.op("Range", g.constant(0, DType.INT), g.size(self.count), one)
        gaps = g.op("Max", g.size(self.count - 1), one)
        share = g.op("Div", g.cast(place, DType.FLOAT), g.cast(gaps, DType.FLOAT))
        span = g.op("Mul", share, g.constant(self.b - self.a, DType.FLOAT))
        return g.op("Add", span, g.constant(self.a, DType.FLOAT))


class Eye(Op):
    """The identity matrix with `n` rows."""

    n: Size
    examples = (Example(n=4, gives="4 4"),)

    def infer(self) -> Tensor:
        require_sizes((self.n,), "n")
        return Tensor(DType.FLOAT, (self.n, self.n))

    def flow(self, to: tuple[Tensor, ...]) -> Flow:
        return flow(to[0], joint=True)

    def known(self, to: Tensor) -> Known:
        return square(to)

    def torch(self, t: TorchContext) -> Code:
        return t.factory("torch.eye", self.n)

    def onnx(self, g: OnnxContext) -> OnnxValue:
        row, column = _places(g, self.n)
        return g.cast(g.op("Equal", row, column), DType.FLOAT)


class CausalMask(Op):
    """A square of bools that lets position t see the positions up to t: true on and below the diagonal."""

    n: Size
    examples = (Example(n=4, gives="bool 4 4"),)

    def infer(self) -> Tensor:
        require_sizes((self.n,), "n")
        return Tensor(DType.BOOL, (self.n, self.n))

    def flow(self, to: tuple[Tensor, ...]) -> Flow:
        return flow(to[0], fixed=(0, 1))

    def known(self, to: Tensor) -> Known:
        return Known(None, compared(Line(((0, -1), (1, 1)), Dim.of(0)), strict=False))

    def torch(self, t: TorchContext) -> Code:
        return t.method(t.factory("torch.ones", self.n, self.n, dtype=DType.BOOL), "tril")

    def onnx(self, g: OnnxContext) -> OnnxValue:
        row, column = _places(g, self.n)
        return g.op("GreaterOrEqual", row, column)


class Like(Op, abstract=True):
    """A tensor of the type of another."""

    filling: ClassVar[int]
    differentiable = False

    def infer(self, x: Tensor) -> Tensor:
        return x.cast(x.dtype)

    def flow(self, to: tuple[Tensor, ...], x: Tensor) -> Flow:
        return unread(to[0], x)

    def known(self, to: Tensor, x: Known) -> Known:
        return constant(self.filling)

    def torch(self, t: TorchContext, x: Code) -> Code:
        return t.call(f"torch.{self.name}", x)

    def onnx(self, g: OnnxContext, x: OnnxValue) -> OnnxValue:
        return g.op("Expand", g.constant(self.filling, g.inputs[0].dtype), g.op("Shape", x))


class ZerosLike(Like):
    """Zeros in the shape and the element type of x."""

    filling = 0
    examples = (Example("N T", gives="N T"), Example("int N < 5", gives="int N"))


class OnesLike(Like):
    """Ones in the shape and the element type of x."""

    filling = 1
    examples = (Example("N T", gives="N T"), Example("bool N", gives="bool N"))


def require_sizes(shape: tuple[Dim, ...], name: str = "shape") -> None:
    """Refuses a size that is known to be negative."""
    for size in shape:
        if size.less(0):
            raise ShapeError(name, f"a size is {size}, and sizes are not negative", sizes=(size,))


def sizes_of(shape: tuple[Dim, ...]) -> tuple[Any, ...]:
    """Sizes as arguments of a call; those of a scalar are one empty tuple."""
    return shape or ((),)


def _places(g: OnnxContext, n: Dim) -> tuple[OnnxValue, OnnxValue]:
    """The positions from 0 to n - 1 as a column and as a row."""
    place = g.op("Range", g.constant(0, DType.INT), g.size(n), g.constant(1, DType.INT))
    return g.op("Unsqueeze", place, g.ints([1])), place
