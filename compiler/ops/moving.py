"""Elements moved along an axis, turned, cut to triangles and shown through windows."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from dlc.compiler.dim import Dim
from dlc.compiler.flow.known import Known, Line, kept
from dlc.compiler.flow.reading import WHOLE, Flow, Near, along, pointwise
from dlc.compiler.kept import NOTHING
from dlc.compiler.op import Example, Int, Op, Positive
from dlc.compiler.types import DType, ShapeError, Tensor, require_rank, resolve_axis

if TYPE_CHECKING:
    from dlc.compiler.onnx.context import OnnxContext, OnnxValue
    from dlc.compiler.torch.context import Code, TorchContext


class Roll(Op):
    """The elements moved `shift` places along `axis`; what leaves at the end comes in at the start."""

    shift: Int
    axis: Int
    examples = (Example("N 5", shift=2, axis=1, gives="N 5"), Example("N T", shift=-1, axis=-1, gives="N T"))
    kept = NOTHING

    def infer(self, x: Tensor) -> Tensor:
        resolve_axis(self.axis, x.rank)
        return x

    def flow(self, to: tuple[Tensor, ...], x: Tensor) -> Flow:
        axis = resolve_axis(self.axis, x.rank)
        return along(x, to[0], {axis: WHOLE}, fixed=(axis,), known=False)

    def torch(self, t: TorchContext, x: Code) -> Code:
        return t.method(x, "roll", self.shift, dims=self.axis)

    def onnx(self, g: OnnxContext, x: OnnxValue) -> OnnxValue:
        size = g.inputs[0].shape[self.axis]
        cut = g.sizes([-self.shift % size])
        axis = g.ints([self.axis])
        front, back = g.op("Slice", x, g.ints([0]), cut, axis), g.op("Slice", x, cut, g.sizes([size]), axis)
        return g.op("Concat", back, front, axis=self.axis)


class Flip(Op):
    """The elements in the opposite order along `axis`."""

    axis: Int
    examples = (Example("N T", axis=1, gives="N T"), Example("int N < V", axis=0, gives="int N < V"))
    kept = NOTHING

    def infer(self, x: Tensor) -> Tensor:
        resolve_axis(self.axis, x.rank)
        return x

    def flow(self, to: tuple[Tensor, ...], x: Tensor) -> Flow:
        axis = resolve_axis(self.axis, x.rank)
        last = x.shape[axis] - 1
        return along(x, to[0], {axis: Near(axis, last, last, by=-1)}, keeps=True)

    def torch(self, t: TorchContext, x: Code) -> Code:
        return t.method(x, "flip", self.axis)

    def onnx(self, g: OnnxContext, x: OnnxValue) -> OnnxValue:
        return g.op("Slice", x, g.ints([-1]), g.ints([-(2**63 - 1)]), g.ints([self.axis]), g.ints([-1]))


class Triangle(Op, abstract=True):
    """One triangle of the last two axes, zeros in the other."""

    diagonal: Int = 0
    side: ClassVar[int]  # 1 where what is above goes, -1 where what is below
    kept = NOTHING

    def infer(self, x: Tensor) -> Tensor:
        require_rank("x", x, 2, 99)
        return x

    def flow(self, to: tuple[Tensor, ...], x: Tensor) -> Flow:
        return pointwise(to[0], x, fixed=(x.rank - 2, x.rank - 1))

    def known(self, to: Tensor, x: Known) -> Known:
        row, column = Line(((to.rank - 2, 1),), Dim.of(0)), Line(((to.rank - 1, 1),), Dim.of(0))
        beyond = column.plus(row, -1).plus(Line((), Dim.of(-self.diagonal))).times(self.side)
        return kept(x, beyond)

    def torch(self, t: TorchContext, x: Code) -> Code:
        return t.method(x, self.name, self.diagonal) if self.diagonal else t.method(x, self.name)

    def onnx(self, g: OnnxContext, x: OnnxValue) -> OnnxValue:
        return g.op("Trilu", x, g.constant(self.diagonal, DType.INT), upper=int(self.name == "triu"))


class Tril(Triangle):
    """Zeros above the `diagonal`-th diagonal of the last two axes; 0 is the main one, 1 the one above it."""

    side = 1
    examples = (Example("N T", gives="N T"), Example("N T T", diagonal=-1, gives="N T T"))


class Triu(Triangle):
    """Zeros below the `diagonal`-th diagonal of the last two axes; 0 is the main one, 1 the one above it."""

    side = -1
    examples = (Example("N T", gives="N T"), Example("bool T T", diagonal=1, gives="bool T T"))


class Unfold(Op):
    """Sliding windows of `kernel` elements along `axis`, every `stride`-th; a new last axis runs through a window."""

    kernel: Positive
    stride: Positive = 1
    axis: Int = -1
    examples = (
        Example("N T", kernel=3, gives="N T-2 3"),
        Example("N T C", kernel=2, stride=2, axis=1, gives="N T//2 C 2"),
        Example("N 9", kernel=4, stride=3, gives="N 2 4"),
    )
    kept = NOTHING
    view = True

    def windows(self, x: Tensor) -> Dim:
        size = x.shape[resolve_axis(self.axis, x.rank)]
        if size.less(self.kernel):
            raise ShapeError(
                "kernel", f"a window of {self.kernel} does not fit into an axis of size {size}", label=str(x)
            )
        return (size - self.kernel) // self.stride + 1

    def infer(self, x: Tensor) -> Tensor:
        axis = resolve_axis(self.axis, x.rank)
        return x.reshaped((*x.shape[:axis], self.windows(x), *x.shape[axis + 1 :], self.kernel))

    def flow(self, to: tuple[Tensor, ...], x: Tensor) -> Flow:
        axis = resolve_axis(self.axis, x.rank)
        return along(x, to[0], {axis: Near(axis, 0, self.kernel - 1, by=self.stride)}, fixed=(x.rank,))

    def torch(self, t: TorchContext, x: Code) -> Code:
        return t.method(x, "unfold", self.axis, self.kernel, self.stride)

    def onnx(self, g: OnnxContext, x: OnnxValue) -> OnnxValue:
        of = g.inputs[0]
        axis = resolve_axis(self.axis, of.rank)
        zero, one = g.constant(0, DType.INT), g.constant(1, DType.INT)
        starts = g.op("Mul", g.op("Range", zero, g.size(self.windows(of)), one), g.constant(self.stride, DType.INT))
        places = g.op("Add", g.op("Unsqueeze", starts, g.ints([1])), g.ints(range(self.kernel)))
        gathered = g.op("Gather", x, places, axis=axis)
        order = [place for place in range(of.rank + 1) if place != axis + 1]
        return g.op("Transpose", gathered, perm=[*order, axis + 1])
