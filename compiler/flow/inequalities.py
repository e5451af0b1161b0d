"""Linear inequalities between integers: what is left of them when one is forgotten, and what they imply.

A form is a sum of variables times whole numbers; a system maps forms to what they are at most. A variable that has a
size runs from 0 to below it. Projection is Fourier's and Motzkin's: exact over the rationals, so that over the
integers what is left is implied, and may be less than all that is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from math import gcd
from typing import Any

from dlc.compiler.dim import Dim

Variable = Any  # tuples and objects of their own kinds, as whoever makes them knows
Form = frozenset[tuple[Variable, int]]
System = dict[Form, Dim]
Sizes = Callable[[Variable], Dim | None]

_MOST = 24  # inequalities that are kept; forgetting some is sound
_ZERO = Dim.of(0)


class Contradiction(Exception):
    """Nothing fulfils the inequalities."""


def add(system: System, terms: Mapping[Variable, int], most: Dim | int) -> None:
    """Adds `terms <= most`. Raises Contradiction where no number does."""
    most = Dim.of(most)
    left = {variable: factor for variable, factor in terms.items() if factor}
    if not left:
        if most.less(0):
            raise Contradiction
        return
    common = gcd(*left.values())
    if common > 1:
        least = most // common  # the greatest whole number that is not above most / common
        left, most = {variable: factor // common for variable, factor in left.items()}, least
    form = frozenset(left.items())
    known = system.get(form)
    system[form] = most if known is None else tighter(known, most)


def tighter(a: Dim, b: Dim) -> Dim:
    """The smaller of two bounds; where that cannot be told, one that is a number, or else the smaller all the same."""
    if a == b or a.at_most(b):
        return a
    if b.at_most(a):
        return b
    if a.is_constant or b.is_constant:
        return a if a.is_constant else b
    return Dim.minimum(a, b)


def substitute(system: System, variable: Variable, terms: Mapping[Variable, int], offset: Dim | int = 0) -> System:
    """The system with `terms + offset` in place of a variable."""
    result: System = {}
    for form, most in system.items():
        left = dict(form)
        factor = left.pop(variable, 0)
        for other, own in terms.items() if factor else ():
            left[other] = left.get(other, 0) + factor * own
        add(result, left, most - Dim.of(offset) * factor if factor else most)
    return result


def rename(system: System, names: Mapping[Variable, Variable]) -> System:
    """The system with other variables, each of which stands for one."""
    return {
        frozenset((names.get(variable, variable), factor) for variable, factor in form): most
        for form, most in system.items()
    }


def mentions(form: Form, variable: Variable) -> bool:
    return any(own == variable for own, _ in form)


def variables(system: Iterable[Form]) -> set[Variable]:
    return {variable for form in system for variable, _ in form}


def forget(system: System, gone: Iterable[Variable], sizes: Sizes) -> System:
    """What the system says of the other variables. Raises Contradiction."""
    for variable in gone:
        if not any(mentions(form, variable) for form in system):
            continue
        system = _project(system, variable, sizes(variable))
        system = trim(system, sizes)
    return system


def _project(system: System, variable: Variable, size: Dim | None) -> System:
    above: list[tuple[dict[Variable, int], int, Dim]] = []
    below: list[tuple[dict[Variable, int], int, Dim]] = []
    result: System = {}
    for form, most in system.items():
        left = dict(form)
        factor = left.pop(variable, 0)
        if not factor:
            add(result, left, most)
        elif factor > 0:
            above.append((left, factor, most))
        else:
            below.append((left, -factor, most))
    if size is not None:
        above.append(({}, 1, size - 1))
        below.append(({}, 1, _ZERO))
    for left, factor, most in above:
        for other, weight, least in below:
            total = {name: own * weight for name, own in left.items()}
            for name, own in other.items():
                total[name] = total.get(name, 0) + own * factor
            add(result, total, most * weight + least * factor)
    return result


def trim(system: System, sizes: Sizes) -> System:
    """The system without what the sizes of the variables say already."""
    kept = {form: most for form, most in system.items() if not _follows(form, most, sizes)}
    if len(kept) > _MOST:
        kept = dict(sorted(kept.items(), key=lambda item: len(item[0]))[:_MOST])
    return kept


def _follows(form: Form, most: Dim, sizes: Sizes) -> bool:
    total = _ZERO
    for variable, factor in form:
        size = sizes(variable)
        if size is None:
            return False
        if factor > 0:
            total = total + (size - 1) * factor
    return total.at_most(most) is True


def within(inner: Mapping[Form, Dim], outer: Mapping[Form, Dim]) -> bool:
    """Whether what fulfils `inner` plainly fulfils `outer`."""
    for form, most in outer.items():
        known = inner.get(form)
        if known is None or not known.at_most(most):
            return False
    return True


def implies(system: System, terms: Mapping[Variable, int], most: Dim | int, sizes: Sizes) -> bool:
    """Whether `terms <= most` wherever the system holds."""
    against = dict(system)
    try:
        add(against, {name: -factor for name, factor in terms.items()}, -Dim.of(most) - 1)
        left = against
        for variable in variables(against):
            left = _project(left, variable, sizes(variable))
    except Contradiction:
        return True
    return False
