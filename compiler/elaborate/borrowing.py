"""Layers that are passed in: how a block sees the instances of its caller, and what the call lends it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dlc.compiler.elaborate.frame import Frame, fix
from dlc.compiler.elaborate.values import Arg, Composition, Instance, Part, Recipe, is_layer, is_sequence
from dlc.compiler.graph import Graph
from dlc.grammar.source import Span


def holds_instance(value: Any) -> bool:
    """Whether a layer, or a list of layers, uses weights that exist already."""
    match value:
        case Composition():
            return any(holds_instance(stage) for stage in value.stages)
        case Recipe():
            return any(holds_instance(argument.value) for argument in value.arguments)
        case Instance() | Part():
            return True
        case _:
            return is_sequence(value) and any(holds_instance(item) for item in value)


class Borrowing:
    """The instances that one graph borrows, each under a name of its own within the graph."""

    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self._seen: dict[int, Instance | Part] = {}
        self._lent: list[tuple[str, Instance | Part]] = []

    def arguments(self, statics: Mapping[str, Arg]) -> dict[str, Arg]:
        """The arguments as the block sees them."""
        return {
            name: Arg(argument.name, self.view(argument.value, name), argument.span, argument.name_span)
            for name, argument in statics.items()
        }

    def view(self, value: Any, name: str) -> Any:
        """A value as the block sees it: instances go by the name of the parameter that they came through."""
        if not holds_instance(value):
            return value
        match value:
            case Instance() | Part():
                if id(value) not in self._seen:
                    self._seen[id(value)] = self._borrow(value, self._free(name))
                return self._seen[id(value)]
            case Composition():
                stages = tuple(self.view(stage, name) for stage in value.stages)
                return Composition(stages, value.span, value.kind)
            case Recipe():
                given = tuple(
                    Arg(argument.name, self.view(argument.value, name), argument.span, argument.name_span)
                    for argument in value.arguments
                )
                return Recipe(value.callee, given, value.span)
            case _:
                items = [
                    self.view(item, f"{name}_{place}" if is_layer(item) else name) for place, item in enumerate(value)
                ]
                return items if isinstance(value, list) else tuple(items)

    def _free(self, name: str) -> str:
        free, count = name, 1
        while any(free == taken for taken, _ in self._lent):
            count += 1
            free = f"{name}_{count}"
        return free

    def _borrow(self, outer: Instance | Part, name: str) -> Instance | Part:
        inner: Instance | Part
        if isinstance(outer, Part):
            inner = Part(name, outer.module, outer.instance, outer.span)
            self._frame.borrowed[name] = outer.module
        else:
            inner = Instance(outer.layer, name, self._frame, outer.span, outer.module, fixed_at=outer.fixed_at)
            self._frame.borrowed[name] = inner
        self._lent.append((name, outer))
        return inner

    def settle(self, graph: Graph, span: Span) -> list[Instance | Part]:
        """Notes in the finished graph what it borrowed; fixes the sizes of what it was the first to apply.

        Gives what each call must lend, in the order of the graph's `borrowed`.
        """
        lent: list[Instance | Part] = []
        for name, outer in self._lent:
            if isinstance(outer, Part):
                graph.borrowed[name] = outer.module
                lent.append(outer)
                continue
            inner = self._seen[id(outer)]
            assert isinstance(inner, Instance)
            outer.applied = outer.applied or inner.applied
            if inner.module is None:
                continue
            graph.borrowed[name] = inner.module
            lent.append(outer)
            if outer.module is None:
                fix(outer, inner.module, span)
        return lent
