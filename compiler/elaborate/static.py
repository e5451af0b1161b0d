"""Arithmetic at compile time: operators and functions on static values, within limits."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

from dlc.compiler.dim import Dim, DimOverflow
from dlc.compiler.elaborate.values import Arg, Origin, describe, is_layer, is_sequence, listed
from dlc.compiler.errors import (
    DivisionByZero,
    LimitReached,
    MissingArgument,
    OutOfRange,
    StaticType,
    TooManyArguments,
    Undecided,
    UnknownParameter,
)
from dlc.grammar.diagnostics import Label, Refusal
from dlc.grammar.source import Span

MAX_LENGTH = 100_000  # of a list, a range or a string that is made at compile time

_ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
    "//": lambda a, b: a // b,
    "%": lambda a, b: a % b,
    "**": lambda a, b: a**b,
}
_ORDER: dict[str, Callable[[Any, Any], Any]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def is_number(value: object) -> bool:
    return isinstance(value, Dim | float)


def binary(symbol: str, left: Any, right: Any, span: Span) -> Any:
    """The value of `left symbol right`, both static."""
    if symbol in ("==", "!="):
        same = equal(left, right, span)
        return same if symbol == "==" else not same
    if symbol in _ORDER:
        return _compare(symbol, left, right, span)
    if is_number(left) and is_number(right):
        return _calculate(symbol, left, right, span)
    if symbol == "+" and type(left) is type(right) and (is_sequence(left) or isinstance(left, str)):
        return limited(left + right, span)
    if symbol == "*" and is_sequence(left) and isinstance(right, Dim):
        return _repeat(list(left), right, span)
    raise Refusal(StaticType(f"`{symbol}` cannot combine {describe(left)} and {describe(right)}", span))


def _repeat(items: list[Any], times: Dim, span: Span) -> list[Any]:
    count = whole(times, span)
    _bounded(len(items) * count, span)
    return items * count


def _calculate(symbol: str, left: Any, right: Any, span: Span) -> Any:
    if symbol == "@":
        raise Refusal(StaticType("`@` multiplies matrices, and these are numbers", span, help="write `*`"))
    try:
        if isinstance(left, Dim) and isinstance(right, Dim) and symbol != "/":
            if symbol == "**" and (right.constant or 0) < 0 and left.is_constant:
                return float(int(left)) ** int(right)
            return _ARITHMETIC[symbol](left, right)
        result = _ARITHMETIC[symbol](real(left, span), real(right, span))
    except ZeroDivisionError:
        raise Refusal(DivisionByZero("this divides by zero", span, labels=_origins(right, span))) from None
    except (DimOverflow, OverflowError):
        raise Refusal(OutOfRange("this number is too large", span, label="beyond 64 bits")) from None
    if isinstance(result, complex) or not math.isfinite(result):
        raise Refusal(OutOfRange(f"`{span.text}` is not a finite real number", span))
    return result


def _compare(symbol: str, left: Any, right: Any, span: Span) -> bool:
    if isinstance(left, Dim) and isinstance(right, Dim):
        decided = relation(symbol, left, right)
        if decided is None:
            raise Refusal(undecided(span, left, right))
        return decided
    if is_number(left) and is_number(right):
        return bool(_ORDER[symbol](real(left, span), real(right, span)))
    if isinstance(left, str) and isinstance(right, str):
        return bool(_ORDER[symbol](left, right))
    raise Refusal(StaticType(f"`{symbol}` cannot compare {describe(left)} and {describe(right)}", span))


def relation(symbol: str, left: Dim, right: Dim) -> bool | None:
    """Whether a comparison of two sizes holds; none where that depends on dimensions known only at run time."""
    match symbol:
        case "==":
            return left.equals(right)
        case "!=":
            return None if (same := left.equals(right)) is None else not same
        case "<":
            return left.less(right)
        case "<=":
            return left.at_most(right)
        case ">":
            return right.less(left)
        case _:
            return right.at_most(left)


def _origins(value: Any, span: Span) -> tuple[Label, ...]:
    """Where a size was introduced."""
    origin = value.origin if isinstance(value, Dim) else None
    return (Label(origin.span, origin.text),) if isinstance(origin, Origin) and origin.span != span else ()


def undecided(span: Span, *sizes: Dim) -> Undecided:
    return Undecided(
        f"whether `{span.text}` holds is known only when the model runs",
        span,
        label="depends on a dimension that is open",
        labels=tuple(label for size in sizes if not size.is_constant for label in _origins(size, span)),
        help="`require` may depend on such a dimension; a choice between layers may not",
    )


def equal(left: Any, right: Any, span: Span) -> bool:
    """Equality of static values. Sizes that might be equal or not are an error."""
    if isinstance(left, Dim) and isinstance(right, Dim):
        same = left.equals(right)
        if same is None:
            raise Refusal(undecided(span, left, right))
        return same
    if isinstance(left, Dim) and isinstance(right, float):
        return left.is_constant and float(int(left)) == right
    if isinstance(left, float) and isinstance(right, Dim):
        return right.is_constant and float(int(right)) == left
    if is_sequence(left) and is_sequence(right) and type(left) is type(right):
        return len(left) == len(right) and all(equal(a, b, span) for a, b in zip(left, right, strict=True))
    if is_layer(left) or is_layer(right):
        return left is right
    return type(left) is type(right) and bool(left == right)


def truth(value: Any, span: Span) -> bool:
    """A condition's value: only true and false are conditions."""
    if isinstance(value, bool):
        return value
    raise Refusal(StaticType(f"a condition is true or false, and this is {describe(value)}", span))


