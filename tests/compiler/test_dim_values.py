"""Dimensions against plain integers: every claim is checked at values of the symbols."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from dlc.compiler.dim import Dim, DimOverflow, Symbol
from dlc.compiler.express import express

LEAF_SYMBOLS = [
    Dim.symbol("p"),
    Dim.symbol("q", least=1),
    Dim.symbol("r", least=2),
    Dim.symbol("s", least=-3),
    Dim.symbol("u", least=None),
]

BINARY: dict[str, tuple[Callable[[Dim, Dim], Dim], Callable[[int, int], int]]] = {
    "+": (operator.add, operator.add),
    "-": (operator.sub, operator.sub),
    "*": (operator.mul, operator.mul),
    "//": (operator.floordiv, operator.floordiv),
    "%": (operator.mod, operator.mod),
    "min": (Dim.minimum, min),
    "max": (Dim.maximum, max),
}

thorough = settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))


@dataclass(frozen=True)
class Tree:
    """An expression that can be built as a Dim or computed with plain integers."""

    operation: str | int | Symbol
    parts: tuple[Tree, ...] = ()

    def dim(self) -> Dim:
        match self.operation:
            case int() as value:
                return Dim.of(value)
            case Symbol() as symbol:
                return Dim.of_symbol(symbol)
            case "neg":
                return -self.parts[0].dim()
            case str() as name:
                return BINARY[name][0](self.parts[0].dim(), self.parts[1].dim())

    def value(self, values: Mapping[Symbol, int]) -> int:
        match self.operation:
            case int() as value:
                return value
            case Symbol() as symbol:
                return values[symbol]
            case "neg":
                return -self.parts[0].value(values)
            case str() as name:
                return BINARY[name][1](self.parts[0].value(values), self.parts[1].value(values))


def symbol_of(dim: Dim) -> Symbol:
    symbol = dim.as_symbol()
    assert symbol is not None
    return symbol


def trees(symbols: list[Dim], leaves: int = 8) -> st.SearchStrategy[Tree]:
    constants = st.integers(-7, 7).map(Tree)
    names = st.sampled_from([symbol_of(dim) for dim in symbols]).map(Tree)

    def grow(inner: st.SearchStrategy[Tree]) -> st.SearchStrategy[Tree]:
        operations = st.sampled_from([*BINARY, "//", "//", "+"])
        by_constant = st.builds(
            lambda name, part, value: Tree(name, (part, Tree(value))), operations, inner, st.integers(-6, 6)
        )
        binary = st.builds(lambda name, left, right: Tree(name, (left, right)), operations, inner, inner)
        return st.one_of(binary, by_constant, inner.map(lambda part: Tree("neg", (part,))))

    return st.recursive(st.one_of(names, names, constants), grow, max_leaves=leaves)


@st.composite
def assignments(draw: st.DrawFn, symbols: list[Dim]) -> dict[Symbol, int]:
    found: dict[Symbol, int] = {}
    for dim in symbols:
        symbol = symbol_of(dim)
        least = -30 if symbol.least is None else symbol.least
        found[symbol] = draw(st.one_of(st.integers(least, least + 6), st.integers(least, 60)))
    return found


def built(tree: Tree) -> Dim:
    """The tree's Dim; an example that divides by the constant 0 or grows too large is not one."""
    try:
        return tree.dim()
    except (ZeroDivisionError, DimOverflow):
        assume(False)
        raise


def computed(tree: Tree, values: Mapping[Symbol, int]) -> int:
    try:
        return tree.value(values)
    except ZeroDivisionError:
        assume(False)
        raise


