"""Symbolic sizes as values: computed at run time from the shapes of the inputs, each subexpression once."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

from dlc.compiler.dim import Dim, Symbol
from dlc.compiler.express import express
from dlc.compiler.interval import bounds
from dlc.compiler.notation import write
from dlc.compiler.onnx import model as onnx
from dlc.compiler.onnx.writer import Writer
from dlc.compiler.polynomial import Atom, Extreme, Monomial, Polynomial, Quotient
from dlc.compiler.types import DType, Tensor


class UnknownSize(Exception):
    """The inputs' shapes do not determine the value of a symbol."""

    def __init__(self, symbol: Symbol) -> None:
        super().__init__(symbol.name)
        self.symbol = symbol


class Sizes:
    """Writes sizes as int64 vectors of one element, so that shapes are their concatenation.

    inputs: the model's inputs with their types. name: the text for a symbol, unlike that of any other.
    """

    def __init__(
        self, writer: Writer, inputs: Sequence[tuple[onnx.Value, Tensor]], name: Callable[[Symbol], str]
    ) -> None:
        self._writer = writer
        self._name = name
        self._inputs = [value for value, _ in inputs]
        self._axes: dict[Polynomial, tuple[int, int]] = {}
        self._known: list[Dim] = []
        for place, (_, type) in enumerate(inputs):
            for axis, axis_size in enumerate(type.shape):
                for size in (axis_size, axis_size.whole()):
                    if size is not None and not size.is_constant and size.polynomial not in self._axes:
                        self._axes[size.polynomial] = place, axis
                        self._known.append(size)
        self._values: dict[Polynomial, onnx.Value] = {}
        self._scalars: dict[Polynomial, onnx.Value] = {}
        self._vectors: dict[tuple[Dim, ...], onnx.Value] = {}
        self._others: dict[str, onnx.Value] = {}

    def knows(self, symbol: Symbol) -> bool:
        """Whether the inputs' shapes determine the symbol's value."""
        return self._solution(symbol) is not None

    def scalar(self, dim: Dim) -> onnx.Value:
        """The size as an int64 scalar."""
        if dim.is_constant:
            return self._writer.constant(int(dim), DType.INT)
        key = dim.polynomial
        if key not in self._scalars:
            self._scalars[key] = self._node("Squeeze", (self._vector(key),), f"{self._text(key)}/scalar")
        return self._scalars[key]

    def vector(self, dims: Sequence[Dim]) -> onnx.Value:
        """The sizes as one int64 vector."""
        key = tuple(dims)
        if key not in self._vectors:
            parts = [self._run(run) for run in self._runs(key)]
            text = ", ".join(dim.render(self._name) for dim in key)
            self._vectors[key] = parts[0] if len(parts) == 1 else self._node("Concat", parts, f"[{text}]", axis=0)
        return self._vectors[key]

    def once(self, name: str, write: Callable[[Writer], onnx.Value]) -> onnx.Value:
        """What is computed from sizes alone, written where they are, at the first time that this name is asked for."""
        if name not in self._others:
            start = len(self._writer.nodes)
            self._others[name] = write(self._writer)
            for node in self._writer.nodes[start:]:
                node.size = True
                if node.name is None:
                    self._writer.name(node, f"size/{name}")
        return self._others[name]

    def _runs(self, dims: tuple[Dim, ...]) -> list[tuple[Dim, ...]]:
        """The sizes in groups that one value gives: constants side by side, neighbouring axes of one input."""
        starts = [0, *(place + 1 for place, pair in enumerate(pairwise(dims)) if not self._adjoin(*pair)), len(dims)]
        return [dims[start:stop] for start, stop in pairwise(starts) if start < stop] or [()]

    def _adjoin(self, left: Dim, right: Dim) -> bool:
        if left.is_constant or right.is_constant:
            return left.is_constant and right.is_constant
        first, second = self._axes.get(left.polynomial), self._axes.get(right.polynomial)
        return first is not None and second is not None and second == (first[0], first[1] + 1)

    def _run(self, run: tuple[Dim, ...]) -> onnx.Value:
        if all(dim.is_constant for dim in run):
            return self._writer.constant([int(dim) for dim in run], DType.INT)
        if len(run) == 1:
            return self._vector(run[0].polynomial)
        place, axis = self._axes[run[0].polynomial]
        text = ", ".join(self._text(dim.polynomial) for dim in run)
        return self._shape(place, axis, axis + len(run), f"[{text}]")

    def _shape(self, place: int, start: int, end: int, name: str) -> onnx.Value:
        return self._node("Shape", (self._inputs[place],), name, start=start, end=end)

    def _vector(self, size: Polynomial) -> onnx.Value:
        if size not in self._values:
            self._values[size] = self._compute(size)
        return self._values[size]

    def _compute(self, size: Polynomial) -> onnx.Value:
        if size.constant is not None:
            return self._writer.constant([size.constant], DType.INT)
        if size in self._axes:
            place, axis = self._axes[size]
            return self._shape(place, axis, axis + 1, self._text(size))
        if len(size.terms) == 1:
            return self._term(*size.leading())
        terms = size.ordered()
        first = next((term for term in terms if term[1] > 0), terms[0])
        total, so_far = self._vector(Polynomial(dict([first]))), Polynomial(dict([first]))
        for monomial, coefficient in terms:
            if monomial != first[0]:
                so_far = so_far + Polynomial({monomial: coefficient})
                summand = self._vector(Polynomial({monomial: abs(coefficient)}))
                total = self._node("Add" if coefficient > 0 else "Sub", (total, summand), self._text(so_far))
                self._values[so_far] = total
        return total

    def _term(self, monomial: Monomial, coefficient: int) -> onnx.Value:
        if coefficient != 1:
            factors = self._vector(Polynomial({monomial: 1})), self._vector(Polynomial.of(coefficient))
            return self._node("Mul", factors, self._text(Polynomial({monomial: coefficient})))
        *others, last = monomial
        if not others:
            return self._atom(last)
        factors = self._vector(Polynomial({tuple(others): 1})), self._vector(Polynomial.of(last))
        return self._node("Mul", factors, self._text(Polynomial({monomial: 1})))

    def _atom(self, atom: Atom) -> onnx.Value:
        text = self._text(Polynomial.of(atom))
        match atom:
            case Symbol():
                return self._solve(atom, text)
            case Quotient(numerator=numerator, divisor=divisor):
                plain = _is_natural(numerator) and _is_natural(divisor) and numerator.constant is None
                return self._divide(self._vector(numerator), self._vector(divisor), text, plain)
            case Extreme(kind=kind, choices=choices):
                values = [self._vector(choice) for choice in choices]
                return self._node("Min" if kind == "min" else "Max", values, text)
            case _:
                raise TypeError(f"{type(atom).__name__} is not a kind of atom")

    def _divide(self, above: onnx.Value, below: onnx.Value, name: str, plain: bool = False) -> onnx.Value:
        """The floor division.

        ONNX cuts towards 0, which differs for negative numbers; and onnxruntime fuses `(1 / x) * y` to `y / x`, also
        of integers. `plain` says that neither can happen.
        """
        if not plain:
            above = self._node("Sub", (above, self._node("Mod", (above, below), f"{name}/rest")), f"{name}/whole")
        return self._node("Div", (above, below), name)

    def _solve(self, symbol: Symbol, name: str) -> onnx.Value:
        """A symbol that is no input's size by itself, from those sizes that it is part of."""
        solution = self._solution(symbol)
        if solution is None:
            raise UnknownSize(symbol)
        known = {_known(place): size.polynomial for place, size in enumerate(self._known)}
        return self._written(ast.parse(solution, mode="eval").body, known, name)

    def _solution(self, symbol: Symbol) -> str | None:
        return express(Dim.of_symbol(symbol), [(size, _known(place)) for place, size in enumerate(self._known)])

    def _written(self, tree: ast.expr, known: Mapping[str, Polynomial], name: str) -> onnx.Value:
        match tree:
            case ast.Name(id):
                return self._vector(known[id])
            case ast.Constant(int(number)):
                return self._writer.constant([number], DType.INT)
            case ast.UnaryOp(ast.USub(), operand):
                return self._node("Neg", (self._written(operand, known, name),), name)
            case ast.BinOp(left, ast.FloorDiv(), right):
                return self._divide(self._written(left, known, name), self._written(right, known, name), name)
            case ast.BinOp(left, operator, right):
                operands = self._written(left, known, name), self._written(right, known, name)
                return self._node(_KINDS[type(operator)], operands, name)
            case ast.Call(ast.Name("min" | "max" as kind), arguments):
                values = [self._written(argument, known, name) for argument in arguments]
                return self._node(kind.capitalize(), values, name)
            case _:
                raise TypeError(f"a size is written as {ast.unparse(tree)}")

    def _node(self, kind: str, inputs: Sequence[onnx.Value], name: str, **attributes: int) -> onnx.Value:
        (value,) = self._writer.add(kind, inputs, attributes, name=f"size/{name}")
        assert value.node is not None
        value.node.size = True
        return value

    def _text(self, size: Polynomial) -> str:
        return write(size, self._name)


def _known(place: int) -> str:
    """The name of a size that some input has, within a solution."""
    return f"s{place}"


def _is_natural(size: Polynomial) -> bool:
    least = bounds(size)[0]
    return least is not None and least >= 0


_KINDS: dict[type[ast.operator], str] = {
    ast.Add: "Add",
    ast.Sub: "Sub",
    ast.Mult: "Mul",
    ast.Mod: "Mod",
    ast.Pow: "Pow",
}
