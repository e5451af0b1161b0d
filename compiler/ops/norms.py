"""Layers that bring activations to mean 0 and variance 1, over different axes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from dlc.compiler.dim import Dim
from dlc.compiler.flow.reading import Flow, mixed, pointwise
from dlc.compiler.init import Ones, Zeros
from dlc.compiler.kept import Casting, Kept, Tape
from dlc.compiler.onnx.opset import SINCE
from dlc.compiler.op import Example, Op, Positive, PositiveFloat, Probability, Weight
from dlc.compiler.ops.conv import unlike
from dlc.compiler.torch.context import Code, TorchContext
from dlc.compiler.types import (
    DType,
    ShapeError,
    Tensor,
    product,
    require_axes,
    require_filled,
    require_float,
    require_rank,
    require_weight_type,
)

if TYPE_CHECKING:
    from dlc.compiler.onnx.context import OnnxContext, OnnxValue


class BatchNorm(Op):
    """Each channel (axis 1) over the batch and all positions. Ioffe and Szegedy, 2015.

    In evaluation the running mean and variance stand in for the batch's.
    """

    momentum: Probability = 0.1
    eps: PositiveFloat = 1e-5
    affine: bool = True
    stateful: ClassVar[bool] = True
    examples = (
        Example("N 4 H W", gives="N 4 H W"),
        Example("N 4", momentum=0.2, eps=1e-3, gives="N 4"),
        Example("N 4 T", affine=False, gives="N 4 T"),
        Example("N 2 3 H W", gives="N 2 3 H W"),
    )

    def infer(self, x: Tensor) -> Tensor:
        require_weight_type("x", x)
        require_rank("x", x, 2, 5)
        require_filled("x", x, [1])
        return x

    def flow(self, to: tuple[Tensor, ...], x: Tensor) -> Flow:
        return pointwise(to[0], x, fixed=(1,))

    def flow_in_training(self, to: tuple[Tensor, ...], x: Tensor) -> Flow:
        return mixed(x, to[0], [axis for axis in range(x.rank) if axis != 1], fixed=(1,))

    def keeps(self, tape: Tape, to: tuple[Tensor, ...], x: Tensor) -> Kept:
        return Kept((0,), made=(Tensor(DType.FLOAT, (Dim.of(2), x.shape[1])),), dense=True)

    def weights(self, x: Tensor) -> dict[str, Weight]:
        channels = (x.shape[1],)
        return (_affine(channels) if self.affine else {}) | {
            "running_mean": Weight(channels, Zeros(), trainable=False),
            "running_var": Weight(channels, Ones(), trainable=False),
            "num_batches_tracked": Weight((), Zeros(), trainable=False, dtype=DType.INT),
        }

    def torch_module(self, t: TorchContext, *_: Any) -> Code:
        x: Tensor = t.inputs[0]
        named = {"eps": self.eps, "momentum": self.momentum, "affine": self.affine}
        usual = {"eps": 1e-5, "momentum": 0.1, "affine": True}
        return t.call(f"nn.BatchNorm{max(x.rank - 2, 1)}d", x.shape[1], **unlike(named, usual))

    def onnx(self, g: OnnxContext, x: OnnxValue) -> OnnxValue:
        mean, variance = g.weight("running_mean"), g.weight("running_var")
        scale, bias = _scale_and_bias(g, self.affine, g.inputs[0].shape[1])
        return g.op("BatchNormalization", x, scale, bias, mean, variance, epsilon=self.eps, momentum=1 - self.momentum)


class LayerNorm(Op):
    """Each position over its last `axes` axes. Ba et al., 2016."""

    axes: Positive = 1
    eps: PositiveFloat = 1e-5
    affine: bool = True
    bias: bool = True
    examples = (
        Example("N T 8", gives="N T 8"),
        Example("N 3 4", axes=2, eps=1e-3, gives="N 3 4"),
        Example("N T 8", bias=False, gives="N T 8"),
        Example("N T D", affine=False, gives="N T D"),
    )
    casting = Casting.FULL

    def infer(self, x: Tensor) -> Tensor:
        if self.affine:
            require_weight_type("x", x)
        else:
            require_float("x", x)
        require_axes("x", x, 1)
        if self.axes > x.rank:
            raise ShapeError("axes", f"the last {self.axes} axes are due, and x has {x.rank}", label=str(x))
        return x

    def flow(self, to: tuple[Tensor, ...], x: Tensor) -> Flow:
        last = range(x.rank - self.axes, x.rank)
        return mixed(x, to[0], last, fixed=last if self.affine else ())

    def keeps(self, tape: Tape, to: tuple[Tensor, ...], x: Tensor) -> Kept:
        return Kept((0,), made=(Tensor(DType.FLOAT, (Dim.of(2), *x.shape[: x.rank - self.axes])),), dense=True)

    def weights(self, x: Tensor) -> dict[str, Weight]:
        if not self.affine:
            return {}
        weights = _affine(x.shape[-self.axes :])
        return weights if self.bias else {"weight": weights["weight"]}

    def torch_module(self, t: TorchContext, *_: Any) -> Code:
        named = {"eps": self.eps, "bias": self.bias}
        return t.call("nn.LayerNorm", self._shape(t, short=True), **unlike(named, {"eps": 1e-5, "bias": True}))

    def torch(self, t: TorchContext, x: Code) -> Code:
        if self.affine:
            return t.call(t.module, x)
        return t.call("F.layer_norm", x, self._shape(t), **unlike({"eps": self.eps}, {"eps": 1e-5}))

    def _shape(self, t: TorchContext, short: bool = False) -> Any:
        shape = t.inputs[0].shape[-self.axes :]
        return shape[0] if short and self.axes == 1 else shape

    def onnx(self, g: OnnxContext, x: OnnxValue) -> OnnxValue:
        if self.affine:
            bias = [g.weight("bias")] if self.bias else []
            return g.op("LayerNormalization", x, g.weight("weight"), *bias, axis=-self.axes, epsilon=self.eps)
        dtype = g.inputs[0].dtype
        axes = g.ints(range(-self.axes, 0))
        centred = g.op("Sub", x, g.op("ReduceMean", x, axes, keepdims=1))
        variance = g.op("ReduceMean", g.op("Mul", centred, centred), axes, keepdims=1)
        return g.op("Div", centred, g.op("Sqrt", g.op("Add", variance, g.constant(self.eps, dtype))))


class RmsNorm(Op):
    """Each position over its root mean square along the last axis, not centred. Zhang and Sennrich, 2019."""

    eps: PositiveFloat = 1e-6
    examples = (Example("N T 8", gives="N T 8"), Example("N 8", eps=1e-3, gives="N 8"))
    casting = Casting.FULL

    def infer(self, x: Tensor) -> Tensor:
        require_weight_type("x", x)
        require_axes("x", x, 1)
        return x

    def flow(self, to: tuple[Tensor, ...], x: Tensor) -> Flow:
        return mixed(x, to[0], [x.rank - 1], fixed=(x.rank - 1,))

    def keeps(self, tape: Tape, to: tuple[Tensor, ...], x: Tensor) -> Kept:
        return Kept((0,), made=(Tensor(DType.FLOAT, x.shape[:-1]),), dense=True)

    def weights(self, x: Tensor) -> dict[str, Weight]:
        return {"weight": Weight(x.shape[-1:], Ones())}

    def torch_module(self, t: TorchContext, *_: Any) -> Code:
        return t.call("nn.RMSNorm", t.inputs[0].shape[-1], eps=self.eps)

    def onnx(self, g: OnnxContext, x: OnnxValue) -> OnnxValue:
        dtype = g.inputs[0].dtype
        if g.newest >= SINCE["RMSNormalization"] and dtype is DType.FLOAT:
            return g.op("RMSNormalization", x, g.weight("weight"), axis=-1, epsilon=self.eps)
        power = g.op("ReduceMean", g.op("Mul", x, x), g.ints([-1]), keepdims=1)
        root = g.op("Sqrt", g.op("Add", power, g.constant(self.eps, dtype)))
        return g.op("Mul", g.op("Div", x, root), g.weight("weight"))


class GroupNorm(Op):
    """Each example over its positions and the channels (axis 1) of each of `groups` groups. Wu and He, 2018."""

    groups: Positive
    eps: PositiveFloat = 1e-5
    affine: bool = True
    examples = (
        Example("N 6 H W", groups=3, gives="N 6 H W"),
        Example("N 6 T", groups=2, eps=1e-3, gives="N 6 T"),
        Example("N 6", groups=2, affine=False, gives="N 6"),
    )
    casting = Casting.FULL

    def infer(self, x: Tensor) -> Tensor:
        require_weight_type("x", x)
        require_axes("x", x, 2)
        if x.shape[1].divide(self.groups) is None:
            raise ShapeError(
                "groups",
                f"{self.groups} groups do not divide the channels: x has {x.shape[1]}",
                against="x",
                sizes=(x.shape[1],),
            )
        return x

    def flow(self, to: tuple[Tensor, ...], x: Tensor) -> Flow:
        return mixed(x, to[0], range(1, x.rank), fixed=(1,))

    def keeps(self, tape: Tape, to: tuple[Tensor, ...], x: Tensor) -> Kept:
        return Kept((0,), made=(Tensor(DType.FLOAT, (Dim.of(2), x.shape[0], Dim.of(self.groups))),), dense=True)

    def weights(self, x: Tensor) -> dict[str, Weight]:
        return _affine((x.shape[1],)) if self.affine else {}

    def torch_module(self, t: TorchContext, *_: Any) -> Code:
        return t.call("nn.GroupNorm", self.groups, t.inputs[0].shape[1], **unlike({"eps": self.eps}, {"eps": 1e-5}))

    def torch(self, t: TorchContext, x: Code) -> Code:
        if self.affine:
            return t.call(t.module, x)
        return t.call("F.group_norm", x, self.groups, **unlike({"eps": self.eps}, {"eps": 1e-5}))

    def onnx(self, g: OnnxContext, x: OnnxValue) -> OnnxValue:
        dtype = g.inputs[0].dtype
        grouped = g.op("Reshape", x, g.ints([0, self.groups, -1]))
        ones, zeros = g.constant([1.0] * self.groups, dtype), g.constant([0.0] * self.groups, dtype)
        normal = g.op("InstanceNormalization", grouped, ones, zeros, epsilon=self.eps)
        y = g.op("Reshape", normal, g.op("Shape", x))
        if not self.affine:
            return y
        along = g.ints([-1, *[1] * (g.inputs[0].rank - 2)])
        scale, bias = (g.op("Reshape", g.weight(name), along) for name in ("weight", "bias"))
        return g.op("Add", g.op("Mul", y, scale), bias)


class InstanceNorm(Op):
    """Each channel of each example over its positions. Ulyanov et al., 2016."""

    eps: PositiveFloat = 1e-5
    affine: bool = False
    examples = (
        Example("N C H W", gives="N C H W"),
        Example("N C T", eps=1e-3, gives="N C T"),
        Example("N 4 H W", affine=True, gives="N 4 H W"),
    )

    def infer(self, x: Tensor) -> Tensor:
        if self.affine:
            require_weight_type("x", x)
        else:
            require_float("x", x)
        require_rank("x", x, 3, 5)
        require_filled("x", x, range(x.rank))
        if product(x.shape[2:]) == 1:
            raise ShapeError("x", "each channel has a single position, which has no variance", label=str(x))
        return x

    def flow(self, to: tuple[Tensor, ...], x: Tensor) -> Flow:
        return mixed(x, to[0], range(2, x.rank), fixed=(1,) if self.affine else ())

    def keeps(self, tape: Tape, to: tuple[Tensor, ...], x: Tensor) -> Kept:
        return Kept((0,), made=(Tensor(DType.FLOAT, (Dim.of(2), *x.shape[:2])),), dense=True)

    def weights(self, x: Tensor) -> dict[str, Weight]:
        return _affine((x.shape[1],)) if self.affine else {}

    def torch_module(self, t: TorchContext, *_: Any) -> Code:
        x: Tensor = t.inputs[0]
        named = unlike({"eps": self.eps}, {"eps": 1e-5})
        return t.call(f"nn.InstanceNorm{x.rank - 2}d", x.shape[1], **named, affine=True)

    def torch(self, t: TorchContext, x: Code) -> Code:
        if self.affine:
            return t.call(t.module, x)
        return t.call("F.instance_norm", x, **unlike({"eps": self.eps}, {"eps": 1e-5}))

    def onnx(self, g: OnnxContext, x: OnnxValue) -> OnnxValue:
        scale, bias = _scale_and_bias(g, self.affine, g.inputs[0].shape[1])
        return g.op("InstanceNormalization", x, scale, bias, epsilon=self.eps)


def _affine(shape: tuple[Dim, ...]) -> dict[str, Weight]:
    return {"weight": Weight(shape, Ones()), "bias": Weight(shape, Zeros())}


def _scale_and_bias(g: OnnxContext, affine: bool, channels: Dim) -> tuple[OnnxValue, OnnxValue]:
    """The learned ones, or ones and zeros."""
    if affine:
        return g.weight("weight"), g.weight("bias")
    dtype = g.inputs[0].dtype
    shape = g.sizes((channels,))
    return g.op("Expand", g.constant(1.0, dtype), shape), g.op("Expand", g.constant(0.0, dtype), shape)
