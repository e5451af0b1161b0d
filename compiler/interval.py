"""Bounds of polynomials: what is known of a dimension's value without knowing its symbols.

A floor division is replaced by what bounds it, `(n - d + 1)/d <= n//d <= n/d`, and a minimum or maximum by each of
its choices, so that terms that depend on each other cancel before each is bounded on its own.
"""

from __future__ import annotations

from math import prod

from dlc.compiler.polynomial import (
    Extreme,
    Interval,
    Monomial,
    Polynomial,
    Quotient,
    Terms,
    accumulate,
    cofactor,
    product,
)

_MAX_STEPS = 8
_MAX_BRANCHING = 3
_MAX_TERMS = 256


def bounds(polynomial: Polynomial) -> Interval:
    """An interval that holds every value the polynomial takes, each symbol being at least its `least`."""
    value = polynomial.constant
    if value is not None:
        return value, value
    upper = _lower({monomial: -c for monomial, c in polynomial.terms.items()})
    return _lower(polynomial.terms), None if upper is None else -upper


def quotient_bounds(numerator: Polynomial, divisor: Polynomial) -> Interval:
    """The bounds of `numerator // divisor` where the divisor is not 0."""
    (low, high), (least, most) = bounds(numerator), bounds(divisor)
    if least is None or least < 0:
        return None, None
    least = max(least, 1)
    lower = None if low is None else low // least if low < 0 else low // most if most else 0
    upper = None if high is None else high // least if high >= 0 else high // most if most else -1
    return lower, upper


def _lower(terms: Terms, scale: int = 1, steps: int = _MAX_STEPS, branching: int = _MAX_BRANCHING) -> int | None:
    """The greatest lower bound found of `terms / scale`, where that is an integer."""
    best = _termwise(terms)
    best = None if best is None else -(-best // scale)
    compound = max(
        (atom for monomial in terms for atom in monomial if isinstance(atom, Quotient | Extreme)),
        key=lambda atom: atom.key,
        default=None,
    )
    if compound is None or not steps or len(terms) > _MAX_TERMS:
        return best
    if isinstance(compound, Extreme):
        found = _by_choices(terms, scale, compound, steps, branching)
    else:
        found = _without_quotient(terms, scale, compound, steps, branching)
    return found if best is None else best if found is None else max(best, found)


def _without_quotient(terms: Terms, scale: int, atom: Quotient, steps: int, branching: int) -> int | None:
    """Bounds every term `c*m*(n//d)` below by `c*m*n/d`, or `c*m*(n - d + 1)/d` if c is positive."""
    divisor = atom.divisor
    if len(divisor.terms) != 1 or not _is_natural(divisor.leading()[0]) or divisor.leading()[1] < 0:
        return None
    inside, unit = divisor.leading()
    above = atom.numerator.terms
    below = dict(above)
    accumulate(below, divisor.terms, factor=-1)
    accumulate(below, {(): 1})
    replaced: Terms = {}
    for monomial, coefficient in terms.items():
        other = cofactor(monomial, (atom, *inside))
        if other is not None and atom not in other and _is_natural(other):
            accumulate(replaced, below if coefficient > 0 else above, other, coefficient)
        elif atom in monomial:
            return None
        else:
            accumulate(replaced, {monomial: coefficient * unit})
    return _lower(replaced, scale * unit, steps - 1, branching)


def _by_choices(terms: Terms, scale: int, atom: Extreme, steps: int, branching: int) -> int | None:
    """The least of the bounds with each choice in turn; the greatest, if the atom only helps to exceed each."""
    if not branching or any(monomial.count(atom) > 1 for monomial in terms):
        return None
    cases: list[int | None] = []
    for choice in atom.choices:
        replaced: Terms = {}
        for monomial, coefficient in terms.items():
            other = cofactor(monomial, (atom,))
            if other is None:
                accumulate(replaced, {monomial: coefficient})
            else:
                accumulate(replaced, choice.terms, other, coefficient)
        cases.append(_lower(replaced, scale, steps - 1, branching - 1))
    helpful = all(
        (coefficient > 0) == (atom.kind == "max") and _is_natural(cofactor(monomial, (atom,)) or ())
        for monomial, coefficient in terms.items()
        if atom in monomial
    )
    found = [case for case in cases if case is not None]
    if helpful:
        return max(found, default=None)
    return min(found) if len(found) == len(cases) else None


def _is_natural(monomial: Monomial) -> bool:
    return all(atom.interval[0] is not None and atom.interval[0] >= 0 for atom in monomial)


def _termwise(terms: Terms) -> int | None:
    """The sum of the terms' own lower bounds, atoms being counted from their least value where that is possible."""
    counted: Terms = {}
    expanded = sum(prod(2 if atom.interval[0] else 1 for atom in monomial) for monomial in terms)
    shifting = expanded <= _MAX_TERMS
    for monomial, coefficient in terms.items():
        parts: Terms = {(): coefficient}
        for atom in monomial:
            whole = parts
            parts = {product(part, (atom,)): c for part, c in whole.items()}
            if shifting and atom.interval[0]:
                accumulate(parts, whole, factor=atom.interval[0])
        accumulate(counted, parts)
    total = 0
    for monomial, coefficient in counted.items():
        low = _term_lower(monomial, coefficient, shifting)
        if low is None:
            return None
        total += low
    return total


def _term_lower(monomial: Monomial, coefficient: int, shifted: bool) -> int | None:
    interval: Interval = (coefficient, coefficient)
    for atom in monomial:
        low, high = atom.interval
        if shifted and low:
            low, high = 0, None if high is None else high - low
        interval = _times(interval, (low, high))
    return interval[0]


def _times(left: Interval, right: Interval) -> Interval:
    """The bounds of a product of two factors within these bounds."""
    (a, b), (c, d) = left, right
    if (a, b) == (0, 0) or (c, d) == (0, 0):
        return 0, 0
    if a is not None and a >= 0 and c is not None and c >= 0:
        return a * c, None if b is None or d is None else b * d
    if b is not None and b <= 0:
        low, high = _times((-b, None if a is None else -a), right)
        return None if high is None else -high, None if low is None else -low
    if d is not None and d <= 0:
        return _times(right, left)
    if a is None or b is None or c is None or d is None:
        return None, None
    corners = (a * c, a * d, b * c, b * d)
    return min(corners), max(corners)
