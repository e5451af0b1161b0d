"""Arithmetic at compile time, against Python's own."""

import math
import operator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlc.compiler.dim import Dim
from dlc.compiler.elaborate.compilation import Compilation
from dlc.compiler.elaborate.evaluation import evaluate
from dlc.compiler.elaborate.frame import Frame
from dlc.compiler.elaborate.overrides import Overrides
from dlc.compiler.elaborate.scope import Scope
from dlc.compiler.elaborate.values import Record, freeze
from dlc.compiler.graph import Graph
from dlc.compiler.types import Scalar
from dlc.grammar import ast
from dlc.grammar.diagnostics import Refusal, Sink
from dlc.grammar.parse import parse
from dlc.grammar.source import Source, Span

from .conftest import Memory, Specs


def value(text: str) -> Any:
    """What a static expression evaluates to, sizes as Python's ints."""
    source = Source("let", f"let value = {text}\n")
    sink = Sink()
    (item,) = parse(source, sink).items
    assert not len(sink)
    assert isinstance(item, ast.Let)
    frame = Frame(Compilation(Sink(), Memory({}), Overrides({})), Graph("let", Span(source, 0, 0)), Scope(), owns=False)
    return plain(evaluate(frame, item.value))


def plain(result: Any) -> Any:
    if isinstance(result, Dim):
        return int(result)
    if isinstance(result, list | tuple):
        return type(result)(plain(item) for item in result)
    return {name: plain(item) for name, item in result.fields.items()} if isinstance(result, Record) else result


def code(text: str) -> str:
    with pytest.raises(Refusal) as refusal:
        value(text)
    (diagnostic,) = refusal.value.diagnostics
    return diagnostic.code


BINARY = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "//": operator.floordiv,
    "%": operator.mod,
    "/": operator.truediv,
}

Expression = tuple[str, int | float]


def combine(parts: tuple[Expression, str, Expression]) -> Expression | None:
    (left, a), symbol, (right, b) = parts
    try:
        return f"({left} {symbol} {right})", BINARY[symbol](a, b)
    except ZeroDivisionError:
        return None


numbers = st.integers(0, 50).map(lambda n: (str(n), n)) | st.sampled_from(
    [("0.5", 0.5), ("2.25", 2.25), ("1e2", 100.0)]
)
expressions = st.recursive(
    numbers,
    lambda inner: (
        st.tuples(inner, st.sampled_from(list(BINARY)), inner).map(combine).filter(bool)
        | inner.map(lambda e: (f"-{e[0]}", -e[1]))
    ),
    max_leaves=8,
)


@given(expressions)
def test_arithmetic_is_pythons(expression: Expression) -> None:
    text, expected = expression
    found = value(text)
    assert found == expected
    assert type(found) is type(expected)


@given(st.lists(st.integers(-9, 9), min_size=1, max_size=6), st.integers(-6, 5), st.integers(-6, 5))
def test_lists_are_pythons(items: list[int], start: int, stop: int) -> None:
    assert value(f"{items}[{start}:{stop}]") == items[start:stop]
    assert value(f"{items}[{start}:]") == items[start:]
    assert value(f"sum({items})") == sum(items)
    assert value(f"min({items})") == min(items)
    assert value(f"max({items})") == max(items)
    assert value(f"len({items} + {items})") == 2 * len(items)
    assert value(f"[2 * i + 1 for i in {items}]") == [2 * i + 1 for i in items]
    if -len(items) <= start < len(items):
        assert value(f"{items}[{start}]") == items[start]
    else:
        assert code(f"{items}[{start}]") == "DL4010"


