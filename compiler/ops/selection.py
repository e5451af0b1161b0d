"""Elements chosen, added up and marked by tensors of positions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dlc.compiler.dim import Dim
from dlc.compiler.flow.reading import WHOLE, Flow, first, flow
from dlc.compiler.kept import Kept
from dlc.compiler.op import Example, Int, Op, Size
from dlc.compiler.types import (
    DType,
    ShapeError,
    Tensor,
    TypeMismatch,
    axes,
    require_int,
    require_number,
    resolve_axis,
)

if TYPE_CHECKING:
    from dlc.compiler.onnx.context import OnnxContext, OnnxValue
    from dlc.compiler.torch.context import Code, TorchContext


def positions(t: TorchContext, place: int, index: Code) -> Code:
    """Operand number `place`, an int tensor, in the element type that PyTorch asks of positions."""
    return index if t.inputs[place].dtype is DType.INT else t.method(index, "long")


def check_below(name: str, index: Tensor, size: Dim, what: str) -> None:
    """Refuses an int tensor whose declared range exceeds the size of what it points into."""
    require_int(name, index)
    if index.below is not None and size.less(index.below):
        raise ShapeError(name, f"{name} goes up to {index.below}, and there are {size} {what}", label=str(index))


def _check_same_rank(x: Tensor, index: Tensor, axis: int) -> None:
    if index.rank != x.rank:
        raise ShapeError("index", f"index has {axes(index.rank)}, and x has {x.rank}", label=str(index), against="x")
    for place, (size, whole) in enumerate(zip(index.shape, x.shape, strict=True)):
        if place != axis and whole.less(size):
            raise ShapeError(
                "index", f"index has size {size} on axis {place}, and x {whole}", against="x", sizes=(whole, size)
            )


class Gather(Op, name="gather"):
    """Elements of x at the positions `index` along `axis`: for axis 1, result[i, j] = x[i, index[i, j]].

    `index` has as many axes as x; to pick whole rows write x[index].
    """

    axis: Int
    examples = (
        Example("N V", "int N K < V", axis=1, gives="N K"),
        Example("N V", "int N 1 < V", axis=-1, gives="N 1"),
        Example("int V C < 9", "int32 3 C < V", axis=0, gives="int 3 C < 9"),
    )
    kept = Kept((0, 1))

    def infer(self, x: Tensor, index: Tensor) -> Tensor:
        axis = resolve_axis(self.axis, x.rank)
        check_below("index", index, x.shape[axis], f"positions on axis {axis}")
        _check_same_rank(x, index, axis)
        return x.reshaped(index.shape)

    def flow(self, to: tuple[Tensor, ...], x: Tensor, index: Tensor) -> Flow:
        axis = resolve_axis(self.axis, x.rank)
        how = [WHOLE if own == axis else first(x.shape[own], own, to[0]) for own in range(x.rank)]
        return flow(to[0], how, [(own,) for own in range(index.rank)], picks={(0, axis): 1}, keeps=True, known=False)

    def torch(self, t: TorchContext, x: Code, index: Code) -> Code:
        return t.method(x, "gather", self.axis, positions(t, 1, index))

    def onnx(self, g: OnnxContext, x: OnnxValue, index: OnnxValue) -> OnnxValue:
        wanted = g.inputs[1].shape
        for axis, size in enumerate(g.inputs[0].shape):  # ONNX wants the other axes of equal size
            if axis != resolve_axis(self.axis, len(wanted)) and size != wanted[axis]:
                x = g.op("Slice", x, g.ints([0]), g.sizes([wanted[axis]]), g.ints([axis]))
        return g.op("GatherElements", x, g.cast(index, DType.INT), axis=self.axis)


class ScatterAdd(Op):
    """x with `values` added at the positions `index` along `axis`: for axis 1, x[i, index[i, j]] += values[i, j]."""

    axis: Int
    examples = (
        Example("N V", "int N K < V", "N K", axis=1, gives="N V"),
        Example("int V", "int T < V", "int T", axis=0, gives="int V"),
    )
    kept = Kept((1,))

    def infer(self, x: Tensor, index: Tensor, values: Tensor) -> Tensor:
        require_number("x", x)
        axis = resolve_axis(self.axis, x.rank)
        check_below("index", index, x.shape[axis], f"positions on axis {axis}")
        _check_same_rank(x, index, axis)
        if values.dtype is not x.dtype:
            raise TypeMismatch(
                "values", f"values are {values.dtype.value}, and x is {x.dtype.value}", label=str(values), against="x"
            )
        if values.shape != index.shape:
            raise ShapeError("values", "values and index differ in shape", label=str(values), against="index")
        return x.cast(x.dtype)

    def flow(self, to: tuple[Tensor, ...], x: Tensor, index: Tensor, values: Tensor) -> Flow:
        axis = resolve_axis(self.axis, x.rank)
        how = [WHOLE if own == axis else first(index.shape[own], own, to[0]) for own in range(x.rank)]
        return flow(to[0], [(own,) for own in range(x.rank)], how, how)

    def torch(self, t: TorchContext, x: Code, index: Code, values: Code) -> Code:
        return t.method(x, "scatter_add", self.axis, positions(t, 1, index), values)

    def onnx(self, g: OnnxContext, x: OnnxValue, index: OnnxValue, values: OnnxValue) -> OnnxValue:
        return g.op("ScatterElements", x, g.cast(index, DType.INT), values, axis=self.axis, reduction="add")


class OneHot(Op):
    """A new last axis of size `classes`, 1 at the position that the int x names and 0 elsewhere; an int tensor."""

    classes: Size
    examples = (
        Example("int N < 10", classes=10, gives="int N 10 < 2"),
        Example("int N T < T", classes="T", gives="int N T T < 2"),
        Example("int < 5", classes=5, gives="int 5 < 2"),
    )

    def infer(self, x: Tensor) -> Tensor:
        check_below("x", x, self.classes, "classes")
        if self.classes.less(1):
            raise ShapeError("classes", f"there are {self.classes} classes, and one at least is due")
        return Tensor(DType.INT, (*x.shape, self.classes), Dim.of(2))

    def flow(self, to: tuple[Tensor, ...], x: Tensor) -> Flow:
        return flow(to[0], [(axis,) for axis in range(x.rank)], places={x.rank: 0}, fixed=(x.rank,))

    def torch(self, t: TorchContext, x: Code) -> Code:
        return t.call("F.one_hot", positions(t, 0, x), self.classes)

    def onnx(self, g: OnnxContext, x: OnnxValue) -> OnnxValue:
        index, values = g.cast(x, DType.INT), g.constant([0, 1], DType.INT)
        if g.outputs[0].rank > 1:
            return g.op("OneHot", index, g.size(self.classes), values, axis=-1)
        first = g.ints([0])  # OneHot takes no scalar
        row = g.op("OneHot", g.op("Unsqueeze", index, first), g.size(self.classes), values, axis=-1)
        return g.op("Squeeze", row, first)
