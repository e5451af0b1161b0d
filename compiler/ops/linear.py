"""Layers that map vectors linearly, or look them up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dlc.compiler.dim import Dim
from dlc.compiler.flow.reading import WHOLE, Flow, Read, along, flow, pointwise
from dlc.compiler.init import Constant, FanUniform, Init, Normal, PaddedNormal
from dlc.compiler.kept import INPUT, Casting, Kept
from dlc.compiler.op import Example, NonNegative, Op, Size, Weight
from dlc.compiler.torch.context import Code, TorchContext
from dlc.compiler.types import (
    DType,
    ShapeError,
    Tensor,
    agree,
    product,
    require_axes,
    require_filled,
    require_int,
    require_positive,
    require_weight_type,
)

if TYPE_CHECKING:
    from dlc.compiler.onnx.context import OnnxContext, OnnxValue


class Linear(Op):
    """y = x W^T + b over the last axis."""

    out: Size
    bias: bool = True
    init: Init | None = None
    examples = (
        Example("N T 8", out=10, gives="N T 10"),
        Example("N 8", out=3, gives="N 3"),
        Example("N 8", out=3, bias=False, gives="N 3"),
        Example("8", out=3, gives="3"),
    )
    kept = Kept((0,), dense=True)
    casting = Casting.LOWER

    def infer(self, x: Tensor) -> Tensor:
        require_weight_type("x", x)
        require_axes("x", x, 1)
        require_positive("out", self.out)
        return x.reshaped((*x.shape[:-1], self.out))

    def flow(self, to: tuple[Tensor, ...], x: Tensor) -> Flow:
        last = x.rank - 1
        return along(x, to[0], {last: WHOLE}, fixed=(last,))

    def weights(self, x: Tensor) -> dict[str, Weight]:
        width = x.shape[-1]
        start = FanUniform(fan=width)
        weights = {"weight": Weight((self.out, width), self.init or start)}
        return weights | {"bias": Weight((self.out,), start)} if self.bias else weights

    def initialised(self) -> dict[str, Init]:
        return {"weight": self.init} if self.init else {}

    def torch_module(self, t: TorchContext, *_: Any) -> Code:
        return t.call("nn.Linear", t.inputs[0].shape[-1], self.out, **without_bias(self.bias))

    def onnx(self, g: OnnxContext, x: OnnxValue) -> OnnxValue:
        weight = g.weight("weight")
        bias = g.weight("bias") if self.bias else None
        if g.inputs[0].rank == 2:
            return g.op("Gemm", x, weight, *([bias] if bias is not None else []), transB=1)
        y = g.op("MatMul", x, g.op("Transpose", weight, perm=[1, 0]))
        return y if bias is None else g.op("Add", y, bias)

    def macs(self, x: Tensor) -> Dim:
        return product(x.shape) * self.out


class Bilinear(Op):
    """x W y + b over the last axes of x and y, one matrix W for each of `out` results."""

    out: Size
    bias: bool = True
    init: Init | None = None
    examples = (
        Example("N 4", "N 3", out=2, gives="N 2"),
        Example("N T 4", "N T 3", out=2, bias=False, gives="N T 2"),
    )
    casting = Casting.LOWER
    kept = Kept((0, 1))

    def infer(self, x: Tensor, y: Tensor) -> Tensor:
        for name, operand in (("x", x), ("y", y)):
            require_weight_type(name, operand)
            require_axes(name, operand, 1)
            require_filled(name, operand, [operand.rank - 1])
        require_positive("out", self.out)
        if x.rank != y.rank or not all(map(agree, x.shape[:-1], y.shape[:-1])):
            raise ShapeError(
                "y", "x and y differ in more than their last axis", label=f"{y}, and x is {x}", against="x"
            )
        return x.reshaped((*x.shape[:-1], self.out))

    def flow(self, to: tuple[Tensor, ...], x: Tensor, y: Tensor) -> Flow:
        last = x.rank - 1
        reads: list[Read] = [*((axis,) for axis in range(last)), WHOLE]
        return flow(to[0], reads, reads, fixed=(last,))

    def weights(self, x: Tensor, y: Tensor) -> dict[str, Weight]:
        start = FanUniform(fan=x.shape[-1])
        weights = {"weight": Weight((self.out, x.shape[-1], y.shape[-1]), self.init or start)}
        return weights | {"bias": Weight((self.out,), start)} if self.bias else weights

    def initialised(self) -> dict[str, Init]:
        return {"weight": self.init} if self.init else {}

    def torch_module(self, t: TorchContext, *_: Any) -> Code:
        x, y = t.inputs
        return t.call("nn.Bilinear", x.shape[-1], y.shape[-1], self.out, **without_bias(self.bias))

    def onnx(self, g: OnnxContext, x: OnnxValue, y: OnnxValue) -> OnnxValue:
        lead = "abcdefghijklm"[: g.inputs[0].rank - 1]
        equation = f"{lead}x,zxy,{lead}y->{lead}z"
        result = g.op("Einsum", x, g.weight("weight"), y, equation=equation)
        return g.op("Add", result, g.weight("bias")) if self.bias else result

    def macs(self, x: Tensor, y: Tensor) -> Dim:
        return product(x.shape) * (y.shape[-1] + 1) * self.out


class Embedding(Op):
    """The rows of a table at the indices given; row `padding` starts at 0 and stays there."""

    count: Size
    width: Size
    padding: NonNegative | None = None
    init: Init | None = None
    examples = (
        Example("int N T < 50", count=50, width=8, gives="N T 8"),
        Example("int N < 5", count=5, width=8, padding=0, gives="N 8", smooth=False),
        Example("int32 N < 5", count=7, width=8, gives="N 8"),
        Example("uint8 N < 5", count=7, width=8, gives="N 8"),
    )
    kept = INPUT

    def infer(self, index: Tensor) -> Tensor:
        require_int("index", index)
        require_positive("count", self.count)
        require_positive("width", self.width)
        if index.below is not None and index.below.at_most(self.count) is False:
            raise ShapeError(
                "index",
                f"an index may be up to {index.below - 1}, and the table has {self.count} rows",
                label=str(index),
                against="count",
                sizes=(index.below, self.count),
            )
        if self.padding is not None and self.count.at_most(self.padding) is True:
            raise ShapeError("padding", f"there is no row {self.padding} in a table of {self.count} rows")
        return Tensor(DType.FLOAT, (*index.shape, self.width))

    def flow(self, to: tuple[Tensor, ...], index: Tensor) -> Flow:
        return flow(to[0], [(axis,) for axis in range(index.rank)], fixed=(index.rank,))

    def weights(self, index: Tensor) -> dict[str, Weight]:
        start = Normal() if self.padding is None else PaddedNormal(padding=self.padding)
        return {"weight": Weight((self.count, self.width), self.init or start)}

    def initialised(self) -> dict[str, Init]:
        return {"weight": self.init} if self.init else {}

    def torch_module(self, t: TorchContext, *_: Any) -> Code:
        padding = {} if self.padding is None else {"padding_idx": self.padding}
        return t.call("nn.Embedding", self.count, self.width, **padding)

    def torch(self, t: TorchContext, index: Code) -> Code:
        return t.call(t.module, as_long(t, index, t.inputs[0]))

    def onnx(self, g: OnnxContext, index: OnnxValue) -> OnnxValue:
        return g.op("Gather", g.weight("weight"), g.cast(index, DType.INT), axis=0)


class Prelu(Op):
    """x where it is positive, a learned multiple of x elsewhere. He et al., 2015.

    `channels` learns one for each channel, along axis 1.
    """

    channels: bool = False
    examples = (Example("N T", gives="N T"), Example("N 4 H W", channels=True, gives="N 4 H W"))
    kept = INPUT

    def infer(self, x: Tensor) -> Tensor:
        require_weight_type("x", x)
        if self.channels:
            require_axes("x", x, 2)
        return x

    def flow(self, to: tuple[Tensor, ...], x: Tensor) -> Flow:
        return pointwise(to[0], x, fixed=(1,) if self.channels else ())

    def weights(self, x: Tensor) -> dict[str, Weight]:
        return {"weight": Weight((x.shape[1] if self.channels else Dim.of(1),), Constant(value=0.25))}

    def torch_module(self, t: TorchContext, *_: Any) -> Code:
        return t.call("nn.PReLU", *([t.inputs[0].shape[1]] if self.channels else []))

    def onnx(self, g: OnnxContext, x: OnnxValue) -> OnnxValue:
        slope = g.weight("weight")
        if self.channels:
            slope = g.op("Reshape", slope, g.ints([-1, *[1] * (g.inputs[0].rank - 2)]))
        return g.op("PRelu", x, slope)


def without_bias(bias: bool) -> dict[str, bool]:
    """What a constructor of `torch.nn` is told about a bias, which it has unless told otherwise."""
    return {} if bias else {"bias": False}


def as_long(t: TorchContext, index: Code, type: Tensor) -> Code:
    """An int tensor as PyTorch takes indices and classes."""
    return index if type.dtype is DType.INT else t.method(index, "long")