def whole(value: Any, span: Span) -> int:
    """A whole number that is known at compile time."""
    if isinstance(value, Dim):
        if value.constant is not None:
            return value.constant
        raise Refusal(
            Undecided(
                f"`{value}` is known only when the model runs",
                span,
                label="must be a number at compile time",
                labels=_origins(value, span),
                help=f"a model's dimension is set from the command line: --set {value}=…"
                if str(value).isidentifier()
                else None,
            )
        )
    raise Refusal(StaticType(f"a whole number is due here, and this is {describe(value)}", span))


def real(value: Any, span: Span) -> float:
    """A static number as a float."""
    return value if isinstance(value, float) else float(whole(value, span))


def negate(value: Any, span: Span) -> Any:
    if is_number(value):
        return -value
    raise Refusal(StaticType(f"`-` needs a number, and this is {describe(value)}", span))


def limited(value: Any, span: Span) -> Any:
    """A list or string, if it is not too long."""
    _bounded(len(value), span)
    return value


def _bounded(length: int, span: Span) -> int:
    if length > MAX_LENGTH:
        raise Refusal(LimitReached(f"a list of {length:,} items is more than {MAX_LENGTH:,}", span))
    return length


# --- functions --------------------------------------------------------------------------------------------------


def _one(arguments: Sequence[Arg], name: str, span: Span) -> Arg:
    if len(arguments) == 1:
        return arguments[0]
    problem = MissingArgument if not arguments else TooManyArguments
    raise Refusal(problem(f"`{name}` takes one value, and {len(arguments)} are given", span))


def _items(argument: Arg, name: str) -> list[Any]:
    found = listed(argument.value)
    if found is not None:
        return found
    raise Refusal(StaticType(f"`{name}` goes through a list, and this is {describe(argument.value)}", argument.span))