def calculate(text: str, names: Mapping[str, int]) -> int:
    """The value of a Python expression in integers, by its syntax tree."""
    operators = {
        ast.Add: operator.add,
        ast.Sub: operator.sub,
        ast.Mult: operator.mul,
        ast.FloorDiv: operator.floordiv,
        ast.Mod: operator.mod,
        ast.Pow: operator.pow,
    }

    def walk(node: ast.expr) -> int:
        match node:
            case ast.Constant(value=int() as value):
                return value
            case ast.Name(id=name):
                return names[name]
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return -walk(operand)
            case ast.BinOp(left=left, op=op, right=right):
                return operators[type(op)](walk(left), walk(right))
            case ast.Call(func=ast.Name(id="min" | "max" as function), args=args):
                return {"min": min, "max": max}[function](walk(arg) for arg in args)
            case _:
                raise AssertionError(f"{ast.dump(node)} in {text}")

    return walk(ast.parse(text, mode="eval").body)


@thorough
@given(trees(LEAF_SYMBOLS), assignments(LEAF_SYMBOLS))
def test_value_text_and_bounds_agree_with_plain_integers(tree: Tree, values: dict[Symbol, int]) -> None:
    expected = computed(tree, values)
    dim = built(tree)
    assert dim.evaluate(values) == expected
    assert calculate(str(dim), {symbol.name: value for symbol, value in values.items()}) == expected
    low, high = dim.bounds()
    assert low is None or low <= expected
    assert high is None or expected <= high


@thorough
@given(trees(LEAF_SYMBOLS, 5), trees(LEAF_SYMBOLS, 5), assignments(LEAF_SYMBOLS))
def test_comparisons_that_are_decided_hold(left: Tree, right: Tree, values: dict[Symbol, int]) -> None:
    a, b = computed(left, values), computed(right, values)
    first, second = built(left), built(right)
    assert first.less(second) in (None, a < b)
    assert first.at_most(second) in (None, a <= b)
    assert first.equals(second) in (None, a == b)
    assert first != second or a == b
    assert first != second or hash(first) == hash(second)


@thorough
@given(trees(LEAF_SYMBOLS, 5), trees(LEAF_SYMBOLS, 4), assignments(LEAF_SYMBOLS))
def test_division_undoes_multiplication(left: Tree, right: Tree, values: dict[Symbol, int]) -> None:
    computed(left, values), computed(right, values)
    first, second = built(left), built(right)
    assume(second != 0)
    try:
        product = first * second
    except DimOverflow:
        assume(False)
        raise
    assert product.divide(second) == first
    quotient = first.divide(second)
    assert quotient is None or quotient.evaluate(values) * second.evaluate(values) == first.evaluate(values)
    if second.evaluate(values):
        assert (product // second).evaluate(values) == first.evaluate(values)


@thorough
@given(trees(LEAF_SYMBOLS, 6), trees(LEAF_SYMBOLS[1:3], 4), assignments(LEAF_SYMBOLS))
def test_substituting_is_evaluating_in_two_steps(tree: Tree, inner: Tree, values: dict[Symbol, int]) -> None:
    replaced = symbol_of(LEAF_SYMBOLS[4])
    step = computed(inner, values)
    expected = computed(tree, {**values, replaced: step})
    dim, replacement = built(tree), built(inner)
    try:
        result = dim.substitute({replaced: replacement})
    except (ZeroDivisionError, DimOverflow):
        assume(False)
        raise
    assert replaced not in result.symbols()
    assert result.evaluate(values) == expected


SIZES = [Dim.symbol("p", least=1), Dim.symbol("q", least=1), Dim.symbol("r", least=1)]


@thorough
@given(trees(SIZES, 5), st.lists(trees(SIZES, 3), max_size=4), assignments(SIZES))
def test_expressed_text_has_the_value(tree: Tree, knowns: list[Tree], values: dict[Symbol, int]) -> None:
    expected = computed(tree, values)
    names = {f"v{index}": computed(known, values) for index, known in enumerate(knowns)}
    known = [(built(inner), name) for inner, name in zip(knowns, names, strict=True)]
    target = built(tree)
    try:
        text = express(target, known)
    except DimOverflow:
        assume(False)
        raise
    if target.symbols() <= {dim.as_symbol() for dim, _ in known}:
        assert text is not None
    if text is not None:
        try:
            found = calculate(text, names)
        except ZeroDivisionError:
            assume(False)
            raise
        assert found == expected
