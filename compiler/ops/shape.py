"""The same elements in another shape: axes merged, split, moved, added and removed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from dlc.compiler.dim import Dim
from dlc.compiler.flow.reading import Flow, permuted, pointwise, reshaped
from dlc.compiler.kept import NOTHING
from dlc.compiler.op import Example, Int, Ints, Op, Sizes
from dlc.compiler.types import ShapeError, Tensor, axes, product, resolve_axes, resolve_axis

if TYPE_CHECKING:
    from dlc.compiler.onnx.context import OnnxContext, OnnxValue
    from dlc.compiler.torch.context import Code, TorchContext


def listed(sizes: Sequence[object]) -> str:
    return f"[{', '.join(map(str, sizes))}]"


class Reshape(Op):
    """The elements in their order, in another shape; one size may be -1, and is then what is left over."""

    variadic = "shape"
    shape: Sizes
    examples = (
        Example("N T 6", shape=("N", "2*T", 3), gives="N 2*T 3"),
        Example("N T 6", shape=("N", -1), gives="N 6*T"),
        Example("N 6", shape=(-1, 2), gives="3*N 2"),
        Example("int N < V", shape=("N", 1, 1), gives="int N 1 1 < V"),
        Example("1", shape=(), gives=""),
    )
    kept = NOTHING
    view = True

    def infer(self, x: Tensor) -> Tensor:
        whole = product(x.shape)
        open_places = [place for place, size in enumerate(self.shape) if size == -1]
        given = product([size for size in self.shape if size != -1])
        if len(open_places) > 1:
            raise ShapeError("shape", "two sizes are -1, and only one can be what is left over")
        if any(size.less(0) for size in self.shape if size != -1):
            raise ShapeError("shape", f"the shape {listed(self.shape)} has a negative size")
        if not open_places:
            if given != whole:
                raise ShapeError(
                    "shape",
                    f"{whole} elements do not fill the shape {listed(self.shape)}",
                    label=f"{given} elements",
                )
            return x.reshaped(self.shape)
        left = whole.divide(given)
        if left is None:
            raise ShapeError(
                "shape",
                f"{whole} elements do not divide into {listed(self.shape)}",
                label=f"{whole} is not a multiple of {given}",
            )
        place = open_places[0]
        return x.reshaped((*self.shape[:place], left, *self.shape[place + 1 :]))

    def flow(self, to: tuple[Tensor, ...], x: Tensor) -> Flow:
        return reshaped(x, to[0])

    def torch(self, t: TorchContext, x: Code) -> Code:
        return t.method(x, "reshape", *self.shape) if self.shape else t.method(x, "reshape", ())

    def onnx(self, g: OnnxContext, x: OnnxValue) -> OnnxValue:
        return reshape_onnx(g, x, self.shape)


def reshape_onnx(g: OnnxContext, x: OnnxValue, shape: Sequence[Dim]) -> OnnxValue:
    """Reshapes; the only symbolic size, if there is but one, is left to the runtime as -1."""
    symbolic = [place for place, size in enumerate(shape) if not size.is_constant]
    if len(symbolic) == 1 and all(size != -1 and size != 0 for size in shape):
        shape = [Dim.of(-1) if place == symbolic[0] else size for place, size in enumerate(shape)]
    return g.op("Reshape", x, g.sizes(shape))


class Flatten(Op):
    """All axes from `start` to `end` made one; as it stands, all but the first, which numbers the examples."""

    start: Int = 1
    end: Int = -1
    examples = (
        Example("N C H W", gives="N C*H*W"),
        Example("N C H W", start=2, gives="N C H*W"),
        Example("N C H W", start=0, end=1, gives="N*C H W"),
    )
    kept = NOTHING
    view = True

    def infer(self, x: Tensor) -> Tensor:
        start, end = resolve_axis(self.start, x.rank, "start"), resolve_axis(self.end, x.rank, "end")
        if start > end:
            raise ShapeError("start", f"flatten starts at axis {start} and ends at axis {end}", label=str(x))
        return x.reshaped((*x.shape[:start], product(x.shape[start : end + 1]), *x.shape[end + 1 :]))

    def flow(self, to: tuple[Tensor, ...], x: Tensor) -> Flow:
        return reshaped(x, to[0])

    def torch(self, t: TorchContext, x: Code) -> Code:
        return t.method(x, "flatten", self.start) if self.end == -1 else t.method(x, "flatten", self.start, self.end)

    def onnx(self, g: OnnxContext, x: OnnxValue) -> OnnxValue:
        return reshape_onnx(g, x, g.outputs[0].shape)


class Squeeze(Op):
    """The axis `axis`, of size 1, taken away; where none is named, every axis that is known to have size 1."""

    axis: Int | None = None
    examples = (
        Example("N 1 T", axis=1, gives="N T"),
        Example("N 1 T 1", gives="N T"),
        Example("int N 1 < V", axis=-1, gives="int N < V"),
    )
    kept = NOTHING
    view = True

    def axes(self, x: Tensor) -> tuple[int, ...]:
        if self.axis is None:
            return tuple(axis for axis, size in enumerate(x.shape) if size == 1)
        axis = resolve_axis(self.axis, x.rank)
        if x.shape[axis] != 1:
            raise ShapeError(
                "axis",
                f"axis {self.axis} has size {x.shape[axis]}, and only an axis of size 1 can be taken away",
                label=str(x),
            )
        return (axis,)

    def infer(self, x: Tensor) -> Tensor:
        axes = self.axes(x)
        return x.reshaped([size for axis, size in enumerate(x.shape) if axis not in axes])

    def flow(self, to: tuple[Tensor, ...], x: Tensor) -> Flow:
        return reshaped(x, to[0])

    def torch(self, t: TorchContext, x: Code) -> Code:
        if self.axis is not None:
            return t.method(x, "squeeze", self.axis)
        return t.method(x, "squeeze", self.axes(t.inputs[0]))

    def onnx(self, g: OnnxContext, x: OnnxValue) -> OnnxValue:
        axes = self.axes(g.inputs[0])
        return g.op("Squeeze", x, g.ints(axes)) if axes else g.op("Identity", x)


class Unsqueeze(Op):
    """A new axis of size 1, which becomes number `axis`."""

    axis: Int
    examples = (
        Example("N T", axis=1, gives="N 1 T"),
        Example("N T", axis=-1, gives="N T 1"),
        Example("int < V", axis=0, gives="int 1 < V"),
    )
    kept = NOTHING
    view = True

    def infer(self, x: Tensor) -> Tensor:
        axis = resolve_axis(self.axis, x.rank + 1)
        return x.reshaped((*x.shape[:axis], 1, *x.shape[axis:]))

    def flow(self, to: tuple[Tensor, ...], x: Tensor) -> Flow:
        return reshaped(x, to[0])

    def torch(self, t: TorchContext, x: Code) -> Code:
        return t.method(x, "unsqueeze", self.axis)

    def onnx(self, g: OnnxContext, x: OnnxValue) -> OnnxValue:
        return g.op("Unsqueeze", x, g.ints([self.axis]))


class Transpose(Op):
    """The axes a and b exchanged."""

    a: Int
    b: Int
    examples = (Example("N T 8", a=1, b=2, gives="N 8 T"), Example("N C H W", a=0, b=-1, gives="W C H N"))
    kept = NOTHING
    view = True

    def order(self, x: Tensor) -> list[int]:
        a, b = resolve_axis(self.a, x.rank, "a"), resolve_axis(self.b, x.rank, "b")
        order = list(range(x.rank))
        order[a], order[b] = b, a
        return order

    def infer(self, x: Tensor) -> Tensor:
        return x.reshaped([x.shape[axis] for axis in self.order(x)])

    def flow(self, to: tuple[Tensor, ...], x: Tensor) -> Flow:
        return permuted(to[0], self.order(x))

    def torch(self, t: TorchContext, x: Code) -> Code:
        return t.method(x, "transpose", self.a, self.b)

    def onnx(self, g: OnnxContext, x: OnnxValue) -> OnnxValue:
        return g.op("Transpose", x, perm=self.order(g.inputs[0]))


class Permute(Op):
    """All axes in another order: the axis `axes[0]` comes first."""

    variadic = "axes"
    axes: Ints
    examples = (
        Example("N C H W", axes=(0, 2, 3, 1), gives="N H W C"),
        Example("N T 8", axes=(-1, 0, 1), gives="8 N T"),
    )
    kept = NOTHING
    view = True

    def order(self, x: Tensor) -> list[int]:
        resolve_axes(self.axes, x.rank)
        if len(self.axes) != x.rank:
            raise ShapeError("axes", f"the order names {axes(len(self.axes))}, and x has {x.rank}", label=str(x))
        return [axis % x.rank for axis in self.axes]

    def infer(self, x: Tensor) -> Tensor:
        return x.reshaped([x.shape[axis] for axis in self.order(x)])

    def flow(self, to: tuple[Tensor, ...], x: Tensor) -> Flow:
        return permuted(to[0], self.order(x))

    def torch(self, t: TorchContext, x: Code) -> Code:
        return t.method(x, "permute", *self.axes)

    def onnx(self, g: OnnxContext, x: OnnxValue) -> OnnxValue:
        return g.op("Transpose", x, perm=self.order(g.inputs[0]))


class Expand(Op):
    """Axes of size 1 repeated up to `shape`, aligned at the last axis; a size of -1 stays as it is."""

    variadic = "shape"
    shape: Sizes
    examples = (
        Example("N 1", shape=("N", "2*N"), gives="N 2*N"),
        Example("T", shape=(3, -1), gives="3 T"),
        Example("int 1 < V", shape=(4,), gives="int 4 < V"),
    )
    kept = NOTHING
    view = True

    def infer(self, x: Tensor) -> Tensor:
        added = len(self.shape) - x.rank
        if added < 0:
            raise ShapeError("shape", f"x has {axes(x.rank)}, and the shape is for {len(self.shape)}", label=str(x))
        result: list[Dim] = []
        for place, size in enumerate(self.shape):
            old = x.shape[place - added] if place >= added else None
            if size == -1 and old is None:
                raise ShapeError("shape", "-1 stands for an axis that x does not have", label=str(x))
            if size != -1 and old is not None and old not in (size, 1):
                raise ShapeError(
                    "shape", f"an axis of size {old} cannot be expanded to {size}", label=str(x), sizes=(old, size)
                )
            result.append(old if size == -1 and old is not None else size)
        return x.reshaped(result)

    def flow(self, to: tuple[Tensor, ...], x: Tensor) -> Flow:
        return pointwise(to[0], x, keeps=True)

    def torch(self, t: TorchContext, x: Code) -> Code:
        return t.method(x, "expand", *self.shape) if self.shape else t.method(x, "expand", ())

    def onnx(self, g: OnnxContext, x: OnnxValue) -> OnnxValue:
        return g.op("Expand", x, g.sizes(g.outputs[0].shape))
