"""The LALR(1) automaton that runs the tables of dl.lark: shifts terminals, reduces by rules, recurses nowhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from dlc.grammar.errors import MAX_DEPTH
from dlc.grammar.tables import ACTIONS, FINAL, GOTOS, RULES

END = "$END"

# What nests one expression in another. Pipes, arguments and statements stand side by side.
_NESTING = {
    *("attribute", "binary", "call", "compare", "comprehension", "comprehension_argument", "conditional", "index"),
    *("list_", "pipe", "record", "slice_", "tuple_", "unary"),
}
_DEPTHS = tuple(int(action in _NESTING) for _, _, action, _ in RULES)
# Of a rule that hands on its only symbol, the nonterminal: such a step changes the top state and nothing else.
_UNITS = tuple(origin if action == "" and size == 1 else None for origin, size, action, _ in RULES)


class UnexpectedError(Exception):
    """The terminal offered cannot follow what was read. The automaton can be asked what could, or be rolled back."""


class DepthError(Exception):
    """Expressions nest deeper than MAX_DEPTH. start, end: the range of characters that is too deep."""

    def __init__(self, start: int, end: int) -> None:
        super().__init__(start, end)
        self.start = start
        self.end = end


@dataclass(frozen=True, slots=True)
class Mark:
    """A point of the reading to return to."""

    states: tuple[int, ...]
    values: tuple[Any, ...]
    spans: tuple[tuple[int, int, int], ...]


class Automaton:
    """Reads one declaration.

    make: called with a rule's action, the range of characters it covers and its children; gives the rule's value.
    What a mark was taken of must not be changed by it, hence bodies are chains of pairs until they end.
    """

    def __init__(self, make: Callable[[str, int, int, list[Any]], Any]) -> None:
        self._make = make
        self._states = [0]
        self._values: list[Any] = []
        # For each value the range of characters that it covers, and how deep its expressions nest.
        self._spans: list[tuple[int, int, int]] = []

    @property
    def row(self) -> dict[str, int]:
        """What each terminal does now. It may hold a few that fail after some reductions; `accepts` is exact."""
        return ACTIONS[self._states[-1]]

    def feed(self, kind: str, value: Any, start: int, end: int) -> Any:
        """Reads a terminal. Returns the declaration for `END`. Raises UnexpectedError, DepthError."""
        states, values, spans = self._states, self._values, self._spans
        while True:
            action = ACTIONS[states[-1]].get(kind)
            if action is None:
                raise UnexpectedError
            if action > 0:
                states.append(action)
                values.append(value)
                spans.append((start, end, 0))
                return None
            unit = _UNITS[~action]
            if unit is not None:
                states[-1] = GOTOS[states[-2]][unit]
            else:
                self._reduce(~action)
            if kind == END and states[-1] == FINAL:
                return values[-1]

    def _reduce(self, number: int) -> None:
        origin, size, action, picks = RULES[number]
        states, values, spans = self._states, self._values, self._spans
        symbols = values[-size:]
        start, end, depth = spans[-size][0], spans[-1][1], _DEPTHS[number]
        depth += max([span[2] for span in spans[-size:]])
        if depth > MAX_DEPTH:
            raise DepthError(start, end)
        if action == "":
            value = symbols[picks[0]]
        else:
            children: list[Any] = []
            for pick in picks:
                if pick >= 0:
                    children.append(symbols[pick])
                elif pick == -1:
                    children.append(None)
                elif children:
                    children += symbols[-2 - pick]
                else:
                    # A list that grows at its end: taken over, so that long ones take linear time.
                    children = symbols[-2 - pick]
            value = children if action == "gather" else self._make(action, start, end, children)
        del states[-size:], values[-size:], spans[-size:]
        states.append(GOTOS[states[-1]][origin])
        values.append(value)
        spans.append((start, end, depth))

    def accepts(self) -> set[str]:
        """The terminals that can follow."""
        return {kind for kind in self.row if self._after(self._states, kind)}

    def takes(self, kinds: Sequence[str]) -> bool:
        """Whether the terminals can follow, one after another."""
        states = self._states
        return all((states := self._after(states, kind)) for kind in kinds)

    def _after(self, states: list[int], kind: str) -> list[int]:
        """The states after a terminal; empty if it cannot follow."""
        states = list(states)
        while (action := ACTIONS[states[-1]].get(kind)) is not None:
            if action > 0:
                return [*states, action]
            origin, size, _, _ = RULES[~action]
            del states[-size:]
            states.append(GOTOS[states[-1]][origin])
            if kind == END and states[-1] == FINAL:
                return states
        return []

    def mark(self) -> Mark:
        return Mark(tuple(self._states), tuple(self._values), tuple(self._spans))

    def roll_back(self, mark: Mark) -> None:
        self._states = list(mark.states)
        self._values = list(mark.values)
        self._spans = list(mark.spans)
