"""What is called like an operation and is none: sizes, gradients, statistics of data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dlc.compiler.dim import Dim
from dlc.compiler.elaborate import static
from dlc.compiler.elaborate.frame import Frame
from dlc.compiler.elaborate.values import (
    Arg,
    Instance,
    Part,
    describe,
)
from dlc.compiler.errors import (
    LossNotScalar,
    Misplaced,
    MissingArgument,
    ShapeMismatch,
    TensorExpected,
    TooManyArguments,
)
from dlc.compiler.graph import Gradient, Value
from dlc.compiler.op import operations
from dlc.compiler.types import DType, Scalar, ShapeError, resolve_axis
from dlc.grammar.diagnostics import Refusal
from dlc.grammar.source import Span


def size_of(frame: Frame, given: Sequence[Arg], span: Span) -> Dim:
    """`size(x, axis)`: how long a tensor is along an axis, a static value."""
    if len(given) != 2:
        problem = TooManyArguments if len(given) > 2 else MissingArgument
        raise Refusal(problem("`size` takes a tensor and an axis", span, help="as in size(x, 0)"))
    tensor, axis = given
    if not isinstance(tensor.value, Value):
        raise Refusal(TensorExpected(f"`size` is that of a tensor, and this is {describe(tensor.value)}", tensor.span))
    shape = tensor.value.type.shape
    try:
        return shape[resolve_axis(static.whole(axis.value, axis.span), len(shape))]
    except ShapeError as error:
        raise Refusal(ShapeMismatch(error.message, axis.span, label=error.label)) from None


def total(frame: Frame, given: Arg, span: Span) -> Any:
    """`sum([a, b, c])` of tensors: `a + b + c`, numbers among them."""
    add = operations()["add"]()
    whole, *others = given.value
    for item in others:
        if not isinstance(whole, Value) and not isinstance(item, Value):
            whole = static.binary("+", whole, item, given.span)
            continue
        sides = [side if isinstance(side, Value) else _number(side, given.span) for side in (whole, item)]
        whole = frame.apply(add, sides, span, dict.fromkeys(("left", "right"), given.span))
    return whole


def _number(value: Any, span: Span) -> Scalar:
    if static.is_number(value):
        return Scalar(value)
    raise Refusal(TensorExpected(f"tensors and numbers are added, and one of these is {describe(value)}", span))


def gradient(frame: Frame, given: Sequence[Arg], span: Span) -> Value:
    """`grad(loss, x)`: the derivative of a scalar by a tensor."""
    if len(given) != 2:
        problem = TooManyArguments if len(given) > 2 else MissingArgument
        raise Refusal(problem("`grad` takes a scalar and what it is differentiated by", span, help="grad(loss, x)"))
    loss, by = given
    if not isinstance(loss.value, Value) or loss.value.type.rank or not loss.value.type.dtype.is_float:
        problem = f"`grad` differentiates a single float, and this is {describe(loss.value)}"
        raise Refusal(LossNotScalar(problem, loss.span, help="reduce it, as in sum(…)"))
    if isinstance(by.value, Instance | Part):
        from dlc.compiler.elaborate.vectors import vector  # vectors apply models, so they stand above calls

        by = Arg(None, vector(frame, by.value, by.span), by.span)
    if not isinstance(by.value, Value) or not by.value.type.dtype.is_float:
        raise Refusal(TensorExpected(f"`grad` is by a float tensor, and this is {describe(by.value)}", by.span))
    (result,) = frame.graph.add(Gradient(), [loss.value, by.value], [by.value.type], span)
    if id(by.value) in frame.models:
        frame.models[id(result)] = frame.models[id(by.value)]
    return result


def standardize(frame: Frame, given: Sequence[Arg], span: Span) -> Value:
    """`standardize(x)` in a data block: x less its mean over the training part, over its standard deviation."""
    if frame.fits is None:
        raise Refusal(Misplaced("`standardize` is fitted to the training part, so it belongs in a data block", span))
    if len(given) != 1:
        problem = TooManyArguments if given else MissingArgument
        raise Refusal(problem("`standardize` takes one tensor", span))
    x = given[0].value
    if not isinstance(x, Value) or x.type.dtype is DType.BOOL:
        raise Refusal(TensorExpected(f"`standardize` is of numbers, and this is {describe(x)}", given[0].span))
    if not x.type.dtype.is_float:
        x = frame.apply(operations()["cast"](type="float"), [x], span, {})
        assert isinstance(x, Value)
    number, name = 1, frame.graph.name
    while f"{name}_mean" in frame.graph.inputs or f"{name}_std" in frame.graph.inputs:
        number, name = number + 1, f"{frame.graph.name}_{number + 1}"
    frame.fits.append((name, x))
    result: Any = x
    for op, part in (("subtract", "mean"), ("divide", "std")):
        statistic = Value(x.type, span, f"{name}_{part}")
        frame.graph.inputs[f"{name}_{part}"] = statistic
        result = frame.apply(operations()[op](), [result, statistic], span, {})
    return result
