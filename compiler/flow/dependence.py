"""Which positions along the source's axis the elements of a value may depend on.

A value's dependence is a list of alternatives. Each says, by inequalities between the position along the source's axis
and the element's own position, which pairs of the two may belong together. An axis of a value can be made of several
factors, from axes that were merged: `(n t)` goes on to know `n` and `t`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from dlc.compiler.dim import Dim
from dlc.compiler.flow.inequalities import (
    Contradiction,
    Form,
    Sizes,
    System,
    Variable,
    add,
    forget,
    rename,
    substitute,
    trim,
    variables,
    within,
)
from dlc.compiler.flow.reading import Flow, Name, Near


class Outer:
    """A variable that belongs to no one value: the position along the source's axis, or the turn of a loop."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return self._name


SOURCE = Outer("source")
"""The position along the source's axis."""

Layout = tuple[tuple[Dim, ...], ...]
"""The sizes of the factors of each axis, the first varying slowest; an axis of size 1 has none."""

_MOST = 8  # alternatives that are kept apart


@dataclass(eq=False, slots=True)
class Alternative:
    """The variables are SOURCE, `(axis, factor)` for those of the element, and the turns of loops around it.

    origin: how it came about, for reports.
    """

    layout: Layout
    system: System
    origin: Any = None

    def key(self) -> tuple[Layout, frozenset[tuple[Form, Dim]]]:
        return self.layout, frozenset(self.system.items())

    def contains(self, other: Alternative) -> bool:
        return not self.system or (self.layout == other.layout and within(other.system, self.system))


Dependence = list[Alternative]


@dataclass
class Space:
    """How far the variables run that belong to no one value: the source, and the turns of loops."""

    sizes: dict[Outer, Dim] = field(default_factory=dict[Outer, Dim])

    def of(self, layout: Layout) -> Sizes:
        def size(variable: Variable) -> Dim | None:
            if isinstance(variable, Outer):
                return self.sizes.get(variable)
            axis, factor = cast("tuple[int, int]", variable)
            return layout[axis][factor]

        return size


def plain(shape: Sequence[Dim]) -> Layout:
    return tuple(() if size == 1 else (size,) for size in shape)


def include(dependence: Dependence, alternative: Alternative) -> None:
    """Adds an alternative unless another says as much; past a number of them the two least alike are made one."""
    if any(known.contains(alternative) for known in dependence):
        return
    dependence[:] = [known for known in dependence if not alternative.contains(known)]
    dependence.append(alternative)
    if len(dependence) > _MOST:
        last = dependence.pop()
        dependence.append(union(dependence.pop(), last))


def union(a: Alternative, b: Alternative) -> Alternative:
    """What holds of both."""
    if a.layout != b.layout:
        shape = [_product(factors) for factors in a.layout]
        return Alternative(plain(shape), {}, b.origin)
    system: System = {}
    for form, most in a.system.items():
        other = b.system.get(form)
        if other is not None:
            system[form] = other if most.at_most(other) else most if other.at_most(most) else Dim.maximum(most, other)
    return Alternative(a.layout, system, b.origin)


def _product(sizes: Sequence[Dim]) -> Dim:
    total = Dim.of(1)
    for size in sizes:
        total = total * size
    return total


# --- through an operation -----------------------------------------------------------------------------------------


def read(space: Space, flow: Flow, place: int, given: Alternative, gates: System) -> Alternative | None:
    """What the result depends on through the input number `place`; none where that cannot be.

    gates: what holds, of the names that the operation runs over, wherever the input is read.
    """
    reads = flow.reads[place]
    assert reads is not None
    reading = _Reading(space, flow, given)
    try:
        for axis, how in enumerate(reads):
            reading.axis(axis, how)
        return reading.finish(gates)
    except Contradiction:
        return None


