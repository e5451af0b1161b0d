"""What tells a network, which sees a set, where in a sequence each element stands."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from dlc.compiler.dim import Dim
from dlc.compiler.flow.reading import WHOLE, Flow, along
from dlc.compiler.kept import Kept, Tape
from dlc.compiler.onnx.opset import SINCE
from dlc.compiler.op import Example, Op, Positive, PositiveFloat, Size
from dlc.compiler.ops.making import require_sizes
from dlc.compiler.torch.context import Code, TorchContext
from dlc.compiler.types import DType, ShapeError, Tensor, require_axes, require_float, require_positive

if TYPE_CHECKING:
    from dlc.compiler.onnx.context import OnnxContext, OnnxValue

_ROPE = '''\
def apply_rope(x, base=10000.0, offset=0, interleaved=False):
    """Turns each pair of the last axis by an angle that grows with the position, the axis before it."""
    half = x.shape[-1] // 2
    place = torch.arange(offset, offset + x.shape[-2], device=x.device)
    angle = place[:, None] * base ** (-torch.arange(half, device=x.device) / half)
    cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    a, b = (x[..., 0::2], x[..., 1::2]) if interleaved else x.chunk(2, dim=-1)
    turned = a * cos - b * sin, a * sin + b * cos
    return torch.stack(turned, dim=-1).flatten(-2) if interleaved else torch.cat(turned, dim=-1)'''
_SINUSOID = '''\
def sinusoid_table(length, width, base=10000.0, dtype=None, device=None):
    """Sines and cosines of the position, at wavelengths from 2 pi to 2 pi times the base."""
    rate = base ** (-torch.arange(0, width, 2, device=device) / width)
    angle = torch.arange(length, device=device)[:, None] * rate
    return torch.stack((angle.sin(), angle.cos()), dim=-1).flatten(-2).to(dtype or torch.get_default_dtype())'''
_ALIBI = '''\
def alibi_bias(slopes, length, dtype=None, device=None):
    """What to add to the scores of each head: minus its slope for each step of distance."""
    place = torch.arange(length, device=device)
    slopes = torch.tensor(slopes, dtype=dtype or torch.get_default_dtype(), device=device)
    return -slopes[:, None, None] * (place[:, None] - place).abs()'''


class Rope(Op):
    """Rotary positions: turns pairs of the last axis by angles that grow with the position. Su et al., 2021.

    The axis before the last is that of positions, the first of which is `offset`. Element i of a row of e is paired
    with element i + e/2, or, if `interleaved`, with its neighbour.
    """

    base: PositiveFloat = 10000.0
    offset: Size = Dim.of(0)
    interleaved: bool = False
    examples = (
        Example("N 2 T 8", gives="N 2 T 8"),
        Example("N T 6", base=100.0, offset=3, gives="N T 6"),
        Example("N 2 T 8", interleaved=True, gives="N 2 T 8"),
        Example("N T 2*D", gives="N T 2*D"),
    )

    def infer(self, x: Tensor) -> Tensor:
        require_float("x", x)
        require_axes("x", x, 2)
        if x.shape[-1].divide(2) is None:
            raise ShapeError(
                "x",
                f"the last axis is turned in pairs, and {x.shape[-1]} is not even",
                label=str(x),
                sizes=(x.shape[-1],),
            )
        return x

    def flow(self, to: tuple[Tensor, ...], x: Tensor) -> Flow:
        last = x.rank - 1
        return along(x, to[0], {last: WHOLE}, fixed=(last - 1, last))

    def keeps(self, tape: Tape, to: tuple[Tensor, ...], x: Tensor) -> Kept:
        return Kept(made=(Tensor(x.dtype, (Dim.of(2), x.shape[-2], x.shape[-1] // 2)),))

    def torch(self, t: TorchContext, x: Code) -> Code:
        usual = {"base": 10000.0, "offset": Dim.of(0), "interleaved": False}
        named = {name: value for name in usual if (value := getattr(self, name)) != usual[name]}
        return t.call(t.defining(_ROPE), x, **named)

    def onnx(self, g: OnnxContext, x: OnnxValue) -> OnnxValue:
        type: Tensor = g.inputs[0]
        half = type.shape[-1] // 2
        place = _range(g, self.offset, self.offset + type.shape[-2])
        rate = _rates(g, self.base, _range(g, Dim.of(0), half), half)
        angle = g.op("Mul", g.op("Unsqueeze", place, g.ints([1])), rate)
        cos, sin = (g.cast(g.op(kind, angle), type.dtype) for kind in ("Cos", "Sin"))
        if g.newest >= SINCE["RotaryEmbedding"] and type.rank == 4 and type.dtype is DType.FLOAT:
            steps = g.op("Range", g.constant(0, DType.INT), g.size(type.shape[2]), g.constant(1, DType.INT))
            places = g.op("Expand", steps, g.sizes((type.shape[0], type.shape[2])))
            return g.op("RotaryEmbedding", x, cos, sin, places, interleaved=int(self.interleaved))
        if not self.interleaved:
            a, b = g.multi("Split", x, results=2, axis=-1, num_outputs=2)
            return g.op("Concat", *_turn(g, a, b, cos, sin), axis=-1)
        pairs = g.op("Reshape", x, g.sizes((*type.shape[:-1], half, Dim.of(2))))
        a, b = (g.op("Gather", pairs, g.constant(i, DType.INT), axis=-1) for i in (0, 1))
        turned = [g.op("Unsqueeze", each, g.ints([-1])) for each in _turn(g, a, b, cos, sin)]
        return g.op("Reshape", g.op("Concat", *turned, axis=-1), g.sizes(type.shape))


class Sinusoid(Op):
    """Sines and cosines of the position at different wavelengths, side by side: a constant. Vaswani et al., 2017."""

    length: Size
    width: Size
    base: PositiveFloat = 10000.0
    examples = (Example(length=6, width=8, gives="6 8"), Example(length=5, width=4, base=100.0, gives="5 4"))

    def infer(self) -> Tensor:
        require_sizes((self.length,), "length")
        require_positive("width", self.width)
        if self.width.divide(2) is None:
            raise ShapeError("width", f"sines and cosines come in pairs, and {self.width} is not even")
        return Tensor(DType.FLOAT, (self.length, self.width))

    def torch(self, t: TorchContext) -> Code:
        base: dict[str, Any] = {} if self.base == 10000 else {"base": self.base}
        return t.factory(t.defining(_SINUSOID), self.length, self.width, **base)

    def onnx(self, g: OnnxContext) -> OnnxValue:
        half = self.width // 2
        rate = _rates(g, self.base, _range(g, Dim.of(0), half), half)
        place = g.op("Unsqueeze", _range(g, Dim.of(0), self.length), g.ints([1]))
        angle = g.op("Mul", place, rate)
        pair = [g.op("Unsqueeze", g.op(kind, angle), g.ints([-1])) for kind in ("Sin", "Cos")]
        return g.op("Reshape", g.op("Concat", *pair, axis=-1), g.sizes((self.length, self.width)))


class Alibi(Op):
    """Linear biases [heads, length, length] to add to attention's scores (as its mask). Press et al., 2021.

    A head with slope m adds -m for each step between query and key; the slopes are a geometric sequence.
    """

    heads: Positive
    length: Size
    examples = (Example(heads=4, length=5, gives="4 5 5"), Example(heads=3, length=4, gives="3 4 4"))

    def infer(self) -> Tensor:
        require_sizes((self.length,), "length")
        return Tensor(DType.FLOAT, (Dim.of(self.heads), self.length, self.length))

    def torch(self, t: TorchContext) -> Code:
        return t.factory(t.defining(_ALIBI), slopes(self.heads), self.length)

    def onnx(self, g: OnnxContext) -> OnnxValue:
        place = _range(g, Dim.of(0), self.length)
        distance = g.op("Abs", g.op("Sub", g.op("Unsqueeze", place, g.ints([1])), place))
        slope = g.constant([[[-value]] for value in slopes(self.heads)], DType.FLOAT)
        return g.op("Mul", slope, distance)


def slopes(heads: int) -> tuple[float, ...]:
    """2^(-8/heads) and its powers; where heads is no power of 2, those of the next lower one and every other of the
    next higher one, as Press et al. do."""
    lower = 2 ** int(math.log2(heads))
    own = [2 ** (-8 * (i + 1) / lower) for i in range(lower)]
    between = [2 ** (-8 * (i + 1) / (2 * lower)) for i in range(0, 2 * lower, 2)]
    return tuple((own + between)[:heads])


def _range(g: OnnxContext, start: Dim, stop: Dim) -> OnnxValue:
    """Positions as floats."""
    return g.cast(g.op("Range", g.size(start), g.size(stop), g.constant(1, DType.INT)), DType.FLOAT)


def _rates(g: OnnxContext, base: float, place: OnnxValue, half: Dim) -> OnnxValue:
    """base^(-i/half), the angle by which one step turns pair i."""
    share = g.op("Div", place, g.cast(g.size(half), DType.FLOAT))
    return g.op("Pow", g.constant(base, DType.FLOAT), g.op("Neg", share))


def _turn(g: OnnxContext, a: OnnxValue, b: OnnxValue, cos: OnnxValue, sin: OnnxValue) -> tuple[OnnxValue, OnnxValue]:
    first = g.op("Sub", g.op("Mul", a, cos), g.op("Mul", b, sin))
    return first, g.op("Add", g.op("Mul", a, sin), g.op("Mul", b, cos))
