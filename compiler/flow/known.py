"""What is known of the elements of a value, whatever the source holds: positions, and where a mask leaves a number.

The elements of `arange(T)` are positions; a comparison of two of them is true only where an inequality holds; a score
that is masked is minus infinity elsewhere. Systems are over the axes of the value, by their numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from dlc.compiler.dim import Dim
from dlc.compiler.flow.inequalities import Contradiction, Form, Variable, add, tighter
from dlc.compiler.types import Tensor

Region = frozenset[tuple[Form, Dim]]
"""Inequalities that all hold; of none, everywhere. NOWHERE where they contradict each other."""

NOWHERE: Region = frozenset({(frozenset[tuple[Variable, int]](), Dim.of(-1))})


@dataclass(frozen=True, slots=True)
class Line:
    """Each element is `terms + offset` of its own position."""

    terms: tuple[tuple[Variable, int], ...]
    offset: Dim

    def plus(self, other: Line, times: int = 1) -> Line:
        terms = dict(self.terms)
        for variable, factor in other.terms:
            terms[variable] = terms.get(variable, 0) + times * factor
        kept = tuple(sorted(((v, f) for v, f in terms.items() if f), key=repr))
        return Line(kept, self.offset + other.offset * times)

    def times(self, number: int) -> Line:
        return Line((), Dim.of(0)).plus(self, number)


@dataclass(frozen=True, slots=True)
class Known:
    """line: each element is this. fills: for a number, outside of which region every element is that number."""

    line: Line | None = None
    fills: tuple[tuple[float, Region], ...] = ()

    def __bool__(self) -> bool:
        return self.line is not None or bool(self.fills)

    @property
    def number(self) -> float | None:
        """The number that every element is."""
        return next((number for number, region in self.fills if region == NOWHERE), None)

    def outside(self, number: float) -> Region | None:
        """The region outside of which every element is that number."""
        return next((region for own, region in self.fills if own == number), None)

    def moved(self, axes: Mapping[int, tuple[Mapping[Variable, int], Dim]]) -> Known:
        """With other positions in place of the axes; what is known of an axis that has none is lost."""
        line = None
        if self.line is not None:
            line = Line((), self.line.offset)
            for variable, factor in self.line.terms:
                if not isinstance(variable, int):
                    line = line.plus(Line(((variable, factor),), Dim.of(0)))
                elif variable not in axes:
                    line = None
                    break
                else:
                    terms, offset = axes[variable]
                    line = line.plus(Line(tuple(terms.items()), offset), factor)
        return Known(line, tuple((number, _moved(region, axes)) for number, region in self.fills))


NOTHING = Known()


def constant(number: float) -> Known:
    """Every element is that number."""
    line = Line((), Dim.of(int(number))) if math.isfinite(number) and number == int(number) else None
    return Known(line, ((number, NOWHERE),))


def _moved(region: Region, axes: Mapping[int, tuple[Mapping[Variable, int], Dim]]) -> Region:
    moved: dict[Form, Dim] = {}
    try:
        for form, most in region:
            terms: dict[Variable, int] = {}
            bound = most
            for variable, factor in form:
                if not isinstance(variable, int):
                    terms[variable] = terms.get(variable, 0) + factor
                elif variable not in axes:
                    break
                else:
                    own, offset = axes[variable]
                    bound = bound - offset * factor
                    for name, by in own.items():
                        terms[name] = terms.get(name, 0) + factor * by
            else:
                if region == NOWHERE:
                    return NOWHERE
                add(moved, terms, bound)
    except Contradiction:
        return NOWHERE
    return frozenset(moved.items())


def both(a: Region, b: Region) -> Region:
    """Where both regions are."""
    if NOWHERE in (a, b):
        return NOWHERE
    system = dict(a)
    for form, most in b:
        system[form] = tighter(system[form], most) if form in system else most
    return frozenset(system.items())


def through(function: Callable[..., float | None], *operands: Known) -> tuple[tuple[float, Region], ...]:
    """The fills of a function of each element, which gives a number, or none where an unknown operand counts.

    An operand that is one number everywhere is that number; of the others all but one are unknown (none).
    """
    fixed = [operand.number for operand in operands]
    fills: dict[float, Region] = {}
    everywhere = function(*fixed)
    if everywhere is not None and not math.isnan(everywhere):
        fills[everywhere] = NOWHERE
    for place, operand in enumerate(operands):
        if fixed[place] is not None:
            continue
        for number, region in operand.fills:
            result = function(*(number if other == place else own for other, own in enumerate(fixed)))
            if result is not None and not math.isnan(result):
                fills[result] = both(fills[result], region) if result in fills else region
    return tuple(fills.items())


def compared(line: Line, strict: bool) -> tuple[tuple[float, Region], ...]:
    """The fills of the bools `line < 0`, or `line <= 0`."""
    true = _region(line, 1, -1 if strict else 0)
    false = _region(line, -1, 0 if strict else -1)
    return ((False, true), (True, false))


def _region(line: Line, sign: int, most: int) -> Region:
    """Where `sign * line <= most`."""
    system: dict[Form, Dim] = {}
    try:
        add(system, {variable: sign * factor for variable, factor in line.terms}, Dim.of(most) - line.offset * sign)
    except Contradiction:
        return NOWHERE
    return frozenset(system.items())


# --- what arithmetic makes of it ------------------------------------------------------------------------------------


def negative(a: float | None) -> float | None:
    return None if a is None else -a


def exponential(a: float | None) -> float | None:
    return None if a is None or a > 1 else math.exp(a)


def logarithm(a: float | None) -> float | None:
    if a is None or a < 0:
        return None
    return math.log(a) if a else -math.inf


def truth(a: float | None) -> float | None:
    return None if a is None else bool(a)


def plus(a: float | None, b: float | None) -> float | None:
    if a is not None and b is not None:
        return a + b
    return next((each for each in (a, b) if each == -math.inf), None)


def minus(a: float | None, b: float | None) -> float | None:
    if a is not None and b is not None:
        return a - b
    return -math.inf if a == -math.inf or b == math.inf else None


def times(a: float | None, b: float | None) -> float | None:
    if a is not None and b is not None:
        return a * b
    return 0.0 if 0 in (a, b) else None


def over(a: float | None, b: float | None) -> float | None:
    if a is not None and b:
        return a / b
    if a and b == 0:
        return math.copysign(math.inf, a)
    return 0.0 if a == 0 and b is None else None


def conjunction(a: float | None, b: float | None) -> float | None:
    if a is not None and b is not None:
        return bool(a and b)
    return False if 0 in (a, b) else None


def disjunction(a: float | None, b: float | None) -> float | None:
    if a is not None and b is not None:
        return bool(a or b)
    return True if 1 in (a, b) else None


def choice(condition: float | None, a: float | None, b: float | None) -> float | None:
    if condition is None:
        return a if a is not None and a == b else None
    return a if condition else b


def scaled(line: Known, by: Known) -> Line | None:
    """Positions times a whole number."""
    if line.line is None or by.line is None or by.line.terms or by.line.offset.constant is None:
        return None
    return line.line.times(by.line.offset.constant)


def ordered(a: Known, b: Known, *, strict: bool) -> Known:
    """`a < b`, or `a <= b`."""

    def compare(left: float | None, right: float | None) -> float | None:
        if left is None or right is None:
            return None
        return left < right if strict else left <= right

    fills = dict(through(compare, a, b))
    if a.line and b.line:
        fills |= dict(compared(a.line.plus(b.line, -1), strict))
    return Known(None, tuple(fills.items()))


def equal(a: Known, b: Known) -> Known:
    """`a == b`."""

    def compare(left: float | None, right: float | None) -> float | None:
        return None if left is None or right is None else left == right

    fills = dict(through(compare, a, b))
    if a.line and b.line:
        apart = a.line.plus(b.line, -1)
        fills[False] = both(_region(apart, 1, 0), _region(apart, -1, 0))
    return Known(None, tuple(fills.items()))


def inverted(x: Known) -> Known:
    """`not x`."""
    return Known(None, tuple((not number, region) for number, region in x.fills))


def kept(x: Known, beyond: Line) -> Known:
    """x where `beyond <= 0`, and 0 elsewhere."""
    region = _region(beyond, 1, 0)
    zero = x.outside(0)
    fills: dict[float, Region] = {0.0: region if zero is None else both(zero, region)}
    if x.number:
        fills[x.number] = _region(beyond, -1, -1)
    return Known(None, tuple(fills.items()))


def square(to: Tensor) -> Known:
    """Zeros but on the diagonal of a square."""
    apart = Line(((to.rank - 2, 1), (to.rank - 1, -1)), Dim.of(0))
    return Known(None, ((0.0, both(_region(apart, 1, 0), _region(apart, -1, 0))),))