@given(st.integers(-9, 9), st.integers(-9, 9), st.integers(-3, 3).filter(bool))
def test_ranges_are_pythons(start: int, stop: int, step: int) -> None:
    assert value(f"range({start}, {stop}, {step})") == list(range(start, stop, step))
    assert value(f"range({stop})") == list(range(stop))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2 ** 10", 1024),
        ("2 ** -1", 0.5),
        ("2.0 ** 0.5", math.sqrt(2)),
        ("-2 ** 2", -4),
        ("7 / 2", 3.5),
        ("-7 // 2", -4),
        ("-7 % 3", 2),
        ("sqrt(2)", math.sqrt(2)),
        ("exp(1)", math.e),
        ("log(10)", math.log(10)),
        ("floor(-2.5)", -3),
        ("ceil(2.1)", 3),
        ("round(2.5)", 2),
        ("max(2, 3.5)", 3.5),
        ("min(3, 1, 2)", 1),
        ("[1, 2] * 2", [1, 2, 1, 2]),
        ('"a" + "b"', "ab"),
        ('len("abc")', 3),
        ("zip([1, 2], [3, 4])", [(1, 3), (2, 4)]),
        ('enumerate(["a", "b"])', [(0, "a"), (1, "b")]),
        ("(a=1, b=2.5).b", 2.5),
        ("[i for i in range(3)][-1]", 2),
        ("1 if 2 > 1 else 1 // 0", 1),
        ("3 == 3.0", True),
        ('"a" < "b"', True),
        ("[1, 2] == [1, 2]", True),
        ("[1, 2] == [1, 3]", False),
        ("none == none", True),
        ("1 == true", False),
        ("not (1 > 2) and 2 <= 2", True),
    ],
)
def test_values(text: str, expected: object) -> None:
    assert value(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1 // 0", "DL4006"),
        ("1 % 0", "DL4006"),
        ("1 / 0.0", "DL4006"),
        ("10 ** 40", "DL4010"),
        ("1e308 * 10", "DL4010"),
        ("(-8) ** 0.5", "DL4010"),
        ("sqrt(-1)", "DL4010"),
        ("exp(1e6)", "DL4010"),
        ("floor(1e300)", "DL4010"),
        ("range(10 ** 9)", "DL4005"),
        ("[0] * 10 ** 9", "DL4005"),
        ("[0 for i in range(10 ** 9)]", "DL4005"),
        ("range(0, 1, 0)", "DL4006"),
        ("1 + true", "DL4001"),
        ('"a" * 2', "DL4001"),
        ("1 < none", "DL4001"),
        ("not 1", "DL4001"),
        ("len(3)", "DL4001"),
        ("zip([1], [])", "DL4001"),
        ("min([])", "DL4001"),
        ("[1][0.5]", "DL4001"),
        ("range()", "DL2005"),
        ("len()", "DL2004"),
        ("range", "DL2006"),
    ],
)
def test_refusals(text: str, expected: str) -> None:
    assert code(text) == expected


# --- what makes two calls the same -------------------------------------------------------------------------------

DIFFERENT = ["1", "2", "1.0", "true", "none", '"1"', "[1]", "(1, 2)", "[1, 2]", "(a=1)", "(b=1)", "relu", "tanh"]
DIFFERENT += ["linear(3)", "linear(4)", "linear(3, bias=false)", "relu -> tanh", "branch(relu, tanh)", "residual(relu)"]


def frozen(text: str) -> object:
    source = Source("let", f"let value = {text}\n")
    (item,) = parse(source, Sink()).items
    assert isinstance(item, ast.Let)
    frame = Frame(Compilation(Sink(), Memory({}), Overrides({})), Graph("let", Span(source, 0, 0)), Scope(), owns=False)
    return freeze(evaluate(frame, item.value))


@pytest.mark.parametrize("text", DIFFERENT)
def test_equal_values_freeze_alike_and_others_do_not(text: str) -> None:
    assert frozen(text) == frozen(text)
    assert hash(frozen(text)) == hash(frozen(text))
    assert [other for other in DIFFERENT if frozen(other) == frozen(text)] == [text]


def test_pi_and_infinity_are_numbers(specs: Specs) -> None:
    graph = specs.graph("model M(x: float[N]) -> (y: float[N]):\n    return where(x > pi, -inf, x * sin(pi / 2))\n")
    scalars = {operand.value for node in graph.nodes for operand in node.inputs if isinstance(operand, Scalar)}
    assert {math.pi, -math.inf, 1.0} <= scalars


def test_a_name_of_ones_own_comes_before_pi(specs: Specs) -> None:
    graph = specs.graph("let pi = 3\nmodel M(x: float[N]) -> (y: float[N, pi]):\n    return x[:, none] * ones(pi)\n")
    assert str(graph.outputs[0].type) == "float[N, 3]"
