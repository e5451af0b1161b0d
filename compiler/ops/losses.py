"""Losses between a prediction and a target of the same shape."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from dlc.compiler.flow.reading import Flow, pointwise
from dlc.compiler.kept import Casting, Kept
from dlc.compiler.op import Example, Float, Op, PositiveFloat
from dlc.compiler.torch.context import Code, TorchContext
from dlc.compiler.types import (
    DType,
    ShapeError,
    Tensor,
    TypeMismatch,
    agree,
    require_float,
    require_int,
    require_rank,
)

if TYPE_CHECKING:
    from dlc.compiler.onnx.context import OnnxContext, OnnxValue

Reduction = Literal["mean", "sum", "none"]


class ElementLoss(Op, abstract=True):
    """A loss of each element, between a prediction and a target of its shape."""

    noun = "loss"
    reduction: Reduction = "mean"
    torch_name: ClassVar[str]
    kept = Kept((0, 1))
    casting = Casting.FULL

    def flow(self, to: tuple[Tensor, ...], prediction: Tensor, target: Tensor) -> Flow | tuple[Flow, ...]:
        if self.reduction != "none":
            return super().flow(to, prediction, target)
        return pointwise(to[0], prediction, target)

    def torch(self, t: TorchContext, prediction: Code, target: Code) -> Code:
        target = as_type(t, target, t.inputs[1], t.inputs[0].dtype)
        return t.call(self.torch_name, prediction, target, **self.options(), **unless_mean(self.reduction))

    def options(self) -> dict[str, Any]:
        """The arguments of PyTorch's function besides the reduction."""
        return {}

    def onnx(self, g: OnnxContext, prediction: OnnxValue, target: OnnxValue) -> OnnxValue:
        target = g.cast(target, g.inputs[0].dtype)
        return reduce(g, self.elements(g, prediction, target), self.reduction)

    def elements(self, g: OnnxContext, prediction: OnnxValue, target: OnnxValue) -> OnnxValue:
        """The loss of each element."""
        raise NotImplementedError


class PairLoss(ElementLoss, abstract=True):
    """The same between numbers of any size."""

    def infer(self, prediction: Tensor, target: Tensor) -> Tensor:
        require_float("prediction", prediction)
        require_target("target", target, "prediction", prediction)
        return reduced(Tensor(prediction.dtype, prediction.shape), self.reduction)


class Mse(PairLoss):
    """The squared difference."""

    torch_name = "F.mse_loss"
    examples = (
        Example("N T", "N T", gives=""),
        Example("N T", "N T", reduction="sum", gives=""),
        Example("N", "int N", reduction="none", gives="N"),
    )

    def elements(self, g: OnnxContext, prediction: OnnxValue, target: OnnxValue) -> OnnxValue:
        difference = g.op("Sub", prediction, target)
        return g.op("Mul", difference, difference)


class Mae(PairLoss):
    """The absolute difference."""

    torch_name = "F.l1_loss"
    examples = (Example("N T", "N T", gives=""), Example("N T", "N T", reduction="none", gives="N T"))

    def elements(self, g: OnnxContext, prediction: OnnxValue, target: OnnxValue) -> OnnxValue:
        return g.op("Abs", g.op("Sub", prediction, target))


class Bce(ElementLoss):
    """Binary cross-entropy between logits and targets from 0 to 1."""

    torch_name = "F.binary_cross_entropy_with_logits"
    examples = (
        Example("N T", "N T", gives=""),
        Example("N", "bool N", gives=""),
        Example("N", "int N < 2", reduction="sum", gives=""),
        Example("N T", "N T", reduction="none", gives="N T"),
    )

    def infer(self, logits: Tensor, target: Tensor) -> Tensor:
        require_float("logits", logits)
        if target.below is not None and target.below.at_most(2) is False:
            raise ShapeError("target", f"a target may be up to {target.below - 1}, and must lie between 0 and 1")
        require_target("target", target, "logits", logits, bools=True)
        return reduced(Tensor(logits.dtype, logits.shape), self.reduction)

    def elements(self, g: OnnxContext, prediction: OnnxValue, target: OnnxValue) -> OnnxValue:
        return g.op("Sub", g.op("Softplus", prediction), g.op("Mul", prediction, target))


class Huber(PairLoss):
    """Half the squared difference up to `delta`, linear beyond. Huber, 1964."""

    delta: PositiveFloat = 1.0
    torch_name = "F.huber_loss"
    examples = (Example("N T", "N T", gives=""), Example("N", "N", delta=0.5, reduction="none", gives="N"))

    def options(self) -> dict[str, Any]:
        return {} if self.delta == 1 else {"delta": self.delta}

    def elements(self, g: OnnxContext, prediction: OnnxValue, target: OnnxValue) -> OnnxValue:
        return _huber(g, prediction, target, self.delta)


class SmoothL1(PairLoss, name="smooth_l1"):
    """The absolute difference, made smooth where it is below `beta`. Girshick, 2015."""

    beta: PositiveFloat = 1.0
    torch_name = "F.smooth_l1_loss"
    examples = (Example("N T", "N T", gives=""), Example("N", "N", beta=0.5, reduction="none", gives="N"))

    def options(self) -> dict[str, Any]:
        return {} if self.beta == 1 else {"beta": self.beta}

    def elements(self, g: OnnxContext, prediction: OnnxValue, target: OnnxValue) -> OnnxValue:
        return g.op("Div", _huber(g, prediction, target, self.beta), g.constant(self.beta, g.inputs[0].dtype))


