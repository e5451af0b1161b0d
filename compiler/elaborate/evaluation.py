"""The value of an expression: whoever knows a kind of syntax registers how it is evaluated."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dlc.compiler.dim import Dim, DimOverflow
from dlc.compiler.elaborate import binding, static
from dlc.compiler.elaborate.frame import Frame
from dlc.compiler.elaborate.values import (
    describe,
    is_tensor,
)
from dlc.compiler.errors import (
    OutOfRange,
    StaticType,
    TensorExpected,
)
from dlc.compiler.graph import Value
from dlc.grammar import ast
from dlc.grammar.diagnostics import Refusal

Evaluator = Callable[[Frame, Any], Any]

_EVALUATORS: dict[type[ast.Node], Evaluator] = {}


def evaluates(kind: type[ast.Node]) -> Callable[[Evaluator], Evaluator]:
    """Says that a function gives the value of this kind of syntax."""

    def register(evaluator: Evaluator) -> Evaluator:
        _EVALUATORS[kind] = evaluator
        return evaluator

    return register


def evaluate(frame: Frame, tree: ast.Expr) -> Any:
    """The value of an expression. Raises Refusal where it has none."""
    try:
        return _EVALUATORS[type(tree)](frame, tree)
    except DimOverflow:
        raise Refusal(OutOfRange("this number is too large", tree.span, label="beyond 64 bits")) from None


def tensor(frame: Frame, tree: ast.Expr) -> Value:
    """An expression that must be a tensor."""
    value = evaluate(frame, tree)
    if isinstance(value, Value):
        return value
    message = f"a tensor is due here, and this is {describe(value)}"
    raise Refusal(TensorExpected(message, tree.span, help=binding.apply_first(value, tree.span)))


def condition(frame: Frame, tree: ast.Expr) -> bool:
    """An expression that must be true or false at compile time."""
    value = evaluate(frame, tree)
    if is_tensor(value):
        raise Refusal(
            TensorExpected(
                "this condition is a tensor, whose elements are known only when the model runs",
                tree.span,
                label=describe(value),
                help="choose element by element with where(condition, a, b)",
            )
        )
    return static.truth(value, tree.span)


def static_size(frame: Frame, tree: ast.Expr) -> Dim:
    """An expression that must be a whole number, symbolic or not."""
    value = evaluate(frame, tree)
    if isinstance(value, Dim):
        return value
    raise Refusal(StaticType(f"a whole number is due here, and this is {describe(value)}", tree.span))
