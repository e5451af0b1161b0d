"""Writes a dimension in terms of integers that are at hand: what generated code computes a size from."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence

from dlc.compiler import canonical, notation
from dlc.compiler.dim import Dim
from dlc.compiler.interval import bounds
from dlc.compiler.polynomial import Atom, Extreme, Monomial, Polynomial, Quotient, Symbol, cofactor

_MAX_REDUCTIONS = 3


def express(target: Dim, known: Sequence[tuple[Dim, str]]) -> str | None:
    """The shortest Python expression found for `target`; None if the known values are not seen to determine it.

    `known` pairs dimensions with expressions that have their value: with `2*T - 1` as `x.shape[1]`, T is
    `(x.shape[1] + 1)//2`. The values are taken to fit together, so that a division that inverts a product is exact;
    where the other factor is 0 the expression raises ZeroDivisionError.
    """
    if target.constant is not None:
        return str(target.constant)
    exact = [text for dim, text in known if dim == target]
    return min(exact, key=_cost) if exact else _Knowns(known).express(target.polynomial)


def _cost(text: str) -> tuple[int, str]:
    return len(text), text


class _Knowns:
    """The known values, each as a symbol whose name is its text, and the atoms whose values follow from them.

    A solution is a polynomial in those symbols.
    """

    def __init__(self, known: Sequence[tuple[Dim, str]]) -> None:
        self._values: dict[Polynomial, Polynomial] = {}
        self._atoms: dict[Atom, Polynomial] = {}
        self._found: dict[tuple[Polynomial, int], Polynomial | None] = {}
        for dim, text in sorted(known, key=lambda pair: _cost(pair[1])):
            value = dim.polynomial
            if value.constant is None and value not in self._values:
                self._values[value] = Polynomial.of(Symbol(_unbreakable(text), bounds(value)[0]))
        for value, symbol in self._values.items():
            monomial, coefficient = value.leading()
            if len(value.terms) == 1 and len(monomial) == 1 and coefficient == 1:
                self._atoms[monomial[0]] = symbol

    def express(self, target: Polynomial) -> str | None:
        symbols = frozenset[Symbol]().union(*(atom.symbols for atom in target.atoms()))
        while not symbols <= self._atoms.keys():
            more = self._invert()
            if not more:
                break
            self._atoms |= more
            self._found.clear()
        solution = self._solve(target, _MAX_REDUCTIONS)
        return None if solution is None else _text(solution)

    def _invert(self) -> Mapping[Atom, Polynomial]:
        """The atoms without a solution that a known value determines by itself or with those that have one."""
        found: dict[Atom, Polynomial] = {}
        for value, symbol in self._values.items():
            for atom in value.atoms().keys() - self._atoms.keys():
                solution = self._isolate(atom, value, symbol)
                if solution is not None and (atom not in found or _cost(_text(solution)) < _cost(_text(found[atom]))):
                    found[atom] = solution
        return found

    def _isolate(self, atom: Atom, value: Polynomial, symbol: Polynomial) -> Polynomial | None:
        """Solves `value = factor*atom + rest` for the atom."""
        factor: dict[Monomial, int] = {}
        rest: dict[Monomial, int] = {}
        for monomial, coefficient in value.terms.items():
            other = cofactor(monomial, (atom,))
            if other is None:
                rest[monomial] = coefficient
            else:
                factor[other] = coefficient
        if any(atom in monomial for monomial in factor):
            return None
        divisor, summand = self._solve(Polynomial(factor), 0), self._solve(Polynomial(rest), 0)
        if divisor is None or summand is None or not divisor.terms:
            return None
        return canonical.floor_divide(symbol - summand, divisor)

    def _solve(self, target: Polynomial, reductions: int) -> Polynomial | None:
        """The shortest solution that divides by at most so many known values one after the other."""
        if target in self._values:
            return self._values[target]
        if (target, reductions) not in self._found:
            solutions = self._solutions(target, reductions)
            self._found[target, reductions] = min(solutions, key=lambda found: _cost(_text(found)), default=None)
        return self._found[target, reductions]

    def _solutions(self, target: Polynomial, reductions: int) -> Iterator[Polynomial]:
        termwise = self._termwise(target, reductions)
        if termwise is not None:
            yield termwise
        if not reductions:
            return
        for value, symbol in self._values.items():
            upright = value.leading()[1] > 0
            times, rest = target.reduce(value if upright else -value)
            if times.terms:
                factor, summand = self._solve(times, reductions - 1), self._solve(rest, reductions - 1)
                if factor is not None and summand is not None:
                    yield factor * (symbol if upright else -symbol) + summand

    def _termwise(self, target: Polynomial, reductions: int) -> Polynomial | None:
        total = Polynomial({})
        for monomial, coefficient in target.terms.items():
            term = Polynomial.of(coefficient)
            for atom in monomial:
                solution = self._atom(atom, reductions)
                if solution is None:
                    return None
                term *= solution
            total += term
        return total

    def _atom(self, atom: Atom, reductions: int) -> Polynomial | None:
        if atom in self._atoms:
            return self._atoms[atom]
        match atom:
            case Quotient():
                numerator, divisor = self._solve(atom.numerator, reductions), self._solve(atom.divisor, reductions)
                if numerator is not None and divisor is not None:
                    return canonical.floor_divide(numerator, divisor)
                return self._from_inner(atom, reductions)
            case Extreme():
                choices = [self._solve(choice, reductions) for choice in atom.choices]
                solved = tuple(choice for choice in choices if choice is not None)
                return canonical.extreme(atom.kind, solved) if len(solved) == len(choices) else None
            case _:
                return None

    def _from_inner(self, atom: Quotient, reductions: int) -> Polynomial | None:
        """The division of a quotient that is known, such as `H//4` from `H//2`."""
        for inner, solution in self._atoms.items():
            outer = notation.nested(atom, inner) if isinstance(inner, Quotient) else None
            summand = None if outer is None else self._solve(outer[0], reductions)
            if outer is not None and summand is not None:
                return canonical.floor_divide(solution + summand, Polynomial.of(outer[1]))
        return None


def _unbreakable(text: str) -> str:
    """The expression, in parentheses unless it can stand beside any operator."""
    node = ast.parse(text, mode="eval").body
    return text if isinstance(node, ast.Name | ast.Attribute | ast.Subscript | ast.Call) else f"({text})"


def _text(solution: Polynomial) -> str:
    return notation.write(solution, lambda symbol: symbol.name)
