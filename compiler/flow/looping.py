"""A loop's turns: what it carries depends on what the turns before have seen."""

from __future__ import annotations

from collections.abc import Sequence

from dlc.compiler.dim import Dim
from dlc.compiler.flow.dependence import Alternative, Dependence, Outer, Space, include
from dlc.compiler.flow.inequalities import Contradiction, System, Variable, forget, implies, rename, substitute, trim
from dlc.compiler.graph import Loop

_APART = 2  # turns that are followed one by one before what they have in common is sought
_LAST = 8


class Turning:
    """One loop. `turn` is the number of the turn, from 0 up."""

    def __init__(self, loop: Loop, space: Space) -> None:
        self.turn = Outer("turn")
        self._axis = loop.axis
        self._turns = loop.turns
        self._space = space
        self._count = 0
        space.sizes[self.turn] = loop.turns

    @property
    def runs(self) -> bool:
        """Whether there is a turn at least."""
        return self._turns.less(1) is False

    def slice(self, given: Alternative) -> Alternative:
        """What a sequence's slice depends on in each turn."""
        axis = self._axis
        factors = given.layout[axis]
        layout = (*given.layout[:axis], *given.layout[axis + 1 :])
        system = given.system
        if len(factors) == 1:
            system = rename(system, {(axis, 0): self.turn})
        else:
            system = forget(system, [(axis, place) for place in range(len(factors))], self._space.of(given.layout))
        return Alternative(layout, _shifted(system, axis, -1), given.origin)

    def stack(self, given: Alternative) -> Alternative:
        """What the values of all turns depend on, put together along the axis."""
        axis = self._axis
        system = _shifted(given.system, axis - 1, 1)
        if self._turns == 1:
            return Alternative((*given.layout[:axis], (), *given.layout[axis:]), self._at(system, Dim.of(0)))
        layout = (*given.layout[:axis], (self._turns,), *given.layout[axis:])
        system = rename(system, {self.turn: (axis, 0)})
        return Alternative(layout, system, given.origin)

    def final(self, outputs: Dependence) -> Dependence:
        """What a carried value depends on after the last turn."""
        finals: Dependence = []
        for each in outputs:
            try:
                system = trim(self._at(each.system, self._turns - 1), self._space.of(each.layout))
            except Contradiction:
                continue
            finals.append(Alternative(each.layout, system, each.origin))
        return finals

    def _at(self, system: System, turn: Dim) -> System:
        return substitute(system, self.turn, {}, turn)

    def advance(self, held: list[Dependence], outputs: Sequence[Dependence]) -> bool:
        """Adds to what is held at the start of a turn what the turn before left; whether that is anything new."""
        self._count += 1
        changed = False
        for place, dependence in enumerate(outputs):
            for each in dependence:
                next_turn = Alternative(
                    each.layout, substitute(each.system, self.turn, {self.turn: 1}, -1), each.origin
                )
                if any(known.contains(next_turn) for known in held[place]):
                    continue
                changed = True
                if self._count <= _APART:
                    include(held[place], next_turn)
                else:
                    held[place] = [self._common([*held[place], next_turn])]
        return changed

    def _common(self, alternatives: Sequence[Alternative]) -> Alternative:
        """What is true of all; nothing at all after too many turns."""
        last = alternatives[-1]
        candidates: System = {}
        for each in alternatives[:-1]:
            for form, most in each.system.items():
                other = candidates.get(form, most)
                candidates[form] = other if most.at_most(other) else most
        if self._count > _LAST or any(each.layout != last.layout for each in alternatives):
            candidates = {}
        size = self._space.of(last.layout)
        kept = {
            form: most
            for form, most in candidates.items()
            if all(implies(each.system, dict(form), most, size) for each in alternatives)
        }
        return Alternative(last.layout, kept, last.origin)


def _shifted(system: System, axis: int, by: int) -> System:
    """The system with the axes behind this one renumbered."""
    names: dict[Variable, Variable] = {
        variable: (variable[0] + by, variable[1])
        for form in system
        for variable, _ in form
        if isinstance(variable, tuple) and variable[0] > axis
    }
    return rename(system, names)
