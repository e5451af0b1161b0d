"""Convolutions in one, two and three dimensions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from dlc.compiler.dim import Dim
from dlc.compiler.flow.reading import WHOLE, Flow, Near, Read, along, padded
from dlc.compiler.init import FanUniform, Init
from dlc.compiler.kept import Casting, Kept, Tape
from dlc.compiler.op import Example, Extents, Margins, Op, Positive, Size, Weight
from dlc.compiler.ops.linear import without_bias
from dlc.compiler.ops.windows import per_axis, require_image, short, slide
from dlc.compiler.torch.context import Code, TorchContext
from dlc.compiler.types import ShapeError, Tensor, product, require_filled, require_positive, require_weight_type

if TYPE_CHECKING:
    from dlc.compiler.onnx.context import OnnxContext, OnnxValue

_ONNX_PAD_MODES = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}


class Conv(Op):
    """Convolution of [N, C, T], [N, C, H, W] or [N, C, D, H, W].

    `pad`, when it is not given, is dilation*(kernel - 1)//2, with which an odd kernel at stride 1 keeps the size;
    "causal" (for [N, C, T]) puts all padding before the start, so that nothing depends on what comes later.
    """

    out: Size
    kernel: Extents
    stride: Extents = 1
    pad: Literal["causal"] | Margins | None = None
    dilation: Extents = 1
    groups: Positive = 1
    bias: bool = True
    pad_mode: Literal["zeros", "reflect", "replicate", "circular"] = "zeros"
    init: Init | None = None
    examples = (
        Example("N 3 H W", out=4, kernel=3, gives="N 4 H W"),
        Example("N 3 H W", out=4, kernel=3, stride=2, gives="N 4 (H-1)//2+1 (W-1)//2+1"),
        Example("N 4 H W", out=6, kernel=(3, 2), pad=(1, 0), groups=2, bias=False, gives="N 6 H W-1"),
        Example("N 3 H W", out=2, kernel=3, pad=2, dilation=2, pad_mode="reflect", gives="N 2 H W"),
        Example("N 3 H W", out=2, kernel=3, pad_mode="replicate", gives="N 2 H W"),
        Example("N 3 H W", out=2, kernel=3, pad_mode="circular", gives="N 2 H W"),
        Example("N 2 T", out=5, kernel=2, gives="N 5 T-1"),
        Example("N 2 T", out=5, kernel=3, pad="causal", dilation=2, gives="N 5 T"),
        Example("N 2 4 H W", out=3, kernel=(1, 3, 3), stride=(1, 2, 2), gives="N 3 4 (H-1)//2+1 (W-1)//2+1"),
    )
    casting = Casting.LOWER

    def infer(self, x: Tensor) -> Tensor:
        require_weight_type("x", x)
        require_image("x", x)
        require_filled("x", x, range(2, x.rank))
        require_positive("out", self.out)
        divide_channels(x.shape[1], self.groups, "x", f"x has {x.shape[1]} channels")
        divide_channels(self.out, self.groups, "out", f"out is {self.out}")
        pads = self._pads(x)
        self._require_room(x, pads)
        shape = slide(x, per_axis("kernel", self.kernel, x), per_axis("stride", self.stride, x), pads, self._spread(x))
        return x.reshaped((x.shape[0], self.out, *shape))

    def flow(self, to: tuple[Tensor, ...], x: Tensor) -> Flow:
        kernel, stride = per_axis("kernel", self.kernel, x), per_axis("stride", self.stride, x)
        how: dict[int, Read] = {1: WHOLE}
        for place, ((before, behind), spread) in enumerate(zip(self._pads(x), self._spread(x), strict=True)):
            near = Near(place + 2, -before, spread * (kernel[place] - 1) - before, by=stride[place])
            how[place + 2] = padded(near, before, behind, self.pad_mode)
        return along(x, to[0], how, fixed=(1,))

    def keeps(self, tape: Tape, to: tuple[Tensor, ...], x: Tensor) -> Kept:
        pads = self._pads(x)
        if (self.pad == "causal" or self.pad_mode != "zeros") and any(map(any, pads)):
            around = [size + sum(pad) for size, pad in zip(x.shape[2:], pads, strict=True)]
            return Kept(() if self.pad_mode == "zeros" else (0,), made=(x.reshaped((*x.shape[:2], *around)),))
        return Kept((0,), dense=True)

    def weights(self, x: Tensor) -> dict[str, Weight]:
        kernel = per_axis("kernel", self.kernel, x)
        inputs = divide_channels(x.shape[1], self.groups, "x", f"x has {x.shape[1]} channels")
        return conv_weights(self.out, (self.out, inputs), kernel, self.bias, self.init)

    def initialised(self) -> dict[str, Init]:
        return {"weight": self.init} if self.init else {}

    def torch_module(self, t: TorchContext, *_: Any) -> Code:
        x: Tensor = t.inputs[0]
        pad = short([before for before, _ in self._pads(x)])
        named: dict[str, Any] = {
            "stride": short(per_axis("stride", self.stride, x)),
            "padding": 0 if self.pad == "causal" else pad,
            "dilation": short(self._spread(x)),
            "groups": self.groups,
            "bias": self.bias,
            "padding_mode": self.pad_mode if self.pad != "causal" else "zeros",
        }
        usual = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1, "bias": True, "padding_mode": "zeros"}
        kernel = short(per_axis("kernel", self.kernel, x))
        return t.call(f"nn.Conv{x.rank - 2}d", x.shape[1], self.out, kernel, **unlike(named, usual))

    def torch(self, t: TorchContext, x: Code) -> Code:
        if self.pad == "causal":
            mode = {} if self.pad_mode == "zeros" else {"mode": self.pad_mode}
            x = t.call("F.pad", x, self._pads(t.inputs[0])[0], **mode)
        return t.call(t.module, x)

    def onnx(self, g: OnnxContext, x: OnnxValue) -> OnnxValue:
        type: Tensor = g.inputs[0]
        pads = onnx_pads(self._pads(type))
        if self.pad_mode != "zeros" and any(pads):
            axes = len(pads) // 2
            around = [0, 0, *pads[:axes], 0, 0, *pads[axes:]]
            x = g.op("Pad", x, g.ints(around), mode=_ONNX_PAD_MODES[self.pad_mode])
            pads = [0] * len(pads)
        return g.op(
            "Conv",
            x,
            g.weight("weight"),
            *([g.weight("bias")] if self.bias else []),
            kernel_shape=list(per_axis("kernel", self.kernel, type)),
            strides=list(per_axis("stride", self.stride, type)),
            pads=pads,
            dilations=list(self._spread(type)),
            group=self.groups,
        )

    def macs(self, x: Tensor) -> Dim:
        return product(self.infer(x).shape) * product(self.weights(x)["weight"].shape[1:])

    def _spread(self, x: Tensor) -> tuple[int, ...]:
        return per_axis("dilation", self.dilation, x)

    def _pads(self, x: Tensor) -> tuple[tuple[int, int], ...]:
        """The padding before and after each spatial axis."""
        kernel, dilation = per_axis("kernel", self.kernel, x), self._spread(x)
        if self.pad == "causal":
            if x.rank != 3:
                raise ShapeError(
                    "pad", "causal padding is for sequences, [N, C, T]", label=f"x is {x}", help="give pad as numbers"
                )
            return ((dilation[0] * (kernel[0] - 1), 0),)
        if self.pad is None:
            given = tuple(d * (k - 1) // 2 for d, k in zip(dilation, kernel, strict=True))
        else:
            given = per_axis("pad", self.pad, x)
        return tuple((pad, pad) for pad in given)

    def _require_room(self, x: Tensor, pads: tuple[tuple[int, int], ...]) -> None:
        """Reflected padding is smaller than the image, circular padding at most as large."""
        for axis, (size, (pad, _)) in enumerate(zip(x.shape[2:], pads, strict=True), 2):
            short_of = {"reflect": size.at_most(pad), "circular": size.less(pad)}.get(self.pad_mode)
            if pad and short_of:
                raise ShapeError(
                    "pad",
                    f"{self.pad_mode} padding of {pad} is more than axis {axis} has to give, which is {size} long",
                    against="x",
                    sizes=(size,),
                )


class ConvTranspose(Op):
    """Transposed convolution, the adjoint of `conv`: stride 2 doubles an image."""

    out: Size
    kernel: Extents
    stride: Extents = 1
    pad: Margins = 0
    output_pad: Margins = 0
    dilation: Extents = 1
    groups: Positive = 1
    bias: bool = True
    init: Init | None = None
    examples = (
        Example("N 3 H W", out=4, kernel=2, stride=2, gives="N 4 2*H 2*W"),
        Example("N 4 H W", out=2, kernel=3, stride=2, pad=1, output_pad=1, groups=2, gives="N 2 2*H 2*W"),
        Example("N 3 T", out=2, kernel=3, dilation=2, bias=False, gives="N 2 T+4"),
        Example("N 2 3 H W", out=1, kernel=(1, 2, 2), stride=(1, 2, 2), gives="N 1 3 2*H 2*W"),
    )
    casting = Casting.LOWER
    kept = Kept((0,), dense=True)

    def infer(self, x: Tensor) -> Tensor:
        require_weight_type("x", x)
        require_image("x", x)
        require_filled("x", x, range(2, x.rank))
        require_positive("out", self.out)
        divide_channels(x.shape[1], self.groups, "x", f"x has {x.shape[1]} channels")
        divide_channels(self.out, self.groups, "out", f"out is {self.out}")
        kernel, stride, pad, output_pad, dilation = self._geometry(x)
        shape: list[Dim] = []
        for axis, size in enumerate(x.shape[2:]):
            if output_pad[axis] >= max(stride[axis], dilation[axis]):
                raise ShapeError(
                    "output_pad",
                    f"output_pad is {output_pad[axis]}, and must be less than the stride or the dilation",
                    label=f"stride {stride[axis]}, dilation {dilation[axis]}",
                )
            full = (size - 1) * stride[axis] + dilation[axis] * (kernel[axis] - 1) + 1 + output_pad[axis]
            result = full - 2 * pad[axis]
            if result.less(1):
                raise ShapeError("pad", f"nothing of the result is left: {full} less twice {pad[axis]}", against="x")
            shape.append(result)
        return x.reshaped((x.shape[0], self.out, *shape))

    def flow(self, to: tuple[Tensor, ...], x: Tensor) -> Flow:
        kernel, stride, pad, _, dilation = self._geometry(x)
        how: dict[int, Read] = {1: WHOLE}
        for place, step in enumerate(stride):
            low = pad[place] - dilation[place] * (kernel[place] - 1)
            how[place + 2] = Near(place + 2, low, pad[place], per=step)
        return along(x, to[0], how, fixed=(1,))

    def weights(self, x: Tensor) -> dict[str, Weight]:
        kernel = per_axis("kernel", self.kernel, x)
        outputs = divide_channels(self.out, self.groups, "out", f"out is {self.out}")
        return conv_weights(self.out, (x.shape[1], outputs), kernel, self.bias, self.init)

    def initialised(self) -> dict[str, Init]:
        return {"weight": self.init} if self.init else {}

    def torch_module(self, t: TorchContext, *_: Any) -> Code:
        x: Tensor = t.inputs[0]
        kernel, stride, pad, output_pad, dilation = map(short, self._geometry(x))
        named = {
            "stride": stride,
            "padding": pad,
            "output_padding": output_pad,
            "groups": self.groups,
            "dilation": dilation,
        }
        usual = {"stride": 1, "padding": 0, "output_padding": 0, "groups": 1, "dilation": 1}
        return t.call(
            f"nn.ConvTranspose{x.rank - 2}d",
            x.shape[1],
            self.out,
            kernel,
            **unlike(named, usual),
            **without_bias(self.bias),
        )

    def onnx(self, g: OnnxContext, x: OnnxValue) -> OnnxValue:
        kernel, stride, pad, output_pad, dilation = map(list, self._geometry(g.inputs[0]))
        return g.op(
            "ConvTranspose",
            x,
            g.weight("weight"),
            *([g.weight("bias")] if self.bias else []),
            kernel_shape=kernel,
            strides=stride,
            pads=pad + pad,
            output_padding=output_pad,
            dilations=dilation,
            group=self.groups,
        )

    def macs(self, x: Tensor) -> Dim:
        return product(x.shape) * product(self.weights(x)["weight"].shape[1:])

    def _geometry(self, x: Tensor) -> tuple[tuple[int, ...], ...]:
        """Kernel, stride, padding, padding of the result and dilation along each spatial axis."""
        names = ("kernel", "stride", "pad", "output_pad", "dilation")
        return tuple(per_axis(name, getattr(self, name), x) for name in names)


def divide_channels(channels: Dim, groups: int, argument: str, found: str) -> Dim:
    """The channels of one group. Refuses groups that do not divide them, or are not seen to."""
    share = channels.divide(groups)
    if share is None:
        raise ShapeError(
            "groups",
            f"{groups} groups do not divide the channels: {found}",
            against=argument if argument != "groups" else None,
            sizes=(channels,),
        )
    return share


def conv_weights(
    out: Dim, planes: tuple[Dim, Dim], kernel: tuple[int, ...], bias: bool, init: Init | None
) -> dict[str, Weight]:
    shape = (*planes, *map(Dim.of, kernel))
    start = FanUniform(fan=product(shape[1:]))
    weights = {"weight": Weight(shape, init or start)}
    return weights | {"bias": Weight((out,), start)} if bias else weights


def unlike(named: Mapping[str, Any], usual: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments that differ from PyTorch's defaults."""
    return {name: value for name, value in named.items() if value != usual[name]}


def onnx_pads(pads: tuple[tuple[int, int], ...]) -> list[int]:
    """All paddings before the axes, then all after them, as ONNX orders them."""
    return [before for before, _ in pads] + [after for _, after in pads]
