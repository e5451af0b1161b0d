"""Symbolic integers: the static integers of the language, dimensions of tensors among them.

Every `Dim` is in canonical form when it is made, so that two that are written differently, such as
`(H - 1)//2 + 1` and `(H + 1)//2`, compare equal. Constants are plain integers inside.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

from dlc.compiler import canonical, interval, notation
from dlc.compiler.polynomial import (
    MAX_COEFFICIENT,
    MAX_EXPONENT,
    DimOverflow,
    Interval,
    Polynomial,
    Symbol,
)

__all__ = ["Dim", "DimOverflow", "Symbol"]


def _symbol_name(symbol: Symbol) -> str:
    return symbol.name


class Dim:
    """An immutable integer that may depend on symbols, with the operators of int.

    `==` and `hash` are those of the canonical form, and those of int for a constant; `equals` also proves what the
    canonical form does not show. A quotient is that of the values at which its divisor is not 0, so that `N*T//N`
    is `T`. Operators raise ZeroDivisionError for the divisor 0 and DimOverflow where a result becomes too large.
    """

    __slots__ = ("_origin", "_value")

    _value: int | Polynomial
    _origin: object

    def __init__(self, value: int) -> None:
        if not -MAX_COEFFICIENT <= value <= MAX_COEFFICIENT:
            raise DimOverflow("an integer is beyond 2**63 - 1")
        self._value = int(value)
        self._origin = None

    @staticmethod
    def of(value: int | Dim) -> Dim:
        if isinstance(value, Dim):
            return value
        if _SMALLEST <= value <= _LARGEST:
            return _SMALL[value - _SMALLEST]
        return Dim(value)

    @staticmethod
    def symbol(name: str, least: int | None = 0) -> Dim:
        """A new symbol, unlike all others of that name; its value is at least `least`, or any integer if None."""
        return _from_polynomial(Polynomial.of(Symbol(name, least)))

    @staticmethod
    def of_symbol(symbol: Symbol) -> Dim:
        """The dimension that is this symbol alone."""
        return _from_polynomial(Polynomial.of(symbol))

    @staticmethod
    def minimum(first: int | Dim, second: int | Dim) -> Dim:
        return _extreme("min", first, second)

    @staticmethod
    def maximum(first: int | Dim, second: int | Dim) -> Dim:
        return _extreme("max", first, second)

    @property
    def origin(self) -> object:
        """What introduced the dimension, as given to `at`; None for the result of an operation."""
        return self._origin

    def at(self, origin: object) -> Dim:
        """The same integer with that origin, which takes no part in comparison."""
        return _made(self._value, origin)

    @property
    def constant(self) -> int | None:
        """The value, if it does not depend on a symbol."""
        return self._value if isinstance(self._value, int) else None

    @property
    def is_constant(self) -> bool:
        return isinstance(self._value, int)

    @property
    def polynomial(self) -> Polynomial:
        """The canonical form."""
        return Polynomial.of(self._value) if isinstance(self._value, int) else self._value

    def symbols(self) -> frozenset[Symbol]:
        """The symbols that the value depends on."""
        if isinstance(self._value, int):
            return frozenset()
        return frozenset[Symbol]().union(*(atom.symbols for atom in self._value.atoms()))

    def as_symbol(self) -> Symbol | None:
        """The symbol that this is, if it is one alone."""
        if isinstance(self._value, int) or len(self._value.terms) != 1:
            return None
        monomial, coefficient = self._value.leading()
        atom = monomial[0]
        return atom if isinstance(atom, Symbol) and len(monomial) == 1 and coefficient == 1 else None

    def whole(self) -> Dim | None:
        """The dimension that this is all the shares of, where it is known as a multiple of its share."""
        symbol = next(iter(self.symbols()), None)
        if symbol is None or symbol.whole is None or self != Dim.of_symbol(symbol) * symbol.share:
            return None
        return Dim.of_symbol(symbol.whole)

    def __index__(self) -> int:
        if isinstance(self._value, int):
            return self._value
        raise TypeError(f"the dimension {self} depends on symbols and has no number yet")

    def __int__(self) -> int:
        return self.__index__()

    def __bool__(self) -> bool:
        return self.__index__() != 0

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Dim):
            return self._value == other._value
        return self._value == other if isinstance(other, int) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._value)

    def __neg__(self) -> Dim:
        return Dim.of(-self._value) if isinstance(self._value, int) else _from_polynomial(-self._value)

    def __pos__(self) -> Dim:
        return self

    def __add__(self, other: int | Dim) -> Dim:
        left, right = self._value, other._value if isinstance(other, Dim) else other
        if isinstance(left, int) and isinstance(right, int):
            return Dim.of(left + right)
        if left == 0 or right == 0:
            return Dim.of(other) if left == 0 else self
        return _from_polynomial(_polynomial(left) + _polynomial(right))

    __radd__ = __add__

    def __sub__(self, other: int | Dim) -> Dim:
        left, right = self._value, other._value if isinstance(other, Dim) else other
        if isinstance(left, int) and isinstance(right, int):
            return Dim.of(left - right)
        return self if right == 0 else _from_polynomial(_polynomial(left) - _polynomial(right))

    def __rsub__(self, other: int) -> Dim:
        return Dim.of(other) - self

    def __mul__(self, other: int | Dim) -> Dim:
        left, right = self._value, other._value if isinstance(other, Dim) else other
        if isinstance(left, int) and isinstance(right, int):
            return Dim.of(left * right)
        if left == 1 or right == 1:
            return Dim.of(other) if left == 1 else self
        return _from_polynomial(_polynomial(left) * _polynomial(right))

    __rmul__ = __mul__

    def __floordiv__(self, other: int | Dim) -> Dim:
        left, right = self._value, other._value if isinstance(other, Dim) else other
        if isinstance(left, int) and isinstance(right, int):
            if not right:
                raise ZeroDivisionError("a dimension is divided by 0")
            return Dim.of(left // right)
        return self if right == 1 else _from_polynomial(canonical.floor_divide(_polynomial(left), _polynomial(right)))

    def __rfloordiv__(self, other: int) -> Dim:
        return Dim.of(other) // self

    def __mod__(self, other: int | Dim) -> Dim:
        return self - other * (self // other)

    def __rmod__(self, other: int) -> Dim:
        return Dim.of(other) % self

    def __pow__(self, exponent: int | Dim) -> Dim:
        """Raises TypeError for an exponent that depends on symbols, ValueError for a negative one."""
        times = int(exponent)
        if times < 0:
            raise ValueError(f"a dimension has a negative exponent, {times}")
        if self._value in (-1, 0, 1):
            return Dim.of(self.__index__() ** (times if times < 2 else 2 + times % 2))
        if times > (MAX_COEFFICIENT.bit_length() if isinstance(self._value, int) else MAX_EXPONENT):
            raise DimOverflow(f"a dimension has the exponent {times}")
        power = Dim.of(1)
        for _ in range(times):
            power *= self
        return power

    def __rpow__(self, base: int) -> Dim:
        return Dim.of(base) ** self

    def divide(self, other: int | Dim) -> Dim | None:
        """The dimension that times `other` gives this one, or None where there is none or it cannot be proved."""
        divisor = Dim.of(other)
        if divisor == 0:
            return None
        quotient = self.polynomial.divide(divisor.polynomial)
        return None if quotient is None else _from_polynomial(quotient)

    def bounds(self) -> Interval:
        """The least and greatest value that it may take as far as can be told, None where there is no such bound."""
        return (self._value, self._value) if isinstance(self._value, int) else interval.bounds(self._value)

    def less(self, other: int | Dim) -> bool | None:
        """Whether it is less than `other`, or None if that depends on the symbols or cannot be told."""
        low, high = (self - other).bounds()
        if high is not None and high < 0:
            return True
        return False if low is not None and low >= 0 else None

    def at_most(self, other: int | Dim) -> bool | None:
        """Whether it is at most `other`, or None if that depends on the symbols or cannot be told."""
        exceeds = Dim.of(other).less(self)
        return None if exceeds is None else not exceeds

    def equals(self, other: int | Dim) -> bool | None:
        """Whether it has the value of `other`, or None if that depends on the symbols or cannot be told."""
        if self == other:
            return True
        difference = (self - other).polynomial
        content = difference.content()
        if content == 0 or difference.offset % content:
            return False
        low, high = interval.bounds(difference)
        if low == 0 and high == 0:
            return True
        return False if (low is not None and low > 0) or (high is not None and high < 0) else None

    def substitute(self, mapping: Mapping[Symbol, Dim]) -> Dim:
        """This dimension with the symbols of `mapping` replaced, all at once; others stay."""
        if isinstance(self._value, int) or mapping.keys().isdisjoint(self.symbols()):
            return self
        replaced = {symbol: dim.polynomial for symbol, dim in mapping.items()}
        return _from_polynomial(
            canonical.rewrite(self._value, lambda atom: replaced.get(atom) if isinstance(atom, Symbol) else None)
        )

    def evaluate(self, mapping: Mapping[Symbol, int]) -> int:
        """The value at the symbols' values. Raises KeyError for a symbol that has none, ZeroDivisionError as int."""
        return self._value if isinstance(self._value, int) else canonical.evaluate(self._value, mapping)

    def render(self, name: Callable[[Symbol], str] = _symbol_name, *, floor: str = "//") -> str:
        """As a Python expression, with `name` giving the text for a symbol and `floor` the sign of floor division."""
        return str(self._value) if isinstance(self._value, int) else notation.write(self._value, name, floor)

    def __str__(self) -> str:
        return self.render()

    def __repr__(self) -> str:
        return f"Dim({self})"


def _made(value: int | Polynomial, origin: object = None) -> Dim:
    dim = object.__new__(Dim)
    dim._value = value  # pyright: ignore[reportPrivateUsage]
    dim._origin = origin  # pyright: ignore[reportPrivateUsage]
    return dim


def _from_polynomial(polynomial: Polynomial) -> Dim:
    constant = polynomial.constant
    return _made(polynomial) if constant is None else Dim.of(constant)


def _polynomial(value: int | Polynomial) -> Polynomial:
    return Polynomial.of(value) if isinstance(value, int) else value


def _extreme(kind: Literal["min", "max"], first: int | Dim, second: int | Dim) -> Dim:
    choices = Dim.of(first).polynomial, Dim.of(second).polynomial
    return _from_polynomial(canonical.extreme(kind, choices))


_SMALLEST, _LARGEST = -64, 1024
_SMALL = [Dim(value) for value in range(_SMALLEST, _LARGEST + 1)]
