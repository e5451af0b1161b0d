"""Polynomials with integer coefficients over atoms: what a symbolic dimension is made of.

An atom is a symbol, or a floor division, minimum or maximum that no rule could take apart. Atoms are interned: two
equal ones are one object, so that polynomials compare by their terms. Terms are ordered by degree, then by atoms.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import count
from math import gcd
from operator import attrgetter
from typing import Literal

Interval = tuple[int | None, int | None]
"""The least and the greatest value, both included; None where there is no such bound."""

MAX_TERMS = 200
MAX_COEFFICIENT = 2**63 - 1
MAX_EXPONENT = 16
MAX_DEPTH = 32
MAX_SIZE = 1000


class DimOverflow(Exception):
    """A symbolic integer grew beyond what the compiler handles."""


class Atom:
    """An indivisible factor of a term.

    `symbols` are those that its value depends on, `depth` is how far atoms nest, `size` how many symbols and terms
    it is written with.
    """

    __slots__ = ("__weakref__", "depth", "interval", "key", "size", "symbols")

    key: tuple[int, str, int]
    depth: int
    size: int
    interval: Interval
    symbols: frozenset[Symbol]


_serial = count()


class Symbol(Atom):
    """A named unknown integer, not less than `least`. Two symbols are the same only if they are one object.

    A symbol may stand for an exact share of another one: `whole` is known to be `share` times it, and it is written
    as `whole//share`.
    """

    __slots__ = ("least", "name", "share", "uid", "whole")

    def __init__(self, name: str, least: int | None = 0, *, whole: Symbol | None = None, share: int = 1) -> None:
        self.name = name
        self.whole = whole
        self.share = share
        self.uid = next(_serial)
        self.least = least
        self.key = (0, name, self.uid)
        self.depth = 0
        self.size = 1
        self.interval = (least, None)
        self.symbols = frozenset((self,))

    def __repr__(self) -> str:
        return f"Symbol({self.name!r}, {self.uid})"


class _Compound(Atom):
    __slots__ = ()

    def _describe(self, parts: Sequence[Polynomial], interval: Interval) -> None:
        inner = [atom for part in parts for monomial in part.terms for atom in monomial]
        self.key = (1, "", next(_serial))
        self.depth = 1 + max((atom.depth for atom in inner), default=0)
        self.size = sum(len(part.terms) for part in parts) + sum(atom.size for atom in inner)
        self.interval = interval
        self.symbols = frozenset[Symbol]().union(*(atom.symbols for atom in inner))
        if self.depth > MAX_DEPTH:
            raise DimOverflow(f"a dimension nests more than {MAX_DEPTH} divisions, minima and maxima")
        if self.size > MAX_SIZE:
            raise DimOverflow(f"a division, minimum or maximum of dimensions has more than {MAX_SIZE} parts")


class Quotient(_Compound):
    """`numerator // divisor`. Made by `canonical.floor_divide` alone, which sees to it that it is in lowest terms."""

    __slots__ = ("divisor", "numerator")

    def __init__(self, numerator: Polynomial, divisor: Polynomial, interval: Interval) -> None:
        self.numerator = numerator
        self.divisor = divisor
        self._describe((numerator, divisor), interval)


class Extreme(_Compound):
    """The minimum or maximum of two or more polynomials, in the order of the terms. Made by `canonical.extreme`."""

    __slots__ = ("choices", "kind")

    def __init__(self, kind: Literal["min", "max"], choices: tuple[Polynomial, ...], interval: Interval) -> None:
        self.kind: Literal["min", "max"] = kind
        self.choices = choices
        self._describe(choices, interval)


Monomial = tuple[Atom, ...]
"""A product of atoms, sorted by their keys, each as often as its exponent says; () is 1."""

Terms = dict[Monomial, int]
"""The coefficient of each monomial, never 0."""

_key = attrgetter("key")


def order(monomial: Monomial) -> tuple[int, tuple[tuple[int, str, int], ...]]:
    """The sort key of terms: higher degrees first, then by atoms. Multiplying by an atom keeps the order."""
    return -len(monomial), tuple(atom.key for atom in monomial)


def product(left: Monomial, right: Monomial) -> Monomial:
    return tuple(sorted(left + right, key=_key)) if left and right else left or right


def cofactor(monomial: Monomial, divisor: Monomial) -> Monomial | None:
    """What is left of `monomial` without the atoms of `divisor`, or None if it lacks one of them."""
    remaining = list(monomial)
    for atom in divisor:
        if atom not in remaining:
            return None
        remaining.remove(atom)
    return tuple(remaining)


def accumulate(into: Terms, terms: Mapping[Monomial, int], monomial: Monomial = (), factor: int = 1) -> None:
    """Adds `terms * monomial * factor` to `into`."""
    for inner, coefficient in terms.items():
        place = product(inner, monomial)
        total = into.get(place, 0) + coefficient * factor
        if total:
            into[place] = total
        else:
            into.pop(place, None)


class Polynomial:
    """An immutable sum of terms. Equality is that of the terms. Raises DimOverflow where it would grow too large."""

    __slots__ = ("_hash", "terms")

    def __init__(self, terms: Terms) -> None:
        if len(terms) > MAX_TERMS:
            raise DimOverflow(f"a dimension has more than {MAX_TERMS} terms")
        if any(abs(coefficient) > MAX_COEFFICIENT for coefficient in terms.values()):
            raise DimOverflow("a dimension has a factor beyond 2**63 - 1")
        self.terms = terms
        self._hash = 0

    @classmethod
    def of(cls, value: int | Atom) -> Polynomial:
        if isinstance(value, Atom):
            return cls({(value,): 1})
        return cls({(): value} if value else {})

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Polynomial) and self.terms == other.terms

    def __hash__(self) -> int:
        if not self._hash:
            self._hash = hash(frozenset(self.terms.items()))
        return self._hash

    @property
    def constant(self) -> int | None:
        """The value, if there is no atom in it."""
        if not self.terms:
            return 0
        return self.terms.get(()) if len(self.terms) == 1 else None

    @property
    def offset(self) -> int:
        return self.terms.get((), 0)

    def atoms(self) -> dict[Atom, None]:
        """The atoms of the terms, without those within atoms, each once and in a fixed order."""
        return dict.fromkeys(atom for monomial in self.terms for atom in monomial)

    def ordered(self) -> list[tuple[Monomial, int]]:
        return sorted(self.terms.items(), key=lambda term: order(term[0]))

    def leading(self) -> tuple[Monomial, int]:
        """The first term. Raises ValueError if this is 0."""
        monomial = min(self.terms, key=order)
        return monomial, self.terms[monomial]

    def content(self) -> int:
        """The greatest common divisor of the coefficients, leaving out the offset; 0 if there are none."""
        return gcd(*(coefficient for monomial, coefficient in self.terms.items() if monomial))

    def __add__(self, other: Polynomial) -> Polynomial:
        terms = dict(self.terms)
        accumulate(terms, other.terms)
        return Polynomial(terms)

    def __sub__(self, other: Polynomial) -> Polynomial:
        terms = dict(self.terms)
        accumulate(terms, other.terms, factor=-1)
        return Polynomial(terms)

    def __neg__(self) -> Polynomial:
        return self.scale(-1)

    def __mul__(self, other: Polynomial) -> Polynomial:
        terms: Terms = {}
        for monomial, coefficient in other.terms.items():
            accumulate(terms, self.terms, monomial, coefficient)
        for monomial in terms:
            if len(monomial) > MAX_EXPONENT and any(monomial.count(atom) > MAX_EXPONENT for atom in monomial):
                raise DimOverflow(f"a dimension has an exponent above {MAX_EXPONENT}")
        return Polynomial(terms)

    def scale(self, factor: int) -> Polynomial:
        return Polynomial({monomial: c * factor for monomial, c in self.terms.items()} if factor else {})

    def shift(self, offset: int) -> Polynomial:
        return self + Polynomial.of(offset)

    def reduce(self, divisor: Polynomial) -> tuple[Polynomial, Polynomial]:
        """The quotient and remainder of long division by a `divisor` whose leading coefficient is positive.

        No term of the remainder is a multiple of the divisor's leading monomial with a coefficient outside
        [0, leading coefficient), so that adding a multiple of the divisor changes only the quotient.
        """
        lead, unit = divisor.leading()
        tail = {monomial: c for monomial, c in divisor.terms.items() if monomial != lead}
        pending, quotient, remainder = dict(self.terms), Terms(), Terms()
        while pending:
            monomial = min(pending, key=order) if tail else next(iter(pending))
            coefficient = pending.pop(monomial)
            other = cofactor(monomial, lead)
            if other is not None:
                times, coefficient = divmod(coefficient, unit)
                accumulate(quotient, {other: times} if times else {})
                accumulate(pending, tail, other, -times)
            if coefficient:
                remainder[monomial] = coefficient
            if len(pending) > 2 * MAX_TERMS:
                raise DimOverflow(f"a division of dimensions has more than {2 * MAX_TERMS} terms")
        return Polynomial(quotient), Polynomial(remainder)

    def divide(self, divisor: Polynomial) -> Polynomial | None:
        """The polynomial that times `divisor` is this one, or None if there is none; `divisor` is not 0."""
        if divisor.leading()[1] < 0:
            return (-self).divide(-divisor)
        quotient, remainder = self.reduce(divisor)
        return None if remainder.terms else quotient