class _Reading:
    """The names of an operation, made of the factors of one input's axes.

    factors: the sizes of the parts of each name that is met. Variables are `("in", axis, factor)` for the input's,
    `(name, part)` marked by "of" for the names'.
    """

    def __init__(self, space: Space, flow: Flow, given: Alternative) -> None:
        self._space = space
        self._flow = flow
        self._layout = given.layout
        own: dict[Variable, Variable] = {
            variable: ("in", *variable) for variable in variables(given.system) if not isinstance(variable, Outer)
        }
        self._system = rename(given.system, own)
        self._parts: dict[Name, list[Dim]] = {}

    def axis(self, axis: int, how: Any) -> None:
        if isinstance(how, Near):
            self._near(axis, how)
        elif isinstance(how, tuple):
            self._exact(axis, how)  # pyright: ignore[reportUnknownArgumentType]

    def _near(self, axis: int, how: Near) -> None:
        factors = self._layout[axis]
        if len(factors) > 1:
            return
        variable = ("in", axis, 0)
        own = {variable: how.per} if factors else {}
        name: dict[Variable, int] = {}
        if how.name is not None and self._flow.sizes[how.name] != 1:
            parts = self._parts.setdefault(how.name, [self._flow.sizes[how.name]])
            if len(parts) > 1:
                return
            name = {("of", how.name, 0): how.by}
        if how.high is not None:
            add(self._system, own | {key: -by for key, by in name.items()}, how.high)
        if how.low is not None:
            add(self._system, {key: -by for key, by in own.items()} | name, -Dim.of(how.low))

    def _exact(self, axis: int, names: tuple[Name, ...]) -> None:
        factors = [(("in", axis, place), size) for place, size in enumerate(self._layout[axis])]
        pieces = [(name, self._flow.sizes[name]) for name in names if self._flow.sizes[name] != 1]
        if any(name in self._parts for name, _ in pieces):
            self._again(factors, pieces)
            return
        matched = _match([size for _, size in factors], [size for _, size in pieces])
        if matched is None:
            return
        sums: dict[Variable, list[tuple[Variable, Dim]]] = {}
        for old, new, size in matched:
            name = pieces[new][0]
            parts = self._parts.setdefault(name, [])
            sums.setdefault(factors[old][0], []).append((("of", name, len(parts)), size))
            parts.append(size)
        for variable, parts_of in sums.items():
            self._system = _replace(self._system, variable, parts_of)

    def _again(self, factors: list[tuple[Variable, Dim]], pieces: list[tuple[Name, Dim]]) -> None:
        """A name at which another axis is read too: both stand at the same position."""
        if len(factors) == len(pieces) == 1 and self._parts.get(pieces[0][0]) == [factors[0][1]]:
            name: Variable = ("of", pieces[0][0], 0)
            add(self._system, {factors[0][0]: 1, name: -1}, 0)
            add(self._system, {factors[0][0]: -1, name: 1}, 0)

    def finish(self, gates: System) -> Alternative:
        for form, most in gates.items():
            terms = self._terms(form)
            if terms is not None:
                add(self._system, terms, most)
        flow = self._flow
        names: dict[Variable, Variable] = {}
        layout: list[tuple[Dim, ...]] = []
        for axis, group in enumerate(flow.result):
            sizes: list[Dim] = []
            for name in group:
                for part, size in enumerate(self._parts.get(name, [flow.sizes[name]])):
                    if size != 1:
                        names["of", name, part] = (axis, len(sizes))
                        sizes.append(size)
            layout.append(tuple(sizes))
        gone = [each for each in variables(self._system) if not isinstance(each, Outer) and each not in names]
        system = forget(self._system, sorted(gone, key=repr), self._size)
        return _joined(self._space, tuple(layout), rename(system, names))

    def _terms(self, form: Form) -> dict[Variable, int] | None:
        """A form of whole names as one of their parts."""
        terms: dict[Variable, int] = {}
        for name, factor in form:
            if isinstance(name, Outer):
                terms[name] = factor
                continue
            weight = Dim.of(1)
            parts = self._parts.get(name, [self._flow.sizes[name]])
            for part in reversed(range(len(parts))):
                if weight.constant is None:
                    return None
                terms["of", name, part] = factor * weight.constant
                weight = weight * parts[part]
        return terms

    def _size(self, variable: Variable) -> Dim | None:
        if isinstance(variable, Outer):
            return self._space.sizes.get(variable)
        kind, name, part = cast("tuple[str, Any, int]", variable)
        if kind == "in":
            factors = self._layout[int(name)]
            return factors[part]
        parts: list[Dim] = self._parts.get(name, [self._flow.sizes[name]])
        return parts[part]


