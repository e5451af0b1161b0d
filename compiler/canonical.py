"""Floor division, minimum and maximum of polynomials, reduced until only what no rule resolves is left as an atom."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import reduce
from math import gcd, prod
from typing import Literal
from weakref import WeakValueDictionary

from dlc.compiler.interval import bounds, quotient_bounds
from dlc.compiler.polynomial import Atom, Extreme, Monomial, Polynomial, Quotient, Symbol, Terms, cofactor, order

_quotients: WeakValueDictionary[tuple[Polynomial, Polynomial], Quotient] = WeakValueDictionary()
_extremes: WeakValueDictionary[tuple[str, tuple[Polynomial, ...]], Extreme] = WeakValueDictionary()


def floor_divide(numerator: Polynomial, divisor: Polynomial) -> Polynomial:
    """`numerator // divisor` for every value of the symbols at which the divisor is not 0.

    Multiples of the divisor are taken out, so that by a constant d the numerator keeps coefficients and an offset
    in [0, d). Raises ZeroDivisionError if the divisor is the constant 0.
    """
    if not divisor.terms:
        raise ZeroDivisionError("a dimension is divided by 0")
    if divisor.leading()[1] < 0:
        numerator, divisor = -numerator, -divisor
    whole, rest = _take_out(numerator, divisor)
    shared = reduce(_common, [*rest.terms, *divisor.terms])
    if shared:
        return whole + _without(shared, rest, divisor)
    least = bounds(divisor)[0]
    positive = least is not None and least >= 0
    if positive and _is_negative(rest):
        return whole - _by_reduced(divisor - rest - Polynomial.of(1), divisor, positive)
    return whole + _by_reduced(rest, divisor, positive)


def _is_negative(polynomial: Polynomial) -> bool:
    """Whether all coefficients are negative, whatever the offset is; of a constant, whether that is."""
    constant = polynomial.constant
    if constant is not None:
        return constant < 0
    return all(coefficient < 0 for monomial, coefficient in polynomial.terms.items() if monomial)


def _by_reduced(numerator: Polynomial, divisor: Polynomial, positive: bool) -> Polynomial:
    whole, rest = numerator.reduce(divisor) if len(divisor.terms) == 1 else _take_out(numerator, divisor)
    shared = reduce(_common, [*rest.terms, *divisor.terms])
    if shared:
        return whole + _without(shared, rest, divisor)
    factor = gcd(rest.content(), divisor.content(), divisor.offset)
    if not positive:
        factor = gcd(factor, rest.offset)
    if factor > 1:
        number = Polynomial.of(factor)
        rest, divisor = rest.reduce(number)[0], divisor.reduce(number)[0]
    if divisor.constant == 1:
        return whole + rest
    return whole + (_settled(rest, divisor, positive) or Polynomial.of(_quotient(rest, divisor)))


def _without(factor: Monomial, numerator: Polynomial, divisor: Polynomial) -> Polynomial:
    """The quotient by way of cancelling a factor of all terms, which the divisor makes known not to be 0."""
    monomial = Polynomial({factor: 1})
    return floor_divide(numerator.reduce(monomial)[0], divisor.reduce(monomial)[0])


def _take_out(numerator: Polynomial, divisor: Polynomial) -> tuple[Polynomial, Polynomial]:
    """Splits off the terms that are exact multiples of a single term; of a sum, what makes the rest shorter."""
    if len(divisor.terms) > 1:
        whole, rest = numerator.reduce(divisor)
        return (whole, rest) if len(rest.terms) < len(numerator.terms) else (Polynomial({}), numerator)
    lead, unit = divisor.leading()
    whole, rest = Terms(), Terms()
    for monomial, coefficient in numerator.terms.items():
        other = cofactor(monomial, lead)
        if other is None or coefficient % unit:
            rest[monomial] = coefficient
        else:
            whole[other] = coefficient // unit
    return Polynomial(whole), Polynomial(rest)


def _common(left: Monomial, right: Monomial) -> Monomial:
    shared: list[Atom] = []
    remaining = list(right)
    for atom in left:
        if atom in remaining:
            remaining.remove(atom)
            shared.append(atom)
    return tuple(shared)


def _settled(numerator: Polynomial, divisor: Polynomial, positive: bool) -> Polynomial | None:
    """The quotient where bounds tell it or the numerator holds a quotient that the division can go into."""
    if not numerator.terms:
        return Polynomial({})
    if not positive:
        return None
    low, high = bounds(numerator)
    constant = divisor.constant
    if constant is not None and low is not None and high is not None and low // constant == high // constant:
        return Polynomial.of(low // constant)
    if constant is None and low is not None and low >= 0:
        gap = bounds(divisor - numerator)[0]
        if gap is not None and gap > 0:
            return Polynomial({})
    nested = [atom for atom in numerator.atoms() if isinstance(atom, Quotient) and numerator.terms.get((atom,)) == 1]
    if len(nested) != 1:
        return None
    inner = nested[0]
    outside = numerator - Polynomial.of(inner)
    return floor_divide(outside * inner.divisor + inner.numerator, inner.divisor * divisor)


def _quotient(numerator: Polynomial, divisor: Polynomial) -> Quotient:
    atom = _quotients.get((numerator, divisor))
    if atom is None:
        atom = Quotient(numerator, divisor, quotient_bounds(numerator, divisor))
        _quotients[numerator, divisor] = atom
    return atom


def extreme(kind: Literal["min", "max"], choices: tuple[Polynomial, ...]) -> Polynomial:
    """The least or greatest of one or more polynomials, without those that another one always outdoes.

    An offset and a number that all share are taken out: `max(2*N + 2, 4)` is `2*max(N, 1) + 2`.
    """
    kept: list[Polynomial] = []
    for choice in sorted(_flatten(kind, choices), key=_choice_order):
        if not any(_outdoes(kind, other, choice) for other in kept):
            kept = [other for other in kept if not _outdoes(kind, choice, other)] + [choice]
    if len(kept) == 1:
        return kept[0]
    offset = min(choice.offset for choice in kept)
    kept = [choice.shift(-offset) for choice in kept]
    factor = gcd(*(c for choice in kept for c in choice.terms.values()))
    kept = sorted((choice.reduce(Polynomial.of(factor))[0] for choice in kept), key=_choice_order)
    return Polynomial.of(_extreme(kind, tuple(kept))).scale(factor).shift(offset)


def _flatten(kind: Literal["min", "max"], choices: tuple[Polynomial, ...]) -> dict[Polynomial, None]:
    flat: dict[Polynomial, None] = {}
    for choice in choices:
        atom, factor = _sole_extreme(choice)
        if atom is not None and (atom.kind == kind) == (factor > 0):
            for inner in atom.choices:
                flat[inner.scale(factor).shift(choice.offset)] = None
        else:
            flat[choice] = None
    return flat


def _sole_extreme(choice: Polynomial) -> tuple[Extreme | None, int]:
    """The minimum or maximum that `choice` is but for a factor and an offset, and that factor."""
    terms = [(monomial, c) for monomial, c in choice.terms.items() if monomial]
    if len(terms) == 1 and len(terms[0][0]) == 1 and isinstance(terms[0][0][0], Extreme):
        return terms[0][0][0], terms[0][1]
    return None, 0


def _outdoes(kind: str, winner: Polynomial, loser: Polynomial) -> bool:
    low = bounds(winner - loser if kind == "max" else loser - winner)[0]
    return low is not None and low >= 0


def _choice_order(choice: Polynomial) -> list[tuple[tuple[int, tuple[tuple[int, str, int], ...]], int]]:
    return [(order(monomial), c) for monomial, c in choice.ordered() if monomial] + [(order(()), choice.offset)]


def _extreme(kind: Literal["min", "max"], choices: tuple[Polynomial, ...]) -> Extreme:
    atom = _extremes.get((kind, choices))
    if atom is None:
        ranges = [bounds(choice) for choice in choices]
        lows = [low for low, _ in ranges if low is not None]
        highs = [high for _, high in ranges if high is not None]
        if kind == "max":
            interval = max(lows, default=None), max(highs) if len(highs) == len(ranges) else None
        else:
            interval = min(lows) if len(lows) == len(ranges) else None, min(highs, default=None)
        atom = Extreme(kind, choices, interval)
        _extremes[kind, choices] = atom
    return atom


def rewrite(polynomial: Polynomial, replace: Callable[[Atom], Polynomial | None]) -> Polynomial:
    """The polynomial with every atom for which `replace` gives a polynomial replaced by it.

    Divisions, minima and maxima that it gives None for are made anew from their rewritten parts; a symbol that it
    gives None for stays.
    """
    known: dict[Atom, Polynomial] = {}

    def atom_as(atom: Atom) -> Polynomial:
        found = known.get(atom) or replace(atom)
        if found is None:
            match atom:
                case Quotient():
                    found = floor_divide(whole(atom.numerator), whole(atom.divisor))
                case Extreme():
                    found = extreme(atom.kind, tuple(whole(choice) for choice in atom.choices))
                case _:
                    found = Polynomial.of(atom)
        known[atom] = found
        return found

    def whole(part: Polynomial) -> Polynomial:
        total = Polynomial({})
        for monomial, coefficient in part.terms.items():
            term = Polynomial.of(coefficient)
            for atom in monomial:
                term *= atom_as(atom)
            total += term
        return total

    return whole(polynomial)


def evaluate(polynomial: Polynomial, values: Mapping[Symbol, int]) -> int:
    """The value at the symbols' values. Raises KeyError for a symbol without one, ZeroDivisionError as Python does."""
    known: dict[Atom, int] = {}

    def atom_at(atom: Atom) -> int:
        if atom not in known:
            match atom:
                case Symbol():
                    known[atom] = values[atom]
                case Quotient():
                    known[atom] = whole(atom.numerator) // whole(atom.divisor)
                case Extreme():
                    choices = [whole(choice) for choice in atom.choices]
                    known[atom] = min(choices) if atom.kind == "min" else max(choices)
                case _:
                    raise TypeError(f"{type(atom).__name__} is not a kind of atom")
        return known[atom]

    def whole(part: Polynomial) -> int:
        return sum(
            coefficient * prod(atom_at(atom) for atom in monomial) for monomial, coefficient in part.terms.items()
        )

    return whole(polynomial)
