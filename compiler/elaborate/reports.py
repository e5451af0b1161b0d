"""Refusals of shape rules and of parameters as diagnostics: the right place, both sides, where sizes came from."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from dlc.compiler.checked import FieldsError
from dlc.compiler.dim import Dim
from dlc.compiler.elaborate.values import Origin, describe, is_sequence
from dlc.compiler.errors import BadParameter, ElementType, ShapeMismatch
from dlc.compiler.graph import Value
from dlc.compiler.op import Op
from dlc.compiler.types import ShapeError, TypeMismatch
from dlc.grammar import ast
from dlc.grammar.diagnostics import Diagnostic, Label
from dlc.grammar.source import Span

_LONGEST = 40  # of what is quoted from a spec


def origins(sizes: Sequence[Dim], *, apart_from: Span | None, outside: Span | None = None) -> tuple[Label, ...]:
    """A label for each size that remembers where it was introduced, unless that is the place at fault itself, or
    lies in a place that is shown already."""
    labels: list[Label] = []
    for size in sizes:
        origin = size.origin
        if isinstance(origin, Origin) and origin.span != apart_from and not _within(origin.span, outside):
            label = Label(origin.span, origin.text)
            if label not in labels:
                labels.append(label)
    return tuple(labels)


def _within(span: Span, other: Span | None) -> bool:
    return other is not None and span.source is other.source and other.start <= span.start and span.end <= other.end


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
    operands = {name: value for name, value in zip(_names(op, inputs), inputs, strict=True) if isinstance(value, Value)}
    at_fault = operands.get(error.argument or "")
    if at_fault is not None:
        alone = error.label.startswith(str(at_fault.type))  # shown in full, with what it disagrees with
    else:
        alone = error.message.startswith(f"{error.argument} is ")
    types = {str(value.type) for value in operands.values()}
    label = "" if at_fault is None and error.argument and error.label in types else error.label
    labels = origins(error.sizes, apart_from=place)
    told: list[Value] = [] if not alone else list(operands.values())
    against = spans.get(error.against or "")
    if alone and not labels and against is not None and error.against in operands and not _overlap(against, place):
        labels = (Label(against, str(operands[error.against].type)),)
    if not labels and not alone:
        bound = {id(value): value for value in operands.values() if _stands_apart(value, place)}
        labels = tuple(map(_where_bound, bound.values()))
        told = list(bound.values())
    notes = [
        f"{name}: {value.type}, from {producer(value)}"
        for name, value in operands.items()
        if not any(value is other for other in told)
    ]
    kind = ElementType if isinstance(error, TypeMismatch) else ShapeMismatch
    return kind(
        _message(error, at_fault),
        place,
        label=label,
        labels=labels,
        notes=(*_aligned(notes), *error.notes),
        help=_exchanged(op, inputs, operands, spans) or _advice(error, op, operands, span, spans),
    )


def _names(op: Op, inputs: Sequence[Any]) -> list[str]:
    """What the operands are called: as the parameters, several of one with their numbers."""
    names = [name for name, _ in type(op).operands(tuple(inputs))]
    return [
        f"{name}[{names[:place].count(name)}]" if names.count(name) > 1 else name for place, name in enumerate(names)
    ]


def _message(error: ShapeError, at_fault: Value | None) -> str:
    """The first line in the words of the spec: an operand by its own name, a side of an operator as a side."""
    if error.argument in ("left", "right"):
        return re.sub(rf"^{error.argument}\b", f"the {error.argument} side", error.message)
    if error.argument and at_fault is None:
        return re.sub(rf"^{re.escape(error.argument)}(?= (is|has) )", f"`{error.argument}`", error.message)
    if error.argument and at_fault is not None and at_fault.name:
        return re.sub(rf"^{re.escape(error.argument)}\b", lambda _: f"`{at_fault.name}`", error.message)
    return error.message


def _stands_apart(value: Value, place: Span) -> bool:
    """Whether a value got its name somewhere else in the same file."""
    span = value.span
    return bool(value.name) and span.source is place.source and (span.end <= place.start or place.end <= span.start)


def _overlap(one: Span, other: Span) -> bool:
    return one.source is other.source and one.start < other.end and other.start < one.end


def _where_bound(value: Value) -> Label:
    """The place where a value got its name, for sizes that were computed and so remember no place."""
    span = value.span
    declared = f"{value.name}: {value.type}"
    if span.source.text.startswith(declared, span.start):
        return Label(Span(span.source, span.start, span.start + len(declared)), "declared here")
    return Label(span, f"`{value.name}` is {value.type}")


def _advice(
    error: ShapeError, op: Op, operands: Mapping[str, Value], span: Span, spans: Mapping[str, Span]
) -> str | None:
    """An error's help in the words of the spec; for the commonest misfits also what the shape rules cannot know."""
    left, right = operands.get("left"), operands.get("right")
    if left is not None and right is not None and error.argument is None:
        if op.name == "matmul":
            return _transposed(left, right, span, spans)
        for few, many, side in ((right, left, "right"), (left, right, "left")):
            if 0 < few.type.rank < many.type.rank and many.type.shape[: few.type.rank] == few.type.shape:
                axes = ", ".join([":"] * few.type.rank + ["none"] * (many.type.rank - few.type.rank))
                return f"shapes are aligned at the last axis; for axes of size 1 there: {_quoted(spans[side])}[{axes}]"
    named = [name for name in operands if name in spans and name != "a"]  # which is a word of every sentence
    if error.help is None or not named:
        return error.help
    pattern = rf"(?P<open>\(?)(?<![\w.`])(?P<name>{'|'.join(map(re.escape, named))})(?P<close>[,)]|\b(?!=))"

    def written(match: re.Match[str]) -> str:
        place = spans[match["name"]]
        alone = match["open"] and match["close"] and len(place.text) <= _LONGEST
        return match["open"] + (place.text if alone else _quoted(place)) + match["close"]

    return re.sub(pattern, written, error.help)


