"""Guesses and targets of classes in the form that metrics count: signs for two classes, else a column for each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dlc.compiler.ops.class_losses import class_axis
from dlc.compiler.ops.losses import require_target
from dlc.compiler.torch.context import Code, TorchContext
from dlc.compiler.types import DType, ShapeError, Tensor, agree

if TYPE_CHECKING:
    from dlc.compiler.onnx.context import OnnxContext, OnnxValue


def is_binary(logits: Tensor, target: Tensor) -> bool:
    """Whether there is one logit for each target, its sign saying which of two classes it is."""
    return logits.rank == target.rank and all(map(agree, logits.shape, target.shape))


def require_binary(logits: Tensor, target: Tensor, name: str = "logits") -> None:
    require_target("target", target, name, logits, bools=True)
    if target.below is not None and target.below.at_most(2) is False:
        raise ShapeError(
            "target",
            f"a target may be up to {target.below - 1}, and one logit tells two classes apart",
            label=str(target),
            against=name,
        )


def positive(t: TorchContext, logits: Code) -> Code:
    return t.binary(">", logits, Code("0"))


def second_class(t: TorchContext, target: Code, type: Tensor) -> Code:
    """Which targets are the second of two classes, as bools."""
    return target if type.dtype is DType.BOOL else t.binary(">", target, Code("0.5" if type.dtype.is_float else "0"))


def onnx_positive(g: OnnxContext, logits: OnnxValue) -> OnnxValue:
    return g.op("Greater", logits, g.constant(0.0, g.inputs[0].dtype))


def onnx_second_class(g: OnnxContext, target: OnnxValue) -> OnnxValue:
    type: Tensor = g.inputs[1]
    if type.dtype is DType.BOOL:
        return target
    return g.op("Greater", target, g.constant(0.5 if type.dtype.is_float else 0, type.dtype))


def one_hot_pair(t: TorchContext, logits: Code, target: Code, axis: int | None) -> tuple[Code, Code]:
    """Guesses and targets as ints, a row for each example and a column for each class."""
    type, goal = t.inputs
    if is_binary(type, goal):
        pair = positive(t, logits), second_class(t, target, goal)
        first, second = (t.method(t.method(each, "reshape", -1, 1), "long") for each in pair)
        return first, second
    place = class_axis(type, goal, axis)
    guess = t.method(logits, "argmax", -1 if place == type.rank - 1 else place)
    target = target if goal.dtype is DType.INT else t.method(target, "long")
    hot = (t.call("F.one_hot", each, type.shape[place]) for each in (guess, target))
    first, second = (t.method(each, "flatten", 0, -2) if goal.rank > 1 else each for each in hot)
    return first, second


def onnx_one_hot_pair(
    g: OnnxContext, logits: OnnxValue, target: OnnxValue, axis: int | None
) -> tuple[OnnxValue, OnnxValue]:
    """The same as floats."""
    type, goal = g.inputs
    if is_binary(type, goal):
        pair = onnx_positive(g, logits), onnx_second_class(g, target)
        first, second = (g.op("Reshape", g.cast(each, DType.FLOAT), g.ints([-1, 1])) for each in pair)
        return first, second
    place = class_axis(type, goal, axis)
    guess = g.op("ArgMax", logits, axis=place, keepdims=0)
    classes = g.op("Range", g.constant(0, DType.INT), g.size(type.shape[place]), g.constant(1, DType.INT))
    first, second = (
        g.cast(g.op("Equal", g.op("Reshape", each, g.ints([-1, 1])), classes), DType.FLOAT)
        for each in (guess, g.cast(target, DType.INT))
    )
    return first, second
