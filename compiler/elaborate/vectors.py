"""A model as the vector of its learned weights, to compute with and to call: `fast - 0.01 * grad(e, fast)`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dlc.compiler.dim import Dim
from dlc.compiler.elaborate import calls
from dlc.compiler.elaborate.frame import Frame
from dlc.compiler.elaborate.values import Arg, Instance, Part
from dlc.compiler.errors import NotALayer, TensorExpected
from dlc.compiler.graph import Call, Functional, ReadModel, Value, weights_of
from dlc.compiler.types import DType, Tensor, product
from dlc.grammar.diagnostics import Label, Refusal
from dlc.grammar.source import Span


def size(model: Instance | Part) -> Dim:
    """How many learned numbers a model has. Its sizes must be fixed."""
    assert model.module is not None
    learned = [weight for _, weight in weights_of({"": model.module}) if weight.trainable]
    return sum((product(weight.shape) for weight in learned), Dim.of(0))


def vector(frame: Frame, model: Instance | Part, span: Span) -> Value:
    """The learned weights of a model, one after the other, as they are now."""
    if model.module is None:
        raise Refusal(
            TensorExpected(
                f"`{model.path}` has no weights before it is first applied",
                span,
                labels=(Label(model.span, "bound here"),),
            )
        )
    (value,) = frame.graph.add(ReadModel(), [], [Tensor(DType.FLOAT, (size(model),))], span, model.path)
    frame.models[id(value)] = model
    return value


def as_vector(frame: Frame, value: Any, other: Any, span: Span) -> Any:
    """An operand, a model among them as its vector where that has a meaning: in training, beside what is one."""
    computes = isinstance(other, Value | Instance | Part | Dim | float)
    if isinstance(value, Instance | Part) and not frame.owns and computes:
        return vector(frame, value, span)
    return value


def note(frame: Frame, result: Any, *operands: Any) -> Any:
    """What is computed from the vector of a model, and is as long, is a vector of that model too."""
    if isinstance(result, Value):
        for operand in operands:
            model = frame.models.get(id(operand)) if isinstance(operand, Value) else None
            if model is not None and isinstance(operand, Value) and operand.type.shape == result.type.shape:
                frame.models.setdefault(id(result), model)
    return result


def call(frame: Frame, weights: Value, given: Sequence[Arg], span: Span) -> Any:
    """Applies a model with the weights of a vector instead of its own."""
    model = frame.models[id(weights)]
    result = calls.apply(frame, model, given, span)
    node = frame.graph.nodes[-1]
    if not isinstance(node.action, Call) or node.module != model.path:
        problem = f"only a block can be called with other weights, and `{model.path}` is none"
        raise Refusal(NotALayer(problem, span, help="make it a block"))
    node.action = Functional(node.action.graph)
    node.inputs = (*node.inputs, weights)
    return result