def _exchanged(op: Op, inputs: Sequence[Any], operands: Mapping[str, Value], spans: Mapping[str, Span]) -> str | None:
    """What to write where the two operands of a call would fit in the other order."""
    if not len(inputs) == len(operands) == 2 or "right" in operands or not operands.keys() <= spans.keys():
        return None
    one, other = operands.values()
    try:
        op.results(other.type, one.type)
    except ShapeError:
        return None
    first, second = (_quoted(spans[name]) for name in operands)
    return f"the two are in the wrong order: {op.name}({second}, {first})"


def _transposed(left: Value, right: Value, span: Span, spans: Mapping[str, Span]) -> str | None:
    """Which side to transpose so that a product of matrices fits."""
    rows, columns = left.type.shape[-2:], right.type.shape[-2:]
    if len(columns) == 2 and left.type.shape[-1] == columns[1]:
        return f"transpose the right side: {_quoted(spans['left'])} @ {_quoted(spans['right'])}.T"
    if len(rows) == 2 and len(columns) == 2 and rows[0] == columns[0]:
        return f"transpose the left side: {_quoted(spans['left'])}.T @ {_quoted(spans['right'])}"
    return None


def _quoted(span: Span) -> str:
    """An operand as the spec has it, in parentheses where it needs them; a name where it is long."""
    text = span.text
    if len(text) > _LONGEST or "\n" in text:
        return "x"
    return text if re.fullmatch(r"[\w.]+|[\w.]+\([^()]*\)|[\w.]+\[[^\[\]]*\]|\([^()]*\)", text) else f"({text})"


def _aligned(notes: list[str]) -> list[str]:
    """Notes of the form `name: type` with the types one under the other."""
    width = max((note.index(":") for note in notes), default=0)
    return [f"{note[: note.index(':') + 1]:<{width + 1}}{note[note.index(':') + 1 :]}" for note in notes]


def in_short(span: Span | None, otherwise: str) -> str:
    """An argument as the spec has it, where it is short."""
    return span.text if span is not None and len(span.text) < 40 and "->" not in span.text else otherwise


def axes(count: int) -> str:
    """So many axes, in words."""
    return "no axes" if count == 0 else "1 axis" if count == 1 else f"{count} axes"


def told(dim: ast.Expr, due: Dim) -> str:
    """A size as the spec has it, and what it is."""
    text = dim.span.text
    return text if text == str(due) else f"{text} = {due}"


def refused(
    error: ValueError,
    what: str,
    values: Mapping[str, Any],
    spans: Mapping[str, Span],
    span: Span,
    places: Sequence[str] = (),
) -> tuple[Diagnostic, ...]:
    """The diagnostics for static parameters that do not fit: one for each parameter, or one for all together.

    places: the parameters that were filled by place, in their order.
    """
    if not isinstance(error, FieldsError):
        return (BadParameter(str(error), span),)
    return tuple(
        _misfit(name, found, what, values.get(name), spans.get(name, span), places)
        for name, found in error.problems.items()
    )


def _misfit(
    name: str, found: Sequence[Mapping[str, Any]], what: str, value: Any, span: Span, places: Sequence[str]
) -> BadParameter:
    message = f"`{name}` of {what} must be {' or '.join(dict.fromkeys(map(_due, found)))}"
    help = f"by place, {what} takes {', '.join(places)}" if name in places[1:] else None
    item = next((place for place in found[0].get("loc", ()) if isinstance(place, int)), None)
    if is_sequence(value) and item is not None:
        value = value[item]
    if places and name == places[-1] and item is not None:
        help = f"all that {what} takes by place is its `{name}`; its other parameters are given by name"
    if found[0]["type"] in ("tuple_type", "list_type") and name not in places:
        help = f"one of a list is a list too: {name}=[{in_short(span, 'x')}]"
    return BadParameter(message, span, label=f"this is {describe(value)}", help=help)


def _due(problem: Mapping[str, Any]) -> str:
    """What a parameter must be, in words, from pydantic's account of what is wrong."""
    context: Mapping[str, Any] = problem.get("ctx", {})
    match problem["type"]:
        case "greater_than":
            return f"greater than {context['gt']:g}"
        case "greater_than_equal":
            return f"at least {context['ge']:g}"
        case "less_than":
            return f"less than {context['lt']:g}"
        case "less_than_equal":
            return f"at most {context['le']:g}"
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
            return str(context["error"]).removesuffix(" is due").removesuffix(",")
        case "too_short" | "too_long":
            bound = "least" if problem["type"] == "too_short" else "most"
            return f"a list of at {bound} {context.get('min_length', context.get('max_length'))}"
        case _:
            return str(problem["msg"]).removeprefix("Input should be ")