def _range(arguments: Sequence[Arg], span: Span) -> list[Dim]:
    if not 1 <= len(arguments) <= 3:
        raise Refusal(TooManyArguments(f"`range` takes 1 to 3 numbers, and {len(arguments)} are given", span))
    bounds = [whole(argument.value, argument.span) for argument in arguments]
    if len(bounds) == 3 and bounds[2] == 0:
        raise Refusal(DivisionByZero("a range's step cannot be zero", arguments[2].span))
    numbers = range(*bounds)
    # len() of a huge range overflows, so its length is computed
    _bounded(max(0, -(-(numbers.stop - numbers.start) // numbers.step)), span)
    return [Dim.of(number) for number in numbers]


def _len(arguments: Sequence[Arg], span: Span) -> Dim:
    argument = _one(arguments, "len", span)
    if isinstance(argument.value, str):
        return Dim.of(len(argument.value))
    return Dim.of(len(_items(argument, "len")))


def _sum(arguments: Sequence[Arg], span: Span) -> Any:
    total: Any = Dim.of(0)
    for item in _items(_one(arguments, "sum", span), "sum"):
        total = binary("+", total, item, span)
    return total


def _extreme(name: str, smallest: Callable[[Dim, Dim], Dim], choose: Callable[[Any, Any], Any]) -> Any:
    def extreme(arguments: Sequence[Arg], span: Span) -> Any:
        items = _items(arguments[0], name) if len(arguments) == 1 else [argument.value for argument in arguments]
        if not items:
            raise Refusal(StaticType(f"`{name}` of nothing has no value", span))
        best = items[0]
        for item in items[1:]:
            if isinstance(best, Dim) and isinstance(item, Dim):
                best = smallest(best, item)
            else:
                best = choose(real(best, span), real(item, span))
        return best

    return extreme


def _zip(arguments: Sequence[Arg], span: Span) -> list[tuple[Any, ...]]:
    columns = [_items(argument, "zip") for argument in arguments]
    lengths = {len(column) for column in columns}
    if len(lengths) > 1:
        told = " and ".join(str(len(column)) for column in columns)
        raise Refusal(StaticType(f"`zip` needs lists of one length, and these have {told} items", span))
    return list(zip(*columns, strict=True))


def _enumerate(arguments: Sequence[Arg], span: Span) -> list[tuple[Dim, Any]]:
    return [(Dim.of(place), item) for place, item in enumerate(_items(_one(arguments, "enumerate", span), "enumerate"))]


def _real_function(name: str, function: Callable[[float], float]) -> Any:
    def apply(arguments: Sequence[Arg], span: Span) -> float:
        argument = _one(arguments, name, span)
        number = real(argument.value, argument.span)
        try:
            return function(number)
        except (ValueError, OverflowError):
            raise Refusal(OutOfRange(f"`{name}` of {number:g} is not a finite real number", span)) from None

    return apply


def _rounded(name: str, function: Callable[[float], int]) -> Any:
    def apply(arguments: Sequence[Arg], span: Span) -> Dim:
        argument = _one(arguments, name, span)
        return Dim.of(function(real(argument.value, argument.span)))

    return apply


CONSTANTS = {"inf": math.inf, "pi": math.pi}

FUNCTIONS: dict[str, Callable[[Sequence[Arg], Span], Any]] = {
    "range": _range,
    "len": _len,
    "sum": _sum,
    "min": _extreme("min", Dim.minimum, min),
    "max": _extreme("max", Dim.maximum, max),
    "zip": _zip,
    "enumerate": _enumerate,
    "sqrt": _real_function("sqrt", math.sqrt),
    "exp": _real_function("exp", math.exp),
    "log": _real_function("log", math.log),
    "sin": _real_function("sin", math.sin),
    "cos": _real_function("cos", math.cos),
    "floor": _rounded("floor", math.floor),
    "ceil": _rounded("ceil", math.ceil),
    "round": _rounded("round", round),
}
"""What is computed at compile time when all its arguments are static. Some names are operations on tensors too."""

STATIC_ONLY = frozenset({"range", "len", "zip", "enumerate"})


def call(name: str, arguments: Sequence[Arg], span: Span) -> Any:
    """A static function's value."""
    for argument in arguments:
        if argument.name is not None:
            message = f"`{name}` of static values has no parameter `{argument.name}`"
            raise Refusal(UnknownParameter(message, argument.name_span or span))
    return FUNCTIONS[name](arguments, span)
