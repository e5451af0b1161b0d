"""Names and what they stand for, from the innermost body out to the file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dlc.grammar.source import Span


class Scope:
    """Names bound in one body; what is not bound here is looked up in the scope around it."""

    def __init__(self, outer: Scope | None = None) -> None:
        self.outer = outer
        self._values: dict[str, Any] = {}
        self._spans: dict[str, Span] = {}
        self._later: dict[str, Span] = {}

    def bind(self, name: str, value: Any, span: Span) -> None:
        self._values[name] = value
        self._spans[name] = span

    def announce(self, name: str, span: Span) -> None:
        """Notes that a name will be bound further down, for whoever uses it too early."""
        self._later.setdefault(name, span)

    def announced(self, name: str) -> Span | None:
        """Where a name will be bound that is not bound yet."""
        scope: Scope | None = self
        while scope is not None:
            if name in scope._later:
                return scope._later[name]
            scope = scope.outer
        return None

    def __contains__(self, name: str) -> bool:
        return name in self._values or (self.outer is not None and name in self.outer)

    def lookup(self, name: str) -> Any:
        """What the name stands for. KeyError where it is bound nowhere."""
        scope: Scope | None = self
        while scope is not None:
            if name in scope._values:
                return scope._values[name]
            scope = scope.outer
        raise KeyError(name)

    def span(self, name: str) -> Span | None:
        """Where the name was bound last."""
        scope: Scope | None = self
        while scope is not None:
            if name in scope._values:
                return scope._spans[name]
            scope = scope.outer
        return None

    def own(self) -> dict[str, Any]:
        """What was bound in this very scope."""
        return self._values

    def names(self) -> Iterator[str]:
        """Every name in reach."""
        yield from self._values
        if self.outer is not None:
            yield from self.outer.names()
