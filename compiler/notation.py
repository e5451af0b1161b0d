"""Polynomials as text in Python's syntax.

The canonical form spreads a division over several terms: `N - 2*(N//2)`, `N + N//2`. Where that is shorter, such
terms are written together again: `N % 2`, `3*N//2`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import groupby
from math import gcd

from dlc.compiler.polynomial import (
    MAX_TERMS,
    Atom,
    DimOverflow,
    Extreme,
    Monomial,
    Polynomial,
    Quotient,
    Symbol,
    Terms,
    accumulate,
    cofactor,
    product,
)


@dataclass(frozen=True, slots=True)
class _Piece:
    """A summand: `coefficient * monomial`, times `numerator // divisor` or `numerator % divisor` if there is one."""

    coefficient: int
    monomial: Monomial
    operator: str = ""
    numerator: Polynomial | None = None
    divisor: Polynomial | None = None


def write(polynomial: Polynomial, name: Callable[[Symbol], str], floor: str = "//") -> str:
    """The polynomial with as few parentheses as Python needs; `name` gives what stands for a symbol, unbreakable."""
    return _Writer(name, floor).sum(polynomial)


class _Writer:
    def __init__(self, name: Callable[[Symbol], str], floor: str) -> None:
        self._name = name
        self._floor = floor
        self._written: dict[Atom, str] = {}

    def sum(self, polynomial: Polynomial) -> str:
        pieces = _pieces(polynomial)
        first = next((index for index, piece in enumerate(pieces) if piece.coefficient > 0), 0)
        pieces.insert(0, pieces.pop(first))
        text = self._piece(pieces[0], alone=pieces[0].coefficient > 0)
        if pieces[0].coefficient < 0:
            text = f"-{text}"
        for piece in pieces[1:]:
            text += f" {'-' if piece.coefficient < 0 else '+'} {self._piece(piece, alone=True)}"
        return text

    def _piece(self, piece: _Piece, alone: bool) -> str:
        """The summand without its sign; `alone` says that a division need not be protected from what precedes it."""
        factors = [self._power(atom, len(list(equal))) for atom, equal in groupby(piece.monomial)]
        if piece.numerator is not None and piece.divisor is not None:
            factors.append(self._division(piece.numerator, piece.operator, piece.divisor))
        if abs(piece.coefficient) != 1 or not factors:
            factors.insert(0, str(abs(piece.coefficient)))
        if piece.operator and (len(factors) > 1 or not alone):
            factors[-1] = f"({factors[-1]})"
        return "*".join(factors)

    def _division(self, numerator: Polynomial, operator: str, divisor: Polynomial) -> str:
        above = self.sum(numerator)
        pieces = _pieces(numerator)
        if len(pieces) > 1 or pieces[0].operator == "%":
            above = f"({above})"
        below = self.sum(divisor)
        if not _is_power(divisor):
            below = f"({below})"
        return f"{above} % {below}" if operator == "%" else f"{above}{self._floor}{below}"

    def _power(self, atom: Atom, exponent: int) -> str:
        text = self._atom(atom)
        if exponent == 1:
            return f"({text})" if isinstance(atom, Quotient) else text
        return f"({text})**{exponent}" if isinstance(atom, Quotient) else f"{text}**{exponent}"

    def _atom(self, atom: Atom) -> str:
        if atom not in self._written:
            match atom:
                case Symbol():
                    text = self._name(atom)
                case Quotient():
                    text = self._division(atom.numerator, "//", atom.divisor)
                case Extreme():
                    text = f"{atom.kind}({', '.join(self.sum(choice) for choice in atom.choices)})"
                case _:
                    raise TypeError(f"{type(atom).__name__} is not a kind of atom")
            self._written[atom] = text
        return self._written[atom]


def _is_power(polynomial: Polynomial) -> bool:
    """Whether it is written without an operator that binds as loosely as division."""
    constant = polynomial.constant
    if constant is not None:
        return constant >= 0
    if len(polynomial.terms) > 1 or polynomial.leading()[1] != 1:
        return False
    monomial = polynomial.leading()[0]
    return len(set(monomial)) == 1 and (monomial.count(monomial[0]) > 1 or not isinstance(monomial[0], Quotient))


def _pieces(polynomial: Polynomial) -> list[_Piece]:
    """The summands to write, at least one: the terms in order, divisions written with others where that is shorter."""
    rest = dict(polynomial.terms)
    divided: dict[Monomial, _Piece] = {}
    for monomial, _ in polynomial.ordered():
        atom = monomial[-1] if monomial else None
        if monomial in rest and isinstance(atom, Quotient) and monomial.count(atom) == 1:
            shorter = _shorter(rest, monomial, atom)
            if shorter is not None:
                divided[monomial], rest = shorter
    pieces = [
        divided.get(monomial) or _alone(monomial, rest[monomial])
        for monomial, _ in polynomial.ordered()
        if monomial in divided or monomial in rest
    ]
    return pieces or [_Piece(0, ())]


def _alone(monomial: Monomial, coefficient: int) -> _Piece:
    for atom in monomial:
        if isinstance(atom, Symbol) and atom.whole is not None and monomial.count(atom) == 1:
            others = tuple(other for other in monomial if other is not atom)
            return _share(coefficient, others, atom.whole, atom.share)
    atom = monomial[-1] if monomial else None
    if isinstance(atom, Quotient) and monomial.count(atom) == 1:
        return _Piece(coefficient, monomial[:-1], "//", atom.numerator, atom.divisor)
    return _Piece(coefficient, monomial)


def _share(coefficient: int, others: Monomial, whole: Symbol, share: int) -> _Piece:
    """`coefficient` times the `share`-th part of `whole`, in terms of `whole`."""
    common = gcd(coefficient, share)
    if common == share:
        return _Piece(coefficient // share, (*others, whole))
    return _Piece(coefficient // common, others, "//", Polynomial.of(whole), Polynomial.of(share // common))


def _shorter(terms: Terms, monomial: Monomial, atom: Quotient) -> tuple[_Piece, Terms] | None:
    """How best to write the term at `monomial`, a multiple of the quotient `atom`, together with others, if that is
    shorter than on its own; and the terms that are then left."""
    coefficient = terms[monomial]
    other = monomial[:-1]
    rest = {place: c for place, c in terms.items() if place != monomial}
    options = [(_alone(monomial, coefficient), rest), *_as_remainder(rest, coefficient, other, atom)]
    for factor in (abs(coefficient), -abs(coefficient)):
        for with_offset in (False, True):
            options += _with_sum(rest, factor, factor == coefficient, other, atom, with_offset)
    best = min(options, key=lambda option: _length(*option))
    return None if best is options[0] else best


def _length(piece: _Piece, rest: Terms) -> int:
    """A measure of the text's length: two for an operand, one for a coefficient before it, two for a leading minus."""
    numerator = piece.numerator.terms if piece.numerator else Terms()
    parts = [*rest.items(), *numerator.items()]
    operands = sum(2 + (abs(c) != 1 and monomial != ()) for monomial, c in parts)
    inverted = all(c < 0 for c in numerator.values())
    return operands + 2 * inverted + 2 * len(piece.monomial) + (abs(piece.coefficient) != 1)


