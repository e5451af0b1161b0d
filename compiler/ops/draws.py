"""Random tensors. They follow the seed of the run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dlc.compiler.flow.reading import WHOLE, Flow, flow, pointwise, unread
from dlc.compiler.op import Example, Float, Probability, Size, Sizes
from dlc.compiler.ops.drawing import Distribution, Drawing, Noise
from dlc.compiler.ops.making import require_sizes
from dlc.compiler.torch.context import Code, TorchContext
from dlc.compiler.types import (
    DType,
    ShapeError,
    Tensor,
    product,
    require_axes,
    require_filled,
    require_float,
    require_positive,
)

if TYPE_CHECKING:
    from dlc.compiler.onnx.context import OnnxContext, OnnxValue


_PICK = '''\
def pick_index(weights, noise):
    """For each number from 0 to below 1 the index that lies there, where each takes up as much as its weight."""
    total = weights.cumsum(-1)
    end = total[..., -1:].contiguous()
    place = torch.searchsorted(total, noise * end, right=True)
    return place.minimum(torch.searchsorted(total, end))'''


class Draw(Drawing, abstract=True):
    """A tensor of independent draws."""

    shape: Sizes = ()
    variadic = "shape"


class Normal(Draw):
    """Draws from the normal distribution."""

    mean: Float = 0.0
    std: Float = 1.0
    examples = (Example(shape=(2, 3), gives="2 3"), Example(shape=(4,), mean=1.0, std=0.5, gives="4"))

    def infer(self) -> Tensor:
        require_sizes(self.shape)
        require_std(self.std)
        return Tensor(DType.FLOAT, self.shape)

    def noise(self) -> Noise:
        return Noise(Tensor(DType.FLOAT, self.shape), Distribution.NORMAL)

    def torch_of(self, t: TorchContext, noise: Code) -> Code:
        return _scaled(t, noise, self.std, self.mean)

    def onnx_of(self, g: OnnxContext, noise: OnnxValue) -> OnnxValue:
        return _scaled_in_onnx(g, noise, self.std, self.mean)


class Uniform(Draw):
    """Draws from the uniform distribution between `low` and `high`."""

    low: Float = 0.0
    high: Float = 1.0
    examples = (
        Example(shape=(2, 3), gives="2 3"),
        Example(shape=(), gives=""),
        Example(shape=(4, 1), low=-5.0, high=5.0, gives="4 1"),
    )

    def infer(self) -> Tensor:
        require_sizes(self.shape)
        require_interval(self.low, self.high)
        return Tensor(DType.FLOAT, self.shape)

    def noise(self) -> Noise:
        return Noise(Tensor(DType.FLOAT, self.shape), Distribution.UNIFORM)

    def torch_of(self, t: TorchContext, noise: Code) -> Code:
        return _scaled(t, noise, self.high - self.low, self.low)

    def onnx_of(self, g: OnnxContext, noise: OnnxValue) -> OnnxValue:
        return _scaled_in_onnx(g, noise, self.high - self.low, self.low)


class NormalLike(Drawing):
    """Draws from the normal distribution in the shape of x."""

    mean: Float = 0.0
    std: Float = 1.0
    examples = (Example("N T", gives="N T"), Example("N", mean=1.0, std=0.5, gives="N"))

    def infer(self, x: Tensor) -> Tensor:
        require_float("x", x)
        require_std(self.std)
        return x

    def flow(self, to: tuple[Tensor, ...], x: Tensor) -> Flow:
        return unread(to[0], x, fixed=range(x.rank))

    def noise(self, x: Tensor) -> Noise:
        return Noise(x, Distribution.NORMAL)

    def torch(self, t: TorchContext, x: Code) -> Code:
        return self.torch_of(t, t.call("torch.randn_like", x), x)

    def torch_of(self, t: TorchContext, noise: Code, x: Code) -> Code:
        return _scaled(t, noise, self.std, self.mean)

    def onnx(self, g: OnnxContext, x: OnnxValue) -> OnnxValue:
        return self.onnx_of(g, g.op("RandomNormalLike", x), x)

    def onnx_of(self, g: OnnxContext, noise: OnnxValue, x: OnnxValue) -> OnnxValue:
        return _scaled_in_onnx(g, noise, self.std, self.mean)


class UniformLike(Drawing):
    """Draws from the uniform distribution between `low` and `high` in the shape of x."""

    low: Float = 0.0
    high: Float = 1.0
    examples = (Example("N T", gives="N T"), Example("N", low=-1.0, high=0.5, gives="N"))

    def infer(self, x: Tensor) -> Tensor:
        require_float("x", x)
        require_interval(self.low, self.high)
        return x

    def flow(self, to: tuple[Tensor, ...], x: Tensor) -> Flow:
        return unread(to[0], x, fixed=range(x.rank))

    def noise(self, x: Tensor) -> Noise:
        return Noise(x, Distribution.UNIFORM)

    def torch(self, t: TorchContext, x: Code) -> Code:
        return self.torch_of(t, t.call("torch.rand_like", x), x)

    def torch_of(self, t: TorchContext, noise: Code, x: Code) -> Code:
        return _scaled(t, noise, self.high - self.low, self.low)

    def onnx(self, g: OnnxContext, x: OnnxValue) -> OnnxValue:
        return self.onnx_of(g, g.op("RandomUniformLike", x), x)

    def onnx_of(self, g: OnnxContext, noise: OnnxValue, x: OnnxValue) -> OnnxValue:
        return _scaled_in_onnx(g, noise, self.high - self.low, self.low)


class Bernoulli(Draw):
    """Ones with probability `p` and zeros otherwise, as floats; of a tensor of probabilities, one draw for each."""

    p: Probability | None = None
    examples = (
        Example(shape=(3, 4), p=0.3, gives="3 4"),
        Example(shape=(3,), gives="3"),
    )

    def infer(self, p: Tensor | None = None) -> Tensor:
        if p is None:
            require_sizes(self.shape)
            return Tensor(DType.FLOAT, self.shape)
        require_float("p", p)
        if self.shape or self.p is not None:
            name = "shape" if self.shape else "p"
            raise ShapeError(name, "the probabilities are a tensor, which says all there is to say", label=f"p is {p}")
        return p

    def flow(self, to: tuple[Tensor, ...], p: Tensor | None = None) -> Flow:
        return pointwise(to[0], p, fixed=range(to[0].rank) if p is None else ())

    def noise(self, p: Tensor | None = None) -> Noise:
        return Noise(Tensor(DType.FLOAT, self.shape) if p is None else p, Distribution.UNIFORM)

    def torch(self, t: TorchContext, p: Code | None = None) -> Code:
        if p is None:
            p = t.factory("torch.full", self.shape, self._share())
        return t.call("torch.bernoulli", p)

    def torch_of(self, t: TorchContext, noise: Code, p: Code | None = None) -> Code:
        below = t.literal(self._share()) if p is None else p
        return t.method(t.binary("<", noise, below), "to", Code(t.dtype(t.outputs[0].dtype)))

    def onnx(self, g: OnnxContext, p: OnnxValue | None = None) -> OnnxValue:
        return super().onnx(g) if p is None else self.onnx_of(g, g.op("RandomUniformLike", p), p)

    def onnx_of(self, g: OnnxContext, noise: OnnxValue, p: OnnxValue | None = None) -> OnnxValue:
        dtype = g.outputs[0].dtype
        return g.cast(g.op("Less", noise, g.constant(self._share(), dtype) if p is None else p), dtype)

    def _share(self) -> float:
        return 0.5 if self.p is None else self.p


class Randint(Draw):
    """Ints from 0 up to but not including `below`, all alike probable."""

    below: Size
    examples = (Example(shape=(3, 4), below=7, gives="int 3 4 < 7"), Example(shape=(), below=1, gives="int < 1"))

    def infer(self) -> Tensor:
        require_sizes(self.shape)
        require_positive("below", self.below)
        return Tensor(DType.INT, self.shape, self.below)

    def torch(self, t: TorchContext) -> Code:
        return t.factory("torch.randint", self.below, self.shape, dtype=None)

    def noise(self) -> Noise:
        # in double precision, so that every int can be drawn
        return Noise(Tensor(DType.FLOAT64, self.shape), Distribution.UNIFORM)

    def torch_of(self, t: TorchContext, noise: Code) -> Code:
        place = t.method(t.binary("*", noise, t.size(self.below)), "long")
        return t.method(place, "clamp", max=t.size(self.below - 1))

    def onnx_of(self, g: OnnxContext, noise: OnnxValue) -> OnnxValue:
        place = g.cast(g.op("Mul", noise, g.cast(g.size(self.below), DType.FLOAT64)), DType.INT)
        return g.op("Min", place, g.size(self.below - 1))


class Categorical(Draw):
    """Indices along the last axis of `weights`, each as probable as its weight is large; the weights need no sum of 1.

    For weights [K] the draws have the shape given, for weights [N, K] as many for each row: [N, *shape].
    """

    examples = (
        Example("7", shape=(3, 4), gives="int 3 4 < 7", positive=True),
        Example("V", shape=(), gives="int < V", positive=True),
        Example("N V", shape=(), gives="int N < V", positive=True),
        Example("N T V", shape=(2,), gives="int N T 2 < V", positive=True),
    )

    def infer(self, weights: Tensor) -> Tensor:
        require_float("weights", weights)
        require_axes("weights", weights, 1)
        require_filled("weights", weights, [weights.rank - 1])
        require_sizes(self.shape)
        for size in self.shape:
            require_positive("shape", size)
        return Tensor(DType.INT, (*weights.shape[:-1], *self.shape), weights.shape[-1])

    def flow(self, to: tuple[Tensor, ...], weights: Tensor) -> Flow:
        last = weights.rank - 1
        return flow(to[0], [*((axis,) for axis in range(last)), WHOLE], fixed=range(last, to[0].rank))

    def torch(self, t: TorchContext, weights: Code) -> Code:
        type: Tensor = t.inputs[0]
        rows = t.method(weights, "flatten", 0, -2) if type.rank > 2 else weights
        count = product(self.shape)
        several = {} if count == 1 else {"replacement": True}
        draws = t.call("torch.multinomial", rows, count, **several)
        if type.rank <= 2 and len(self.shape) == 1:
            return draws
        if type.rank <= 2 and not self.shape:
            return t.method(draws, "squeeze", -1)
        return t.method(draws, "reshape", *(type.shape[:-1] + self.shape))

    def noise(self, weights: Tensor) -> Noise:
        type = Tensor(weights.dtype, (*weights.shape[:-1], product(self.shape)))
        return Noise(type, Distribution.UNIFORM)

    def torch_of(self, t: TorchContext, noise: Code, weights: Code) -> Code:
        type: Tensor = t.inputs[0]
        return t.method(t.call(t.defining(_PICK), weights, noise), "reshape", type.shape[:-1] + self.shape)

    def onnx_of(self, g: OnnxContext, noise: OnnxValue, weights: OnnxValue) -> OnnxValue:
        # by the inverse of the cumulative distribution: ONNX's Multinomial draws a fixed number
        type: Tensor = g.inputs[0]
        total = g.op("CumSum", weights, g.constant(type.rank - 1, DType.INT))
        end = g.op("Gather", total, g.ints([-1]), axis=-1)
        total, place = g.op("Unsqueeze", total, g.ints([-2])), g.op("Unsqueeze", g.op("Mul", noise, end), g.ints([-1]))
        passed = g.op("LessOrEqual", total, place)
        # what follows the last weight that is not 0 is never drawn, however the product is rounded
        passed = g.op("And", passed, g.op("Less", total, g.op("Unsqueeze", end, g.ints([-2]))))
        place = g.op("ReduceSum", g.cast(passed, DType.INT), g.ints([-1]), keepdims=0)
        return g.op("Reshape", place, g.sizes((*type.shape[:-1], *self.shape)))


class Permutation(Drawing):
    """The ints below `n` in random order."""

    n: Size
    examples = (Example(n=6, gives="int 6 < 6"),)

    def infer(self) -> Tensor:
        require_sizes((self.n,), "n")
        return Tensor(DType.INT, (self.n,), self.n)

    def torch(self, t: TorchContext) -> Code:
        return t.factory("torch.randperm", self.n, dtype=None)

    def noise(self) -> Noise:
        # in double precision, so that no two numbers are alike
        return Noise(Tensor(DType.FLOAT64, (self.n,)), Distribution.UNIFORM)

    def torch_of(self, t: TorchContext, noise: Code) -> Code:
        return t.method(noise, "argsort", descending=True, stable=True)

    def onnx_of(self, g: OnnxContext, noise: OnnxValue) -> OnnxValue:
        return g.multi("TopK", noise, g.sizes((self.n,)), results=2, axis=0)[1]


def require_std(std: float) -> None:
    if std < 0:
        raise ShapeError("std", f"std is {std}, and a standard deviation is not negative")


def require_interval(low: float, high: float) -> None:
    if low > high:
        raise ShapeError("low", f"low is {low}, above high, {high}", against="high")


def _scaled(t: TorchContext, draw: Code, scale: float, shift: float) -> Code:
    """scale*draw + shift, without what changes nothing."""
    if scale != 1:
        draw = t.binary("*", t.literal(scale), draw)
    if shift == 0:
        return draw
    return t.binary("-" if shift < 0 else "+", draw, t.literal(abs(shift)))


def _scaled_in_onnx(g: OnnxContext, draw: OnnxValue, scale: float, shift: float) -> OnnxValue:
    dtype = g.outputs[0].dtype
    draw = draw if scale == 1 else g.op("Mul", draw, g.constant(scale, dtype))
    return draw if shift == 0 else g.op("Add", draw, g.constant(shift, dtype))
