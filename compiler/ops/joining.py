"""Tensors put together, taken apart and padded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from dlc.compiler.dim import Dim
from dlc.compiler.flow.reading import Flow, Near, Read, along, flow, padded, taken
from dlc.compiler.kept import INPUT, NOTHING, Kept, Tape
from dlc.compiler.op import Example, Int, NonNegative, Op, Positive, Sizes
from dlc.compiler.types import DType, ShapeError, Tensor, TypeMismatch, axes, require_filled, resolve_axis, unify

if TYPE_CHECKING:
    from dlc.compiler.onnx.context import OnnxContext, OnnxValue
    from dlc.compiler.torch.context import Code, TorchContext


def _common(xs: Sequence[Tensor], *, apart: int | None) -> tuple[list[Dim], DType, Dim | None]:
    """The sizes, element type and range of tensors that agree in all axes but `apart`; ints among floats are floats."""
    first = xs[0]
    shape, dtype, below = list(first.shape), first.dtype, first.below
    for place, other in enumerate(xs[1:], 1):
        argument = f"xs[{place}]"
        if other.dtype is not dtype and {dtype, other.dtype} != {DType.INT, DType.FLOAT}:
            raise TypeMismatch(
                argument,
                f"{dtype.value} and {other.dtype.value} cannot be put together",
                label=str(other),
                help=f'cast(x, "{dtype.value}")',
            )
        dtype = dtype if other.dtype is dtype else DType.FLOAT
        if other.rank != first.rank:
            raise ShapeError(argument, f"{axes(first.rank)} against {other.rank}", label=str(other))
        for axis, (m, n) in enumerate(zip(shape, other.shape, strict=True)):
            if axis != apart and m != n:
                raise ShapeError(
                    argument,
                    "the shapes do not fit",
                    label=f"{n} against {m} on axis {axis}",
                    sizes=(m, n),
                )
            if axis != apart:
                shape[axis] = unify(m, n)
        below = None if below is None or other.below is None else Dim.maximum(below, other.below)
    return shape, dtype, None if dtype.is_float else below


class Concat(Op):
    """Tensors side by side along `axis`; they agree in all other axes. Ints among floats become floats."""

    axis: Int
    examples = (
        Example("N 3 T", "N C T", "N 1 T", axis=1, gives="N C+4 T"),
        Example("int N < 5", "int T < 7", axis=0, gives="int N+T < 7"),
        Example("N T", "N T", axis=-1, gives="N 2*T"),
        Example("int N 2 < 9", "N 3", axis=1, gives="N 5"),
    )
    kept = NOTHING

    def infer(self, *xs: Tensor) -> Tensor:
        if not xs:
            raise ShapeError(None, "nothing is given to be put together")
        axis = resolve_axis(self.axis, xs[0].rank)
        shape, dtype, below = _common(xs, apart=axis)
        for other in xs[1:]:
            shape[axis] = shape[axis] + other.shape[axis]
        return Tensor(dtype, tuple(shape), below)

    def flow(self, to: tuple[Tensor, ...], *xs: Tensor) -> Flow:
        axis = resolve_axis(self.axis, xs[0].rank)
        reads: list[list[Read]] = []
        before = Dim.of(0)
        for x in xs:
            reads.append([Near(axis, -before, -before) if own == axis else (own,) for own in range(x.rank)])
            before = before + x.shape[axis]
        return flow(to[0], *reads, keeps=True, fixed=(axis,) if len(xs) > 1 else ())

    def torch(self, t: TorchContext, *xs: Code) -> Code:
        return t.call("torch.cat", xs, dim=self.axis)

    def onnx(self, g: OnnxContext, *xs: OnnxValue) -> OnnxValue:
        return g.op("Concat", *(g.cast(x, g.outputs[0].dtype) for x in xs), axis=self.axis)


class Stack(Op):
    """Tensors of one shape along a new axis, which becomes number `axis`."""

    axis: Int = 0
    examples = (
        Example("N T", "N T", "N T", gives="3 N T"),
        Example("N T", "N T", axis=-1, gives="N T 2"),
        Example("", "", gives="2"),
        Example("N", "int N < 4", axis=1, gives="N 2"),
    )
    kept = NOTHING

    def infer(self, *xs: Tensor) -> Tensor:
        if not xs:
            raise ShapeError(None, "nothing is given to be put together")
        axis = resolve_axis(self.axis, xs[0].rank + 1)
        shape, dtype, below = _common(xs, apart=None)
        return Tensor(dtype, (*shape[:axis], Dim.of(len(xs)), *shape[axis:]), below)

    def flow(self, to: tuple[Tensor, ...], *xs: Tensor) -> Flow:
        axis = resolve_axis(self.axis, xs[0].rank + 1)
        reads = [[(own + (own >= axis),) for own in range(x.rank)] for x in xs]
        return flow(to[0], *reads, keeps=True, fixed=(axis,) if len(xs) > 1 else ())

    def torch(self, t: TorchContext, *xs: Code) -> Code:
        return t.call("torch.stack", xs, dim=self.axis) if self.axis else t.call("torch.stack", xs)

    def onnx(self, g: OnnxContext, *xs: OnnxValue) -> OnnxValue:
        axis = g.ints([self.axis])
        return g.op("Concat", *(g.op("Unsqueeze", g.cast(x, g.outputs[0].dtype), axis) for x in xs), axis=self.axis)


class Split(Op):
    """The tensor cut along `axis`, into `parts` equal parts or into parts of the sizes that are listed."""

    parts: Positive | Sizes
    axis: Int
    examples = (
        Example("N 6", parts=2, axis=1, gives=("N 3", "N 3")),
        Example("N 2*T", parts=2, axis=-1, gives=("N T", "N T")),
        Example("N 6 T", parts=[1, 3, 2], axis=1, gives=("N 1 T", "N 3 T", "N 2 T")),
        Example("int 3*N < V", parts=["N", "2*N"], axis=0, gives=("int N < V", "int 2*N < V")),
        Example("N", parts=1, axis=0, gives="N"),
    )
    kept = NOTHING
    view = True

    def sizes(self, x: Tensor) -> tuple[Dim, ...]:
        whole = x.shape[resolve_axis(self.axis, x.rank)]
        if isinstance(self.parts, int):
            part = whole.divide(self.parts)
            if part is None:
                raise ShapeError(
                    "parts", f"an axis of size {whole} has no {self.parts} equal parts", label=str(x), sizes=(whole,)
                )
            return (part,) * self.parts
        total = sum(self.parts, Dim.of(0))
        if total != whole:
            raise ShapeError(
                "parts", f"the parts add up to {total}, and the axis has size {whole}", label=str(x), sizes=(whole,)
            )
        return self.parts

    def infer(self, x: Tensor) -> tuple[Tensor, ...]:
        axis = resolve_axis(self.axis, x.rank)
        return tuple(x.reshaped((*x.shape[:axis], size, *x.shape[axis + 1 :])) for size in self.sizes(x))

    def flow(self, to: tuple[Tensor, ...], x: Tensor) -> tuple[Flow, ...]:
        axis = resolve_axis(self.axis, x.rank)
        flows: list[Flow] = []
        before = Dim.of(0)
        for result, size in zip(to, self.sizes(x), strict=True):
            how: Read = (axis,) if len(to) == 1 else Near(axis, before, before)
            flows.append(along(x, result, {axis: how}, keeps=True))
            before = before + size
        return tuple(flows)

    def torch(self, t: TorchContext, x: Code) -> Code:
        if len(t.outputs) == 1:
            return x
        if isinstance(self.parts, int):
            return t.method(x, "chunk", self.parts, dim=self.axis)
        return t.method(x, "split", self.parts, dim=self.axis)

    def onnx(self, g: OnnxContext, x: OnnxValue) -> tuple[OnnxValue, ...]:
        count = len(g.outputs)
        if isinstance(self.parts, int):
            return g.multi("Split", x, results=count, axis=self.axis, num_outputs=count)
        return g.multi("Split", x, g.sizes(self.parts), results=count, axis=self.axis)


class Unbind(Op):
    """The slices along `axis`, without that axis. Binding several names to one tensor does this along axis 0."""

    axis: Int = 0
    examples = (
        Example("3 N", gives=("N", "N", "N")),
        Example("int N 2 T < V", axis=1, gives=("int N T < V", "int N T < V")),
        Example("1 N", gives=("N",)),
    )
    kept = NOTHING
    view = True

    def infer(self, x: Tensor) -> tuple[Tensor, ...]:
        axis = resolve_axis(self.axis, x.rank)
        size = x.shape[axis]
        if size.constant is None:
            raise ShapeError(
                "x",
                f"the number of slices must be known, and axis {self.axis} has {size}",
                label=str(x),
                help="to walk an axis whose size is open: loop x_t in x along …",
                sizes=(size,),
            )
        return (x.reshaped((*x.shape[:axis], *x.shape[axis + 1 :])),) * size.constant

    def flow(self, to: tuple[Tensor, ...], x: Tensor) -> tuple[Flow, ...]:
        axis = resolve_axis(self.axis, x.rank)
        places = range(len(to))
        return tuple(flow(to[place], taken(x, {axis: Near(None, place, place)}), keeps=True) for place in places)

    def torch(self, t: TorchContext, x: Code) -> Code:
        if len(t.outputs) == 1:
            return t.method(x, "squeeze", self.axis)
        return t.method(x, "unbind", self.axis)

    def onnx(self, g: OnnxContext, x: OnnxValue) -> tuple[OnnxValue, ...]:
        places = [g.constant(place, DType.INT) for place in range(len(g.outputs))]
        return tuple(g.op("Gather", x, place, axis=self.axis) for place in places)


_MODES = {"zeros": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}


class Pad(Op):
    """`left` elements before and `right` behind the axis: zeros, or copies of what is there.

    `reflect` mirrors at the last element, `replicate` repeats it, `circular` goes on from the other end.
    """

    left: NonNegative = 0
    right: NonNegative = 0
    axis: Int = -1
    mode: Literal["zeros", "reflect", "replicate", "circular"] = "zeros"
    examples = (
        Example("N T", left=2, gives="N T+2"),
        Example("N C T", left=1, right=2, axis=1, gives="N C+3 T"),
        Example("int N T", right=2, axis=0, gives="int N+2 T"),
        Example("N T", left=1, right=2, mode="reflect", gives="N T+3"),
        Example("N C H W", left=2, axis=2, mode="replicate", gives="N C H+2 W"),
        Example("N C T", left=1, right=1, mode="circular", gives="N C T+2"),
    )

    def infer(self, x: Tensor) -> Tensor:
        axis = resolve_axis(self.axis, x.rank)
        if self.mode != "zeros":
            self._check_copies(x, axis)
        below = x.below if self.mode != "zeros" or x.below is None else Dim.maximum(x.below, 1)
        shape = (*x.shape[:axis], x.shape[axis] + self.left + self.right, *x.shape[axis + 1 :])
        return Tensor(x.dtype, shape, below)

    def flow(self, to: tuple[Tensor, ...], x: Tensor) -> Flow:
        axis = resolve_axis(self.axis, x.rank)
        return along(x, to[0], {axis: padded(Near(axis, -self.left, -self.left), self.left, self.right, self.mode)})

    def _check_copies(self, x: Tensor, axis: int) -> None:
        require_filled("x", x, range(x.rank))
        if not 2 <= x.rank <= 5 or x.rank - axis > self._pairs(x.rank):
            raise ShapeError("mode", f'"{self.mode}" is for axes that follow the channels', label=f"{x}, axis {axis}")
        most = x.shape[axis] - 1 if self.mode == "reflect" else x.shape[axis]
        for name, count in (("left", self.left), ("right", self.right)):
            if self.mode != "replicate" and most.less(count):
                raise ShapeError(name, f'"{self.mode}" has {most} elements to copy here, not {count}', label=str(x))

    def _pairs(self, rank: int) -> int:
        """How many of the last axes PyTorch pads together by copies; fewer for a tensor of two or three axes."""
        axis = self.axis if self.axis < 0 else self.axis - rank
        return {2: 1, 3: min(2, -axis), 4: 2, 5: 3}[rank]

    def keeps(self, tape: Tape, to: tuple[Tensor, ...], x: Tensor) -> Kept:
        return NOTHING if self.mode == "zeros" else INPUT

    def torch(self, t: TorchContext, x: Code) -> Code:
        rank = t.inputs[0].rank
        behind = rank - 1 - resolve_axis(self.axis, rank)
        pads = (0, 0) * behind + (self.left, self.right)
        if self.mode == "zeros":
            return t.call("F.pad", x, pads)
        return t.call("F.pad", x, pads + (0, 0) * (self._pairs(rank) - behind - 1), mode=self.mode)

    def onnx(self, g: OnnxContext, x: OnnxValue) -> OnnxValue:
        pads = g.ints([self.left, self.right])
        return g.op("Pad", x, pads, None, g.ints([self.axis]), mode=_MODES[self.mode])
