"""Changes of examples that leave what they show the same, drawn at random for each example of a batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from dlc.compiler.dim import Dim
from dlc.compiler.flow.reading import Flow, batched
from dlc.compiler.op import Example, Extents, Float, Int, Margins, Op, PositiveFloat, Probability
from dlc.compiler.ops.drawing import Distribution, Drawing, Noise
from dlc.compiler.ops.windows import per_axis, require_image
from dlc.compiler.torch.context import Code, TorchContext
from dlc.compiler.types import (
    DType,
    ShapeError,
    Tensor,
    TypeMismatch,
    agree,
    require_axes,
    require_filled,
    require_float,
    require_rank,
    resolve_axis,
)

if TYPE_CHECKING:
    from dlc.compiler.onnx.context import OnnxContext, OnnxValue

_WINDOW = '''\
def random_window(x, draw, sizes, pads):
    """A window of these sizes out of each example, at a place that is drawn, with zeros around the example."""
    x = F.pad(x, [pad for pad in reversed(pads) for _ in range(2)])
    for axis, size in enumerate(sizes, start=2):
        room = x.shape[axis] - size
        if room < 0:
            raise ValueError(f"a window of {size} is larger than an image of {x.shape[axis]}")
        start = (draw[:, axis - 2, None] * (room + 1)).long().clamp(max=room)
        place = start + torch.arange(size, device=x.device)
        x = torch.take_along_dim(x, place.reshape(len(x), *[1] * (axis - 1), size, *[1] * (x.ndim - axis - 1)), axis)
    return x'''
_BOX = '''\
def in_box(x, top, left, height, width):
    """Which pixels of images lie in a box: its own for each, or one for all."""
    row = torch.arange(x.shape[2], device=x.device)[:, None]
    column = torch.arange(x.shape[3], device=x.device)
    return (row >= top) & (row < top + height) & (column >= left) & (column < left + width)'''
_MIXUP = '''\
def mix_up(x, target, alpha):
    """Each example, and its target, mixed with another one of the batch."""
    share = torch.distributions.Beta(alpha, alpha).sample().item()
    other = torch.randperm(len(x), device=x.device)
    return share * x + (1 - share) * x[other], share * target + (1 - share) * target[other]'''
_ERASE = '''\
def random_erase(x, draws, p, low, high, ratio, value):
    """Sets a box in each image, with probability p, to a value."""
    height, width = x.shape[2:]
    hit, area, shape, top, left = draws
    area = (low + (high - low) * area) * height * width
    shape = ratio ** (2 * shape - 1)
    tall = (area * shape).sqrt().round().clamp(max=height)
    wide = (area / shape).sqrt().round().clamp(max=width)
    top, left = (top * (height - tall + 1)).floor(), (left * (width - wide + 1)).floor()
    return x.masked_fill((hit < p) & in_box(x, top, left, tall, wide), value)'''
_CUTMIX = '''\
def cut_mix(x, target, alpha):
    """Each image with a box out of another one of the batch, and the targets mixed as the areas are."""
    height, width = x.shape[2:]
    side = (1 - torch.distributions.Beta(alpha, alpha).sample().item()) ** 0.5
    tall, wide = int(height * side), int(width * side)
    row, column = torch.randint(height, ()).item(), torch.randint(width, ()).item()
    top, left = max(row - tall // 2, 0), max(column - wide // 2, 0)
    tall, wide = min(row - tall // 2 + tall, height) - top, min(column - wide // 2 + wide, width) - left
    other = torch.randperm(len(x), device=x.device)
    share = 1 - tall * wide / (height * width)
    x = torch.where(in_box(x, top, left, tall, wide), x[other], x)
    return x, share * target + (1 - share) * target[other]'''


class Augmentation(Drawing, abstract=True):
    """A change of images [N, C, …] that is drawn anew for each of them, in training and in evaluation alike.

    What is drawn has PyTorch's default precision, however few bits the images have.
    """

    def torch(self, t: TorchContext, x: Code) -> Code:
        draw = t.factory("torch.rand", *self.noise(t.inputs[0]).type.shape, dtype=None)
        return self.torch_of(t, draw, x)


class RandomCrop(Augmentation):
    """A window of `size` out of each image, at a random place, after `pad` zeros have been put around it.

    Krizhevsky et al., 2012.
    """

    size: Extents
    pad: Margins = 0
    examples = (
        Example("N 3 32 32", size=24, gives="N 3 24 24"),
        Example("N C H W", size=(4, 5), pad=1, gives="N C 4 5"),
        Example("int N C H", size=3, gives="int N C 3"),
    )

    def infer(self, x: Tensor) -> Tensor:
        require_image("x", x)
        sizes, pads = per_axis("size", self.size, x), per_axis("pad", self.pad, x)
        for axis, (whole, size, pad) in enumerate(zip(x.shape[2:], sizes, pads, strict=True), start=2):
            if (whole + 2 * pad).less(size):
                room = f" with its padding of {2 * pad}" if pad else ""
                raise ShapeError(
                    "size",
                    f"the window is larger than the image: {size} against {whole + 2 * pad}{room}, along axis {axis}",
                    against="x",
                    sizes=(whole,),
                )
        return x.reshaped((*x.shape[:2], *sizes))

    def flow(self, to: tuple[Tensor, ...], x: Tensor) -> Flow:
        return batched(to[0], x)

    def noise(self, x: Tensor) -> Noise:
        return _uniform(x.shape[0], Dim.of(x.rank - 2))

    def torch_of(self, t: TorchContext, noise: Code, x: Code) -> Code:
        type: Tensor = t.inputs[0]
        sizes = per_axis("size", self.size, type)
        return t.call(t.defining(_WINDOW), x, noise, sizes, per_axis("pad", self.pad, type))

    def onnx_of(self, g: OnnxContext, noise: OnnxValue, x: OnnxValue) -> OnnxValue:
        type: Tensor = g.inputs[0]
        sizes = [Dim.of(size) for size in per_axis("size", self.size, type)]
        return _window(g, x, noise, sizes, per_axis("pad", self.pad, type))


class RandomShift(Augmentation):
    """Each image moved by up to `by` pixels along each spatial axis, with zeros where it was."""

    by: Margins
    examples = (Example("N C H W", by=2, gives="N C H W"), Example("N C H W", by=(0, 3), gives="N C H W"))

    def infer(self, x: Tensor) -> Tensor:
        require_image("x", x)
        per_axis("by", self.by, x)
        return x

    def flow(self, to: tuple[Tensor, ...], x: Tensor) -> Flow:
        return batched(to[0], x)

    def noise(self, x: Tensor) -> Noise:
        return _uniform(x.shape[0], Dim.of(x.rank - 2))

    def torch_of(self, t: TorchContext, noise: Code, x: Code) -> Code:
        type: Tensor = t.inputs[0]
        return t.call(t.defining(_WINDOW), x, noise, type.shape[2:], per_axis("by", self.by, type))

    def onnx_of(self, g: OnnxContext, noise: OnnxValue, x: OnnxValue) -> OnnxValue:
        type: Tensor = g.inputs[0]
        return _window(g, x, noise, type.shape[2:], per_axis("by", self.by, type))


class RandomFlip(Augmentation):
    """Each example turned round along `axis`, with probability `p`."""

    p: Probability = 0.5
    axis: Int = -1
    examples = (Example("N C H W", gives="N C H W"), Example("int N T < V", axis=1, p=0.2, gives="int N T < V"))

    def infer(self, x: Tensor) -> Tensor:
        require_axes("x", x, 2)
        if resolve_axis(self.axis, x.rank) == 0:
            raise ShapeError("axis", "axis 0 numbers the examples, and each is turned by itself", label=str(x))
        return x

    def flow(self, to: tuple[Tensor, ...], x: Tensor) -> Flow:
        return batched(to[0], x)

    def noise(self, x: Tensor) -> Noise:
        return _uniform(x.shape[0], *[Dim.of(1)] * (x.rank - 1))

    def torch_of(self, t: TorchContext, noise: Code, x: Code) -> Code:
        turned = t.method(x, "flip", self.axis)
        return t.call("torch.where", t.binary("<", noise, t.literal(self.p)), turned, x)

    def onnx_of(self, g: OnnxContext, noise: OnnxValue, x: OnnxValue) -> OnnxValue:
        start, stop, axis, step = (g.ints([value]) for value in (-1, -(2**31), self.axis, -1))
        chosen = g.op("Less", noise, g.constant(self.p, DType.FLOAT))
        return g.op("Where", chosen, g.op("Slice", x, start, stop, axis, step), x)


class RandomErase(Augmentation):
    """A box in each image set to `value`, with probability `p`. Zhong et al., 2017.

    Its share of the image is between `low` and `high`, its height is up to `ratio` times its width and its width up
    to `ratio` times its height; a box that would be taller or wider than the image is cut off.
    """

    p: Probability = 0.5
    low: Probability = 0.02
    high: Probability = 0.33
    ratio: PositiveFloat = 3.3
    value: Float = 0.0
    examples = (Example("N C H W", gives="N C H W"), Example("N C H W", p=1.0, high=0.2, gives="N C H W"))

    def infer(self, x: Tensor) -> Tensor:
        require_float("x", x)
        require_rank("x", x, 4)
        if self.low > self.high:
            raise ShapeError("low", f"low is {self.low}, above high, {self.high}", against="high")
        return x

    def flow(self, to: tuple[Tensor, ...], x: Tensor) -> Flow:
        return batched(to[0], x)

    def noise(self, x: Tensor) -> Noise:
        return _uniform(Dim.of(5), x.shape[0], *[Dim.of(1)] * 3)

    def torch_of(self, t: TorchContext, noise: Code, x: Code) -> Code:
        t.defining(_BOX)
        return t.call(t.defining(_ERASE), x, noise, self.p, self.low, self.high, self.ratio, self.value)

    def onnx_of(self, g: OnnxContext, noise: OnnxValue, x: OnnxValue) -> OnnxValue:
        sizes = g.inputs[0].shape[2:]
        one, low = g.constant(1.0, DType.FLOAT), g.constant(self.low, DType.FLOAT)
        height, width = (g.cast(g.size(size), DType.FLOAT) for size in sizes)
        hit, area, shape, top, left = (g.op("Gather", noise, g.constant(row, DType.INT), axis=0) for row in range(5))
        area = g.op("Add", low, g.op("Mul", g.constant(self.high - self.low, DType.FLOAT), area))
        area = g.op("Mul", g.op("Mul", area, height), width)
        shape = g.op("Sub", g.op("Mul", g.constant(2.0, DType.FLOAT), shape), one)
        shape = g.op("Pow", g.constant(self.ratio, DType.FLOAT), shape)
        inside = g.op("Less", hit, g.constant(self.p, DType.FLOAT))
        sides = (g.op("Mul", area, shape), height, top, -2), (g.op("Div", area, shape), width, left, -1)
        for (square, most, draw, axis), size in zip(sides, sizes, strict=True):
            side = g.op("Min", g.op("Round", g.op("Sqrt", square)), most)
            room = g.op("Add", g.op("Sub", most, side), one)
            start = g.op("Floor", g.op("Mul", draw, room))
            place = g.cast(g.op("Range", g.constant(0, DType.INT), g.size(size), g.constant(1, DType.INT)), DType.FLOAT)
            place = g.op("Unsqueeze", place, g.ints([1])) if axis == -2 else place
            within = g.op("And", g.op("GreaterOrEqual", place, start), g.op("Less", place, g.op("Add", start, side)))
            inside = g.op("And", inside, within)
        return g.op("Where", inside, g.constant(self.value, g.inputs[0].dtype), x)


class Mixing(Op, abstract=True):
    """Examples mixed with others of their batch, and their targets, probabilities of classes, alike.

    One share is drawn for a batch from the beta distribution with both parameters `alpha`.
    """

    random: ClassVar[bool] = True
    source: ClassVar[tuple[str, ...]]
    no_onnx = "ONNX has no operator that draws from a beta distribution"

    alpha: PositiveFloat = 1.0

    def infer(self, x: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        require_float("x", x)
        require_axes("x", x, 1)
        if target.dtype.is_int:
            raise TypeMismatch(
                "target",
                f"target is {target.dtype.value}, and classes cannot be mixed, only their probabilities",
                label=str(target),
                help='cast(one_hot(target, classes), "float")',
            )
        require_float("target", target)
        require_axes("target", target, 1)
        if not agree(target.shape[0], x.shape[0]):
            raise ShapeError(
                "target",
                f"target has {target.shape[0]} examples, and x has {x.shape[0]}",
                label=str(target),
                against="x",
                sizes=(target.shape[0], x.shape[0]),
            )
        return x, target

    def torch(self, t: TorchContext, x: Code, target: Code) -> Code:
        *_, function = map(t.defining, self.source)
        return t.call(function, x, target, self.alpha)


class Mixup(Mixing):
    """Each example and its target mixed with another's: share*x + (1 - share)*other. Zhang et al., 2018.

    The target is the probability of each class, as `one_hot` gives it. One share is drawn for the batch, from the
    beta distribution with both parameters `alpha`.
    """

    source = (_MIXUP,)
    examples = (
        Example("N 3 H W", "N V", alpha=0.2, gives=("N 3 H W", "N V")),
        Example("N T", "N", gives=("N T", "N")),
    )


class Cutmix(Mixing):
    """Each image with a box out of another one, and the targets mixed as the areas are. Yun et al., 2019.

    The target is the probability of each class, as `one_hot` gives it. One box is drawn for the batch; the share of
    it that is left follows the beta distribution with both parameters `alpha`.
    """

    source = (_BOX, _CUTMIX)
    examples = (
        Example("N 3 H W", "N V", gives=("N 3 H W", "N V")),
        Example("N C H W", "N", alpha=0.5, gives=("N C H W", "N")),
    )

    def infer(self, x: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        require_rank("x", x, 4)
        require_filled("x", x, (2, 3))
        return super().infer(x, target)


def _uniform(*shape: Dim) -> Noise:
    return Noise(Tensor(DType.FLOAT, shape), Distribution.UNIFORM)


def _window(g: OnnxContext, x: OnnxValue, noise: OnnxValue, sizes: Sequence[Dim], pads: Sequence[int]) -> OnnxValue:
    type: Tensor = g.inputs[0]
    if any(pads):
        x = g.op("Pad", x, g.ints([0, 0, *pads] * 2))
    shape = [*type.shape[:2], *(size + 2 * pad for size, pad in zip(type.shape[2:], pads, strict=True))]
    for axis, size in enumerate(sizes, start=2):
        room = shape[axis] - size
        draw = g.op("Mul", g.op("Gather", noise, g.ints([axis - 2]), axis=1), g.cast(g.size(room + 1), DType.FLOAT))
        start = g.op("Min", g.cast(draw, DType.INT), g.size(room))
        start = g.op("Unsqueeze", start, g.ints(list(range(2, type.rank))))
        steps = g.op("Range", g.constant(0, DType.INT), g.size(size), g.constant(1, DType.INT))
        after = type.rank - axis - 1
        steps = g.op("Unsqueeze", steps, g.ints(list(range(1, after + 1)))) if after else steps
        shape[axis] = size
        place = g.op("Expand", g.op("Add", start, steps), g.sizes(shape))
        x = g.op("GatherElements", x, place, axis=axis)
    return x
