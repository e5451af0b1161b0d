"""Losses of classes: a score for each class against the right one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dlc.compiler.dim import Dim
from dlc.compiler.flow.reading import WHOLE, Flow, Read, flow
from dlc.compiler.kept import Casting, Kept, Tape
from dlc.compiler.op import Example, Int, Op, Probability
from dlc.compiler.ops.linear import as_long
from dlc.compiler.ops.losses import Reduction, reduce, reduced, require_classes, unless_mean
from dlc.compiler.torch.context import Code, TorchContext
from dlc.compiler.types import (
    DType,
    ShapeError,
    Tensor,
    TypeMismatch,
    agree,
    require_axes,
    require_float,
    require_rank,
    resolve_axis,
)

if TYPE_CHECKING:
    from dlc.compiler.onnx.context import OnnxContext, OnnxValue


class CrossEntropy(Op):
    """The cross-entropy of the softmax of logits and a target: a class each, or a probability for each class.

    The classes lie along the last axis of the logits, or along axis 1 where the target is [N, H, W] and the logits
    are [N, C, H, W]; `axis` says so where both would do. `smoothing` mixes the target with all classes alike
    (Szegedy et al., 2016), `weight` weighs the classes, targets that are `ignore` do not count. The mean is one over
    targets, weighted if there are weights. `weight` is not learned: for a target of classes PyTorch has no gradient
    of it, and `stop` makes a constant of what is computed from weights.
    """

    noun = "loss"
    smoothing: Probability = 0.0
    ignore: Int | None = None
    axis: Int | None = None
    reduction: Reduction = "mean"
    examples = (
        Example("N V", "int N < V", gives=""),
        Example("N V", "int N < V", smoothing=0.1, gives=""),
        Example("N V", "int N < V", "V", smoothing=0.1, gives="", positive=True, smooth=False),
        Example("N V", "int N < V", "V", reduction="none", gives="N", positive=True, smooth=False),
        Example("N T V", "int N T < V", ignore=2, gives=""),
        Example("N T V", "int N T < V", "V", ignore=2, smoothing=0.2, gives="", positive=True, smooth=False),
        Example("N V H W", "int N H W < V", gives=""),
        Example("N V H W", "int N H W < V", "V", reduction="none", gives="N H W", positive=True, smooth=False),
        Example("N V", "N V", gives="", positive=True),
        Example("N T V", "N T V", "V", smoothing=0.1, gives="", positive=True),
        Example("N V H W", "N V H W", axis=1, reduction="none", gives="N H W", positive=True),
        Example("V", "int < V", reduction="sum", gives=""),
    )
    casting = Casting.FULL

    def infer(self, logits: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
        require_float("logits", logits)
        require_axes("logits", logits, 1)
        axis = self._axis(logits, target)
        classes = logits.shape[axis]
        if target.dtype.is_float:
            self._require_probabilities(logits, target)
        else:
            require_classes(target, classes)
        require_class_weight(weight, classes, logits)
        return reduced(Tensor(logits.dtype, without(logits, axis)), self.reduction)

    def flow(
        self, to: tuple[Tensor, ...], logits: Tensor, target: Tensor, weight: Tensor | None = None
    ) -> Flow | tuple[Flow, ...]:
        if self.reduction != "none":
            return super().flow(to, logits, target, weight)
        return _each(to[0], logits, target, weight, self._axis(logits, target))

    def _axis(self, logits: Tensor, target: Tensor) -> int:
        if not target.dtype.is_float:
            return class_axis(logits, target, self.axis)
        if self.axis is None and logits.rank > 3:
            raise ShapeError(
                "target", "it does not show along which axis the classes lie", help="say axis=1 or axis=-1"
            )
        return resolve_axis(-1 if self.axis is None else self.axis, logits.rank)

    def _require_probabilities(self, logits: Tensor, target: Tensor) -> None:
        if target.rank != logits.rank or not all(map(agree, target.shape, logits.shape)):
            raise ShapeError(
                "target",
                f"a target of probabilities has the shape of the logits, and {target} is not {logits}",
                label=str(target),
                help="a target of classes is int" if target.rank == logits.rank - 1 else None,
                against="logits",
            )
        if target.dtype is not logits.dtype:
            raise TypeMismatch("target", f"target is {target.dtype.value}, and logits are {logits.dtype.value}")
        if self.ignore is not None:
            raise ShapeError("ignore", "the target is made of probabilities, so there is no class to ignore")

    def keeps(self, tape: Tape, to: tuple[Tensor, ...], logits: Tensor, *others: Tensor | None) -> Kept:
        return Kept((1, 2)[: len(others)], made=(logits,), undone=(logits,))

    def torch(self, t: TorchContext, logits: Code, target: Code, weight: Code | None = None) -> Code:
        type, goal = t.inputs[:2]
        axis = self._axis(type, goal)
        logits = classes_second(t, logits, axis, type.rank)
        target = classes_second(t, target, axis, type.rank) if goal.dtype.is_float else as_long(t, target, goal)
        named: dict[str, Any] = {} if weight is None else {"weight": weight}
        named |= {} if self.ignore is None else {"ignore_index": self.ignore}
        named |= {"label_smoothing": self.smoothing} if self.smoothing else {}
        return t.call("F.cross_entropy", logits, target, **named, **unless_mean(self.reduction))

    def splits(self, logits: Tensor, target: Tensor, weight: Tensor | None = None) -> bool:
        return self.reduction == "mean" and not target.dtype.is_float and not (self.ignore is None and weight is None)

    def tally(self, t: TorchContext, logits: Code, target: Code, weight: Code | None = None) -> Code:
        whole = CrossEntropy(smoothing=self.smoothing, ignore=self.ignore, axis=self.axis, reduction="sum")
        return _tally(t, whole.torch(t, logits, target, weight), logits, target, weight, self)

    def score(self, t: TorchContext, tally: Code) -> Code:
        return t.binary("/", t.index(tally, "0"), t.index(tally, "1"))

    def onnx(self, g: OnnxContext, logits: OnnxValue, target: OnnxValue, weight: OnnxValue | None = None) -> OnnxValue:
        type, goal = g.inputs[:2]
        axis = self._axis(type, goal)
        logs = g.op("LogSoftmax", logits, axis=axis)
        if not goal.dtype.is_float:
            spread = _smoothed(g, logs, axis, self.smoothing, weight)
            return class_loss(g, logs, target, weight, axis, self.ignore, self.reduction, self.smoothing, spread)
        if self.smoothing:
            share = _share(g, self.smoothing, type, axis)
            target = g.op("Add", g.op("Mul", target, g.constant(1 - self.smoothing, type.dtype)), share)
        parts = g.op("Mul", target, logs)
        if weight is not None:
            parts = g.op("Mul", parts, _along(g, weight, axis))
        return reduce(g, g.op("Neg", g.op("ReduceSum", parts, g.ints([axis]), keepdims=0)), self.reduction)


class Nll(Op):
    """The negative logarithm of the right class's probability, given the logarithms of all of them.

    Axes, `weight` and `ignore` are those of `cross_entropy`.
    """

    noun = "loss"
    ignore: Int | None = None
    axis: Int | None = None
    reduction: Reduction = "mean"
    examples = (
        Example("N V", "int N < V", gives=""),
        Example("N T V", "int N T < V", "V", ignore=1, gives="", positive=True, smooth=False),
        Example("N V H W", "int32 N H W < V", reduction="none", gives="N H W"),
    )
    casting = Casting.FULL
    kept = Kept((0, 1))

    def infer(self, logits: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
        require_float("logits", logits)
        axis = class_axis(logits, target, self.axis)
        require_classes(target, logits.shape[axis])
        require_class_weight(weight, logits.shape[axis], logits)
        return reduced(Tensor(logits.dtype, without(logits, axis)), self.reduction)

    def flow(
        self, to: tuple[Tensor, ...], logits: Tensor, target: Tensor, weight: Tensor | None = None
    ) -> Flow | tuple[Flow, ...]:
        if self.reduction != "none":
            return super().flow(to, logits, target, weight)
        return _each(to[0], logits, target, weight, class_axis(logits, target, self.axis))

    def torch(self, t: TorchContext, logits: Code, target: Code, weight: Code | None = None) -> Code:
        type, goal = t.inputs[:2]
        logits = classes_second(t, logits, class_axis(type, goal, self.axis), type.rank)
        named: dict[str, Any] = {} if weight is None else {"weight": weight}
        named |= {} if self.ignore is None else {"ignore_index": self.ignore}
        return t.call("F.nll_loss", logits, as_long(t, target, goal), **named, **unless_mean(self.reduction))

    def splits(self, logits: Tensor, target: Tensor, weight: Tensor | None = None) -> bool:
        return self.reduction == "mean" and not (self.ignore is None and weight is None)

    def tally(self, t: TorchContext, logits: Code, target: Code, weight: Code | None = None) -> Code:
        whole = Nll(ignore=self.ignore, axis=self.axis, reduction="sum")
        return _tally(t, whole.torch(t, logits, target, weight), logits, target, weight, self)

    def score(self, t: TorchContext, tally: Code) -> Code:
        return t.binary("/", t.index(tally, "0"), t.index(tally, "1"))

    def onnx(self, g: OnnxContext, logits: OnnxValue, target: OnnxValue, weight: OnnxValue | None = None) -> OnnxValue:
        axis = class_axis(g.inputs[0], g.inputs[1], self.axis)
        return class_loss(g, logits, target, weight, axis, self.ignore, self.reduction)


def _tally(
    t: TorchContext, total: Code, logits: Code, target: Code, weight: Code | None, loss: CrossEntropy | Nll
) -> Code:
    """The sum of the losses, and what the mean divides it by: how many targets count, or the sum of their weights."""
    if weight is None:
        return Code(f"({total}, {t.method(t.binary('!=', target, t.literal(loss.ignore)), 'sum')})")
    counted = Nll(ignore=loss.ignore, axis=loss.axis, reduction="sum")
    return Code(f"({total}, {counted.torch(t, t.unary('-', t.call('torch.ones_like', logits)), target, weight)})")


def class_axis(logits: Tensor, target: Tensor, axis: int | None) -> int:
    """The axis of the logits that the target lacks: the last one, or axis 1."""
    if logits.rank != target.rank + 1:
        raise ShapeError(
            "target",
            f"logits have one axis more than a target of classes, and {logits} has "
            f"{logits.rank - target.rank:+d} against {target}",
            label=str(target),
            help="a target of probabilities is float" if logits.rank == target.rank else None,
            against="logits",
        )
    places = [logits.rank - 1, min(1, logits.rank - 1)] if axis is None else [resolve_axis(axis, logits.rank)]
    fits = {place for place in places if all(map(agree, without(logits, place), target.shape))}
    if not fits:
        raise ShapeError(
            "target",
            f"the target does not fit the logits: {target} against {logits}",
            label=str(target),
            help="without their axis of classes, which is the last or axis 1, logits have the target's shape",
            against="logits",
        )
    if len(fits) > 1:
        raise ShapeError(
            "logits",
            "the classes may lie along axis 1 or along the last",
            label=str(logits),
            help="say axis=1 or axis=-1",
        )
    return fits.pop()


def _each(result: Tensor, logits: Tensor, target: Tensor, weight: Tensor | None, axis: int) -> Flow:
    """Of each position a loss, from all its classes, which lie along `axis`."""
    scores: list[Read] = [WHOLE if own == axis else (own - (own > axis),) for own in range(logits.rank)]
    goal = scores if target.rank == logits.rank else [(own,) for own in range(target.rank)]
    return flow(result, scores, goal, None if weight is None else [WHOLE])


def without(logits: Tensor, axis: int) -> tuple[Dim, ...]:
    return logits.shape[:axis] + logits.shape[axis + 1 :]


def require_class_weight(weight: Tensor | None, classes: Dim, logits: Tensor) -> None:
    if weight is None:
        return
    require_float("weight", weight)
    require_rank("weight", weight, 1)
    if weight.dtype is not logits.dtype:
        raise TypeMismatch("weight", f"weight is {weight.dtype.value}, and logits are {logits.dtype.value}")
    if not agree(weight.shape[0], classes):
        raise ShapeError(
            "weight",
            f"there are {weight.shape[0]} weights for {classes} classes",
            label=str(weight),
            against="logits",
            sizes=(weight.shape[0], classes),
        )


def classes_second(t: TorchContext, scores: Code, axis: int, rank: int) -> Code:
    """Scores with the axis of classes where PyTorch expects it."""
    if rank < 3 or axis == 1:
        return scores
    return t.method(scores, "movedim", -1 if axis == rank - 1 else axis, 1)


def class_loss(
    g: OnnxContext,
    logs: OnnxValue,
    target: OnnxValue,
    weight: OnnxValue | None,
    axis: int,
    ignore: int | None,
    reduction: Reduction,
    smoothing: float = 0.0,
    spread: OnnxValue | None = None,
) -> OnnxValue:
    """The loss from the logarithms of probabilities. spread: what smoothing adds for each target."""
    dtype = g.inputs[0].dtype
    target = g.cast(target, DType.INT)
    counted: OnnxValue | None = None
    if ignore is not None:
        ignored = g.op("Equal", target, g.constant(ignore, DType.INT))
        counted = g.cast(g.op("Not", ignored), dtype)
        target = g.op("Where", ignored, g.constant(0, DType.INT), target)
    place = g.op("Unsqueeze", target, g.ints([axis]))
    picked = g.op("Squeeze", g.op("GatherElements", logs, place, axis=axis), g.ints([axis]))
    each = g.op("Neg", picked)
    counts = counted
    if weight is not None:
        own = g.op("Gather", weight, target, axis=0)
        each = g.op("Mul", each, own)
        counts = own if counted is None else g.op("Mul", own, counted)
    if spread is not None:
        each = g.op("Add", g.op("Mul", each, g.constant(1 - smoothing, dtype)), spread)
    if counted is not None:
        each = g.op("Mul", each, counted)
    if reduction != "mean" or counts is None:
        return reduce(g, each, reduction)
    return g.op("Div", g.op("ReduceSum", each, keepdims=0), g.op("ReduceSum", counts, keepdims=0))


def _smoothed(
    g: OnnxContext, logs: OnnxValue, axis: int, smoothing: float, weight: OnnxValue | None
) -> OnnxValue | None:
    if not smoothing:
        return None
    parts = logs if weight is None else g.op("Mul", logs, _along(g, weight, axis))
    total = g.op("Neg", g.op("ReduceSum", parts, g.ints([axis]), keepdims=0))
    return g.op("Mul", total, _share(g, smoothing, g.inputs[0], axis))


def _share(g: OnnxContext, smoothing: float, logits: Tensor, axis: int) -> OnnxValue:
    """What each class has of the smoothing."""
    return g.op("Div", g.constant(smoothing, logits.dtype), g.cast(g.size(logits.shape[axis]), logits.dtype))


def _along(g: OnnxContext, weight: OnnxValue, axis: int) -> OnnxValue:
    """Weights of classes in a shape that broadcasts along the axis of classes."""
    after = g.inputs[0].rank - axis - 1
    return g.op("Reshape", weight, g.ints([-1, *[1] * after])) if after else weight
