"""Refusals of shape rules and of parameters as diagnostics: the right place, both sides, where sizes came from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from dlc.compiler.checked import FieldsError
from dlc.compiler.dim import Dim
from dlc.compiler.elaborate.values import Origin, describe
from dlc.compiler.errors import BadParameter, ElementType, ShapeMismatch
from dlc.compiler.graph import Value
from dlc.compiler.op import Op
from dlc.compiler.types import ShapeError, TypeMismatch
from dlc.grammar.diagnostics import Diagnostic, Label
from dlc.grammar.source import Span

_SIDES = {"add", "subtract", "multiply", "divide", "floor_divide", "remainder", "power", "matmul"}


def origins(sizes: Sequence[Dim], *, apart_from: Span) -> tuple[Label, ...]:
    """A label for each size that remembers where it was introduced, unless that is the place at fault itself."""
    labels: list[Label] = []
    for size in sizes:
        origin = size.origin
        if isinstance(origin, Origin) and origin.span != apart_from:
            label = Label(origin.span, origin.text)
            if label not in labels:
                labels.append(label)
    return tuple(labels)


def shape(
    error: ShapeError,
    op: Op,
    inputs: Sequence[Any],
    span: Span,
    spans: Mapping[str, Span],
    producer: Callable[[Value], str],
) -> Diagnostic:
    """The diagnostic for a refusal by an operation's shape rule."""
    place = spans.get(error.argument, span) if error.argument else span
    names = _operand_names(op, inputs)
    notes = [
        f"{name}: {value.type}, from {producer(value)}"
        for name, value in zip(names, inputs, strict=True)
        if isinstance(value, Value)
    ]
    kind = ElementType if isinstance(error, TypeMismatch) else ShapeMismatch
    return kind(
        error.message,
        place,
        label=error.label,
        labels=origins(error.sizes, apart_from=place),
        notes=(*_aligned(notes), *error.notes),
        help=error.help,
    )


def _operand_names(op: Op, inputs: Sequence[Any]) -> list[str]:
    if op.hidden or op.name in _SIDES:
        return ["left", "right"][: len(inputs)] if len(inputs) == 2 else ["operand"] * len(inputs)
    return [name for name, _ in type(op).operands(tuple(inputs))]


def _aligned(notes: list[str]) -> list[str]:
    """Notes of the form `name: type` with the types one under the other."""
    width = max((note.index(":") for note in notes), default=0)
    return [f"{note[: note.index(':') + 1]:<{width + 1}}{note[note.index(':') + 1 :]}" for note in notes]


def refused(
    error: ValueError, what: str, values: Mapping[str, Any], spans: Mapping[str, Span], span: Span
) -> tuple[Diagnostic, ...]:
    """The diagnostics for static parameters that do not fit: one for each parameter, or one for all together."""
    if not isinstance(error, FieldsError):
        return (BadParameter(str(error), span),)
    return tuple(
        BadParameter(
            f"`{name}` of {what} must be {_due(problem)}",
            spans.get(name, span),
            label=f"this is {describe(values.get(name))}",
        )
        for name, problem in error.problems.items()
    )


def _due(problem: Mapping[str, Any]) -> str:
    """What a parameter must be, in words, from pydantic's account of what is wrong."""
    context: Mapping[str, Any] = problem.get("ctx", {})
    match problem["type"]:
        case "greater_than":
            return f"greater than {context['gt']}"
        case "greater_than_equal":
            return f"at least {context['ge']}"
        case "less_than":
            return f"less than {context['lt']}"
        case "less_than_equal":
            return f"at most {context['le']}"
        case "int_type" | "int_from_float" | "int_parsing":
            return "a whole number known at compile time"
        case "is_instance_of":
            return "a whole number" if context.get("class") == "Dim" else f"a {str(context['class']).lower()}"
        case "float_type" | "float_parsing":
            return "a number"
        case "bool_type":
            return "true or false"
        case "string_type":
            return "a string"
        case "tuple_type" | "list_type":
            return "a list"
        case "literal_error":
            return str(context["expected"]).replace("'", '"')
        case "finite_number":
            return "finite"
        case "value_error":
            return str(context["error"])
        case "too_short" | "too_long":
            bound = "least" if problem["type"] == "too_short" else "most"
            return f"a list of at {bound} {context.get('min_length', context.get('max_length'))}"
        case _:
            return str(problem["msg"]).removeprefix("Input should be ")
