"""Layers made of layers: `branch`, `residual`, `repeat` and `identity`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from dlc.compiler.elaborate import static
from dlc.compiler.elaborate.values import Arg, Composition, describe, is_layer
from dlc.compiler.errors import LimitReached, MissingArgument, NotALayer, StaticType, TooManyArguments, UnknownParameter
from dlc.grammar.diagnostics import Refusal
from dlc.grammar.source import Span

MAX_REPEATS = 10_000


def _layers(name: str, given: Sequence[Arg]) -> tuple[Any, ...]:
    for argument in given:
        if not is_layer(argument.value):
            raise Refusal(NotALayer(f"`{name}` takes layers, and this is {describe(argument.value)}", argument.span))
    return tuple(argument.value for argument in given)


def _branch(given: Sequence[Arg], span: Span) -> Composition:
    """`branch(f, g, h)`: the same input to each layer; gives a tuple of their results."""
    if not given:
        raise Refusal(MissingArgument("`branch` needs layers", span))
    return Composition(_layers("branch", given), span, kind="branch")


def _residual(given: Sequence[Arg], span: Span) -> Composition:
    """`residual(f)`: x + f(x)."""
    if len(given) != 1:
        problem = TooManyArguments if given else MissingArgument
        raise Refusal(problem(f"`residual` takes one layer, and {len(given)} are given", span))
    return Composition(_layers("residual", given), span, kind="residual")


def _repeat(given: Sequence[Arg], span: Span) -> Composition:
    """`repeat(n, f)`: n applications of f in a row; a recipe has weights of its own in each, an instance shares."""
    if len(given) != 2:
        problem = TooManyArguments if len(given) > 2 else MissingArgument
        raise Refusal(problem("`repeat` takes a number and a layer", span, help="as in repeat(12, Layer(heads))"))
    if is_layer(given[0].value) and not is_layer(given[1].value):
        swapped = f"repeat({given[1].span.text}, {given[0].span.text})"
        message = "`repeat` takes the number first, and then the layer"
        raise Refusal(StaticType(message, given[0].span, label="the layer", help=swapped))
    count = static.whole(given[0].value, given[0].span)
    if not 0 <= count <= MAX_REPEATS:
        raise Refusal(LimitReached(f"a layer is repeated 0 to {MAX_REPEATS:,} times, not {count:,}", given[0].span))
    return Composition(_layers("repeat", given[1:]) * count, span, kind="repeat")


COMBINATORS: dict[str, Callable[[Sequence[Arg], Span], Composition]] = {
    "branch": _branch,
    "residual": _residual,
    "repeat": _repeat,
}


def combine(name: str, given: Sequence[Arg], span: Span) -> Composition:
    """The layer that a combinator makes of layers."""
    for argument in given:
        if argument.name is not None:
            raise Refusal(
                UnknownParameter(f"`{name}` has no parameter `{argument.name}`", argument.name_span or argument.span)
            )
    return COMBINATORS[name](given, span)
