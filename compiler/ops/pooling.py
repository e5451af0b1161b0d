"""Pooling: one number for each window of an image."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from dlc.compiler.dim import Dim
from dlc.compiler.flow.reading import WHOLE, Flow, Name, Near, Read, along
from dlc.compiler.kept import INPUT, Kept, Tape
from dlc.compiler.op import Example, Extents, Margins, Op
from dlc.compiler.ops.conv import onnx_pads, unlike
from dlc.compiler.ops.windows import per_axis, require_image, short, slide
from dlc.compiler.torch.context import Code, TorchContext
from dlc.compiler.types import DType, ShapeError, Tensor, require_filled, require_float

if TYPE_CHECKING:
    from dlc.compiler.onnx.context import OnnxContext, OnnxValue


class Pool(Op, abstract=True):
    """One number for each window. The window moves by its own size unless `stride` says otherwise."""

    kernel: Extents
    stride: Extents | None = None
    pad: Margins = 0
    kept = INPUT

    def _strides(self, x: Tensor) -> tuple[int, ...]:
        return per_axis("stride", self.kernel if self.stride is None else self.stride, x)

    def _pads(self, x: Tensor) -> tuple[tuple[int, int], ...]:
        return tuple((pad, pad) for pad in per_axis("pad", self.pad, x))

    def _slide(self, x: Tensor, dilation: tuple[int, ...]) -> Tensor:
        require_float("x", x)
        require_image("x", x)
        require_filled("x", x, range(1, x.rank))
        kernel, pads = per_axis("kernel", self.kernel, x), self._pads(x)
        for (pad, _), size, spread in zip(pads, kernel, dilation, strict=True):
            if pad > (spread * (size - 1) + 1) // 2:
                raise ShapeError(
                    "pad", f"pad is {pad}, and may be at most half of the kernel, {size}", against="kernel"
                )
        return x.reshaped((*x.shape[:2], *slide(x, kernel, self._strides(x), pads, dilation)))

    def _named(self, x: Tensor) -> dict[str, object]:
        stride, kernel = short(self._strides(x)), short(per_axis("kernel", self.kernel, x))
        pad = short(per_axis("pad", self.pad, x))
        return unlike({"stride": stride, "padding": pad}, {"stride": kernel, "padding": 0})

    def flow(self, to: tuple[Tensor, ...], x: Tensor) -> Flow:
        kernel, stride = per_axis("kernel", self.kernel, x), self._strides(x)
        spread = per_axis("dilation", getattr(self, "dilation", 1), x)
        how: dict[int, Read] = {}
        for place, (pad, _) in enumerate(self._pads(x)):
            how[place + 2] = Near(place + 2, -pad, spread[place] * (kernel[place] - 1) - pad, by=stride[place])
        return along(x, to[0], how)


class MaxPool(Pool):
    """The largest element of each window."""

    dilation: Extents = 1
    examples = (
        Example("N C H W", kernel=2, gives="N C H//2 W//2"),
        Example("N C H W", kernel=3, stride=2, pad=1, gives="N C (H-1)//2+1 (W-1)//2+1"),
        Example("N C H W", kernel=(2, 3), stride=1, dilation=(2, 1), gives="N C H-2 W-2"),
        Example("N C T", kernel=3, stride=1, pad=1, gives="N C T"),
        Example("N C 4 H W", kernel=(1, 2, 2), gives="N C 4 H//2 W//2"),
    )

    def infer(self, x: Tensor) -> Tensor:
        require_image("x", x)
        return self._slide(x, per_axis("dilation", self.dilation, x))

    def keeps(self, tape: Tape, to: tuple[Tensor, ...], x: Tensor) -> Kept:
        return Kept((0,), made=(to[0].cast(DType.INT),))

    def torch(self, t: TorchContext, x: Code) -> Code:
        type: Tensor = t.inputs[0]
        spread = unlike({"dilation": short(per_axis("dilation", self.dilation, type))}, {"dilation": 1})
        kernel = short(per_axis("kernel", self.kernel, type))
        return t.call(f"F.max_pool{type.rank - 2}d", x, kernel, **self._named(type), **spread)

    def onnx(self, g: OnnxContext, x: OnnxValue) -> OnnxValue:
        type: Tensor = g.inputs[0]
        return g.op(
            "MaxPool",
            x,
            kernel_shape=list(per_axis("kernel", self.kernel, type)),
            strides=list(self._strides(type)),
            pads=onnx_pads(self._pads(type)),
            dilations=list(per_axis("dilation", self.dilation, type)),
        )


class AvgPool(Pool):
    """The mean of each window. `count_pad` says whether padding counts as zeros or not at all."""

    count_pad: bool = True
    examples = (
        Example("N C H W", kernel=2, gives="N C H//2 W//2"),
        Example("N C H W", kernel=3, stride=1, pad=1, gives="N C H W"),
        Example("N C H W", kernel=3, stride=1, pad=1, count_pad=False, gives="N C H W"),
        Example("N C T", kernel=3, stride=2, gives="N C (T-3)//2+1"),
        Example("N C 4 H W", kernel=2, gives="N C 2 H//2 W//2"),
    )

    def infer(self, x: Tensor) -> Tensor:
        require_image("x", x)
        kernel = per_axis("kernel", self.kernel, x)
        for axis, (size, window) in enumerate(zip(x.shape[2:], kernel, strict=True), start=2):
            if x.rank == 5 and size.less(window):  # PyTorch leaves the padding of volumes out of account here
                raise ShapeError(
                    "kernel",
                    f"the window is larger than the volume: {window} against {size}, along axis {axis}",
                    against="x",
                    sizes=(size,),
                )
        return self._slide(x, (1,) * (x.rank - 2))

    def torch(self, t: TorchContext, x: Code) -> Code:
        type: Tensor = t.inputs[0]
        counts = unlike({"count_include_pad": self.count_pad or self.pad == 0}, {"count_include_pad": True})
        kernel = short(per_axis("kernel", self.kernel, type))
        return t.call(f"F.avg_pool{type.rank - 2}d", x, kernel, **self._named(type), **counts)

    def onnx(self, g: OnnxContext, x: OnnxValue) -> OnnxValue:
        type: Tensor = g.inputs[0]
        return g.op(
            "AveragePool",
            x,
            kernel_shape=list(per_axis("kernel", self.kernel, type)),
            strides=list(self._strides(type)),
            pads=onnx_pads(self._pads(type)),
            count_include_pad=int(self.count_pad),
        )


class AdaptivePool(Op, abstract=True):
    """One number for each of `size` parts of every spatial axis, whatever the image's size.

    Part i of an axis of n positions and m parts goes from floor(i*n/m) to ceil((i + 1)*n/m).
    """

    size: Extents
    torch_name: ClassVar[str]
    kept = INPUT

    def infer(self, x: Tensor) -> Tensor:
        require_float("x", x)
        require_image("x", x)
        require_filled("x", x, range(1, x.rank))
        return x.reshaped((*x.shape[:2], *per_axis("size", self.size, x)))

    def flow(self, to: tuple[Tensor, ...], x: Tensor) -> Flow:
        inner: dict[Name, Dim] = {f"all{axis}": x.shape[axis] for axis in range(2, x.rank)}
        how: dict[int, Read] = {axis: (f"all{axis}",) if to[0].shape[axis] == 1 else WHOLE for axis in range(2, x.rank)}
        return along(x, to[0], how, inner=inner)

    def torch(self, t: TorchContext, x: Code) -> Code:
        type: Tensor = t.inputs[0]
        return t.call(f"{self.torch_name}{type.rank - 2}d", x, short(per_axis("size", self.size, type)))


class AdaptiveAvgPool(AdaptivePool):
    """The mean of each of `size` parts of every spatial axis."""

    torch_name = "F.adaptive_avg_pool"
    examples = (
        Example("N C H W", size=1, gives="N C 1 1"),
        Example("N C H W", size=(2, 3), gives="N C 2 3"),
        Example("N C 2*T", size=2, gives="N C 2"),
        Example("N C 3 H W", size=2, gives="N C 2 2 2"),
    )

    def onnx(self, g: OnnxContext, x: OnnxValue) -> OnnxValue:
        type: Tensor = g.inputs[0]
        for axis, parts in enumerate(per_axis("size", self.size, type), 2):
            if parts == 1:
                x = g.op("ReduceMean", x, g.ints([axis]), keepdims=1)
                continue
            start, stop = _bounds(g, type, axis, parts)
            place = g.op("Range", g.constant(0, DType.INT), g.size(type.shape[axis]), g.constant(1, DType.INT))
            inside = g.op("And", g.op("GreaterOrEqual", place, start), g.op("Less", place, stop))
            share = g.op("Div", g.cast(inside, type.dtype), g.cast(g.op("Sub", stop, start), type.dtype))
            swapped = list(range(type.rank))
            swapped[axis], swapped[-1] = swapped[-1], swapped[axis]
            x = g.op("MatMul", g.op("Transpose", x, perm=swapped), g.op("Transpose", share, perm=[1, 0]))
            x = g.op("Transpose", x, perm=swapped)
        return x


class AdaptiveMaxPool(AdaptivePool):
    """The largest element of each of `size` parts of every spatial axis."""

    torch_name = "F.adaptive_max_pool"
    examples = (
        Example("N C H W", size=1, gives="N C 1 1"),
        Example("N C H W", size=(2, 3), gives="N C 2 3"),
        Example("N C T", size=2, gives="N C 2"),
    )

    def keeps(self, tape: Tape, to: tuple[Tensor, ...], x: Tensor) -> Kept:
        return Kept((0,), made=(to[0].cast(DType.INT),))

    def onnx(self, g: OnnxContext, x: OnnxValue) -> OnnxValue:
        type: Tensor = g.inputs[0]
        one = g.constant(1, DType.INT)
        for axis, parts in enumerate(per_axis("size", self.size, type), 2):
            if parts == 1:
                x = g.op("ReduceMax", x, g.ints([axis]), keepdims=1)
                continue
            start, stop = _bounds(g, type, axis, parts)
            longest = g.op("ReduceMax", g.op("Sub", stop, start), keepdims=0)
            offset = g.op("Range", g.constant(0, DType.INT), longest, one)
            place = g.op("Min", g.op("Add", start, offset), g.op("Sub", stop, one))
            x = g.op("ReduceMax", g.op("Gather", x, place, axis=axis), g.ints([axis + 1]), keepdims=0)
        return x


def _bounds(g: OnnxContext, x: Tensor, axis: int, parts: int) -> tuple[OnnxValue, OnnxValue]:
    """Where each part of an axis starts and stops, as int64 columns."""
    size, count = g.size(x.shape[axis]), g.constant(parts, DType.INT)
    part = g.constant([[i] for i in range(parts)], DType.INT)
    following = g.constant([[i + 1] for i in range(parts)], DType.INT)
    start = g.op("Div", g.op("Mul", part, size), count)
    over = g.constant(parts - 1, DType.INT)
    return start, g.op("Div", g.op("Add", g.op("Mul", following, size), over), count)