def _match(left: list[Dim], right: list[Dim]) -> list[tuple[int, int, Dim]] | None:
    """Factors of the same product, cut into those of both: for each which it is part of, the first varying slowest."""
    pieces: list[tuple[int, int, Dim]] = []
    a, b = list(enumerate(left)), list(enumerate(right))
    while a and b:
        (old, size), (new, other) = a.pop(), b.pop()
        part = size
        if size != other:
            rest = size.divide(other)
            if rest is not None:
                part = other
                a.append((old, rest))
            else:
                rest = other.divide(size)
                if rest is None:
                    return None
                b.append((new, rest))
        pieces.append((old, new, part))
    if a or b:
        return None
    return pieces[::-1]


def _replace(system: System, variable: Variable, parts: list[tuple[Variable, Dim]]) -> System:
    """The system with parts in place of what they make up; where one weighs more than a number, less is said."""
    terms: dict[Variable, int] = {}
    weight = Dim.of(1)
    for part, size in reversed(parts):
        if weight.constant is None:
            return {form: most for form, most in system.items() if all(own != variable for own, _ in form)}
        terms[part] = weight.constant
        weight = weight * size
    if len(parts) == 1:
        return rename(system, {variable: parts[0][0]})
    return substitute(system, variable, terms)


def _joined(space: Space, layout: Layout, system: System) -> Alternative:
    """With neighbouring factors made one where nothing tells them apart."""
    for axis, sizes in enumerate(layout):
        place = len(sizes) - 2
        while place >= 0:
            low = layout[axis][place + 1]
            if _alike(system, (axis, place), (axis, place + 1), low):
                left = layout[axis]
                merged = (*left[:place], left[place] * low, *left[place + 2 :])
                layout = (*layout[:axis], merged, *layout[axis + 1 :])
                names = {(axis, old): (axis, old - 1) for old in range(place + 2, len(left))}
                kept: System = {}
                for form, most in system.items():
                    terms = dict(form)
                    if (axis, place + 1) in terms:
                        terms[axis, place] = terms.pop((axis, place + 1))
                    add(kept, {names.get(variable, variable): by for variable, by in terms.items()}, most)
                system = kept
            place -= 1
    return Alternative(layout, trim(system, space.of(layout)))


def _alike(system: System, high: Variable, low: Variable, size: Dim) -> bool:
    """Whether two factors occur in the system only as the position that they make up."""
    for form in system:
        terms = dict(form)
        above, below = terms.get(high, 0), terms.get(low, 0)
        if (above or below) and (size.constant is None or above != below * size.constant):
            return False
    return True


def restrict(space: Space, given: Alternative, system: System) -> Alternative | None:
    """The alternative where more is known of the element's position, by whole axes; none where nothing is left."""
    result = dict(given.system)
    try:
        for form, most in system.items():
            terms = _of_axes(given.layout, form)
            if terms is not None:
                add(result, terms, most)
    except Contradiction:
        return None
    return Alternative(given.layout, trim(result, space.of(given.layout)), given.origin)


def _of_axes(layout: Layout, form: Form) -> dict[Variable, int] | None:
    terms: dict[Variable, int] = {}
    for axis, factor in form:
        own = {axis: 1} if isinstance(axis, Outer) else position(layout, axis)
        if own is None:
            return None
        for variable, weight in own.items():
            terms[variable] = factor * weight
    return terms


def position(layout: Layout, axis: int) -> Mapping[Variable, int] | None:
    """The position along a whole axis as a sum of its factors; none where one weighs more than a number."""
    terms: dict[Variable, int] = {}
    weight = Dim.of(1)
    for place in reversed(range(len(layout[axis]))):
        if weight.constant is None:
            return None
        terms[axis, place] = weight.constant
        weight = weight * layout[axis][place]
    return terms