def _as_remainder(rest: Terms, coefficient: int, other: Monomial, atom: Quotient) -> list[tuple[_Piece, Terms]]:
    """`k*m*n - k*m*d*(n//d)` as `k*m*(n % d)`, where that takes up terms without leaving new ones."""
    found: list[tuple[_Piece, Terms]] = []
    for numerator, divisor in [(atom.numerator, atom.divisor), *_nestings(rest, atom)]:
        if len(divisor.terms) != 1:
            continue
        inside, unit = divisor.leading()
        outside = cofactor(other, inside)
        if outside is None or coefficient % unit:
            continue
        times = -coefficient // unit
        left = dict(rest)
        accumulate(left, numerator.terms, outside, -times)
        if left.keys() <= rest.keys():
            found.append((_Piece(times, outside, "%", numerator, divisor), left))
    return found


def _nestings(rest: Terms, atom: Quotient) -> list[tuple[Polynomial, Polynomial]]:
    """The ways to write `n//d` as `(i + s)//(d//e)`, where `rest` has the quotient `i`, by e."""
    found: list[tuple[Polynomial, Polynomial]] = []
    for inner in Polynomial(rest).atoms():
        if isinstance(inner, Quotient):
            outer = nested(atom, inner)
            if outer is not None:
                found.append((Polynomial.of(inner) + outer[0], Polynomial.of(outer[1])))
    return found


def nested(atom: Quotient, inner: Quotient) -> tuple[Polynomial, int] | None:
    """The sum s and number f with which `atom` is `(inner + s)//f`, if there are such."""
    whole, unit = atom.divisor.constant, inner.divisor.constant
    if whole is None or unit is None or whole % unit:
        return None
    if len(atom.numerator.terms) + len(inner.numerator.terms) >= MAX_TERMS:
        return None
    outside = (atom.numerator - inner.numerator).divide(inner.divisor)
    return None if outside is None else (outside, whole // unit)


def _with_sum(
    rest: Terms, factor: int, upright: bool, other: Monomial, atom: Quotient, with_offset: bool
) -> list[tuple[_Piece, Terms]]:
    """`k*m*(n//d) + k*m*s` as `k*m*((n + d*s)//d)`; upside down, `k*m*s - k*m*(n//d)` as the ceiling."""
    divisor = atom.divisor.constant
    if divisor is None:
        return []
    left, taken = dict(rest), Terms()
    for inner in atom.numerator.terms | {(): 0}:
        place = product(other, inner)
        if (inner or with_offset) and rest.get(place, 0) % factor == 0 and place in rest:
            taken[inner] = left.pop(place) // factor
    try:
        numerator = atom.numerator if upright else -atom.numerator.shift(1 - divisor)
        whole = numerator + Polynomial(taken).scale(divisor)
    except DimOverflow:  # too large to be the shorter way to write it
        return []
    return [(_Piece(factor, other, "//", whole, atom.divisor), left)] if taken else []