class Hinge(Op):
    """How far scores fall short of the margin.

    Of targets -1 and 1 in the shape of the scores, max(0, margin - target*score); of classes, scores being
    [N, C], the mean over the classes of max(0, margin - score of the right one + score of the other).
    """

    noun = "loss"
    margin: Float = 1.0
    reduction: Reduction = "mean"
    examples = (
        Example("N T", "N T", gives=""),
        Example("N", "int N", margin=0.5, reduction="none", gives="N"),
        Example("N V", "int N < V", gives=""),
        Example("N V", "int N < V", margin=0.5, reduction="none", gives="N"),
    )

    def infer(self, scores: Tensor, target: Tensor) -> Tensor:
        require_float("scores", scores)
        if target.rank != scores.rank - 1 or not target.dtype.is_int:
            require_target("target", target, "scores", scores)
            return reduced(Tensor(scores.dtype, scores.shape), self.reduction)
        require_rank("scores", scores, 2)
        if not agree(target.shape[0], scores.shape[0]):
            raise unlike_shapes("target", target, "scores", scores)
        if target.below is not None and target.below.at_most(scores.shape[1]) is False:
            raise ShapeError(
                "target",
                f"a target may be up to {target.below - 1}, and there are {scores.shape[1]} classes",
                against="scores",
            )
        return reduced(Tensor(scores.dtype, target.shape), self.reduction)

    def torch(self, t: TorchContext, scores: Code, target: Code) -> Code:
        type, goal = t.inputs
        if goal.rank < type.rank:
            target = target if goal.dtype is DType.INT else t.method(target, "long")
            margin = {} if self.margin == 1 else {"margin": self.margin}
            return t.call("F.multi_margin_loss", scores, target, **margin, **unless_mean(self.reduction))
        short = t.binary("-", t.literal(self.margin), t.binary("*", as_type(t, target, goal, type.dtype), scores))
        loss = t.call("F.relu", short)
        return loss if self.reduction == "none" else t.method(loss, self.reduction)

    def onnx(self, g: OnnxContext, scores: OnnxValue, target: OnnxValue) -> OnnxValue:
        type, goal = g.inputs
        margin = g.constant(self.margin, type.dtype)
        if goal.rank == type.rank:
            loss = g.op("Relu", g.op("Sub", margin, g.op("Mul", g.cast(target, type.dtype), scores)))
            return reduce(g, loss, self.reduction)
        place = g.op("Unsqueeze", g.cast(target, DType.INT), g.ints([1]))
        right = g.op("GatherElements", scores, place, axis=1)
        short = g.op("Relu", g.op("Add", g.op("Sub", scores, right), margin))
        others = g.op("Sub", g.op("ReduceSum", short, g.ints([1]), keepdims=0), g.op("Relu", margin))
        return reduce(g, g.op("Div", others, g.cast(g.size(type.shape[1]), type.dtype)), self.reduction)


def reduced(each: Tensor, reduction: Reduction) -> Tensor:
    """The type of losses of this type after the reduction."""
    return each if reduction == "none" else Tensor(each.dtype, ())


def reduce(g: OnnxContext, each: OnnxValue, reduction: Reduction) -> OnnxValue:
    if reduction == "none":
        return each
    return g.op("ReduceMean" if reduction == "mean" else "ReduceSum", each, keepdims=0)


def unless_mean(reduction: Reduction) -> dict[str, Any]:
    return {} if reduction == "mean" else {"reduction": reduction}


def as_type(t: TorchContext, value: Code, type: Tensor, dtype: DType) -> Code:
    return value if type.dtype is dtype else t.method(value, "to", Code(t.dtype(dtype)))


def require_target(name: str, target: Tensor, other: str, prediction: Tensor, bools: bool = False) -> None:
    """Refuses a target of another shape, which would broadcast, and one of another float type."""
    if target.rank != prediction.rank or not all(map(agree, target.shape, prediction.shape)):
        raise unlike_shapes(name, target, other, prediction)
    if target.dtype is DType.BOOL and not bools:
        require_float(name, target)
    if target.dtype.is_float and target.dtype is not prediction.dtype:
        raise TypeMismatch(
            name,
            f"{name} is {target.dtype.value}, and {other} is {prediction.dtype.value}",
            label=str(target),
            help=f'cast({name}, "{prediction.dtype.value}")',
            against=other,
        )


def unlike_shapes(name: str, target: Tensor, other: str, prediction: Tensor) -> ShapeError:
    help = None
    for longer, shorter, said in ((prediction, target, other), (target, prediction, name)):
        if longer.rank == shorter.rank + 1 and longer.shape[-1] == 1:
            help = f"drop the last axis of {said}, as in squeeze({said}, -1)"
    return ShapeError(
        name,
        f"{name} and {other} are compared element by element, and their shapes differ: {target} and {prediction}",
        label=f"{target}, and {other} is {prediction}",
        help=help,
        against=other,
    )


def require_classes(target: Tensor, count: Any) -> None:
    """Refuses ints that may lie beyond the last class."""
    require_int("target", target)
    if count.less(1):
        raise ShapeError("logits", "there are no classes", against="target")
    if target.below is not None and target.below.at_most(count) is False:
        raise ShapeError(
            "target",
            f"a target may be up to {target.below - 1}, and there are {count} classes",
            label=str(target),
            against="logits",
            sizes=(target.below, count),
        )


def _huber(g: OnnxContext, prediction: OnnxValue, target: OnnxValue, delta: float) -> OnnxValue:
    dtype = g.inputs[0].dtype
    size = g.op("Abs", g.op("Sub", prediction, target))
    near = g.op("Min", size, g.constant(delta, dtype))
    square = g.op("Mul", g.op("Mul", near, near), g.constant(0.5, dtype))
    return g.op("Add", square, g.op("Mul", g.op("Sub", size, near), g.constant(delta, dtype)))
