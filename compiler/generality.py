"""Whether one graph is another with sizes in place of its symbols: what is exported need not be bound to one size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, cast

from dlc.compiler.calls import called
from dlc.compiler.checked import Checked
from dlc.compiler.dim import Dim, Symbol
from dlc.compiler.graph import Action, Call, Graph, Loop, ModelRef, Node, Operand, Value
from dlc.compiler.types import Scalar, Tensor


def binding(general: Graph, special: Graph) -> Mapping[Symbol, Dim] | None:
    """What stands for each symbol of `general` in `special`, if that is all that they differ in, or else none.

    The two own the same weights by path and shape, apply the same operations with the same static values to the same
    operands, and give the same outputs. A graph that took another branch for another size does something else.
    """
    comparison = _Comparison()
    return comparison.sizes if comparison.whole(general, special) else None


class _Comparison:
    def __init__(self) -> None:
        self.sizes: dict[Symbol, Dim] = {}
        self._compared: set[tuple[Graph, Graph]] = set()

    def whole(self, general: Graph, special: Graph) -> bool:
        pending = [(general, special)]
        while pending:
            pair = pending.pop()
            if pair in self._compared:
                continue
            self._compared.add(pair)
            if not self._graph(*pair):
                return False
            pending += zip(called(pair[0]), called(pair[1]), strict=True)
        return self._weights(general, special)

    def _graph(self, general: Graph, special: Graph) -> bool:
        if list(general.inputs) != list(special.inputs) or general.output_names != special.output_names:
            return False
        values = dict(zip(general.inputs.values(), special.inputs.values(), strict=True))
        if not all(self._input(ours.type, theirs.type) for ours, theirs in values.items()):
            return False
        if not all(self._share(whole, refined) for whole, refined in general.shares.items()):
            return False
        return self._body(general, special, values)

    def _body(self, general: Graph, special: Graph, values: dict[Value, Value]) -> bool:
        if len(general.nodes) != len(special.nodes):
            return False
        for ours, theirs in zip(general.nodes, special.nodes, strict=True):
            if not self._node(ours, theirs, values):
                return False
        return [values[value] for value in general.outputs] == list(special.outputs)

    def _loop(self, ours: Loop, theirs: Loop, values: dict[Value, Value]) -> bool:
        """Whether two loops run the same body as often over the same kinds of values."""
        for field in fields(Loop):
            if field.name != "body" and not self._same(getattr(ours, field.name), getattr(theirs, field.name)):
                return False
        if list(ours.body.inputs) != list(theirs.body.inputs):
            return False
        within = dict(zip(ours.body.inputs.values(), theirs.body.inputs.values(), strict=True))
        if not all(self._input(a.type, b.type) for a, b in within.items()):
            return False
        return self._body(ours.body, theirs.body, values | within)

    def _input(self, ours: Tensor, theirs: Tensor) -> bool:
        if ours.dtype is not theirs.dtype or ours.rank != theirs.rank:
            return False
        return all(map(self._unify, ours.shape, theirs.shape)) and self._same(ours.below, theirs.below)

    def _share(self, whole: Symbol, refined: Dim) -> bool:
        """A dimension that is required to be a multiple, and the same written as the multiple of its share."""
        if whole in self.sizes:
            return self._unify(refined, self.sizes[whole])
        self.sizes[whole] = refined.substitute(self.sizes)
        return True

    def _unify(self, ours: Dim, theirs: Dim) -> bool:
        """Whether the sizes agree, once a symbol that was met for the first time stands for what it must."""
        fresh = [symbol for symbol in ours.symbols() if symbol not in self.sizes]
        if len(fresh) == 1:
            factor = ours.divide(Dim.of_symbol(fresh[0]))
            size = theirs.divide(factor) if factor is not None and factor.is_constant else None
            if size is None:
                return False
            self.sizes[fresh[0]] = size
        return ours.substitute(self.sizes) == theirs

    def _node(self, ours: Node, theirs: Node, values: dict[Value, Value]) -> bool:
        if ours.module != theirs.module or len(ours.inputs) != len(theirs.inputs):
            return False
        if not all(self._operand(a, b, values) for a, b in zip(ours.inputs, theirs.inputs, strict=True)):
            return False
        if not self._action(ours.action, theirs.action, values):
            return False
        if len(ours.outputs) != len(theirs.outputs):
            return False
        values.update(zip(ours.outputs, theirs.outputs, strict=True))
        return all(
            a.type.dtype is b.type.dtype and self._same(a.type.shape, b.type.shape)
            for a, b in zip(ours.outputs, theirs.outputs, strict=True)
        )

    def _action(self, ours: Action, theirs: Action, values: dict[Value, Value]) -> bool:
        if isinstance(ours, Call):
            return isinstance(theirs, Call)  # what they call is compared by itself
        if isinstance(ours, Loop):
            return isinstance(theirs, Loop) and self._loop(ours, theirs, values)
        return self._same(ours, theirs)

    def _operand(self, ours: Operand, theirs: Operand, values: Mapping[Value, Value]) -> bool:
        match ours:
            case Value():
                return values[ours] is theirs
            case Scalar(value=value):
                return isinstance(theirs, Scalar) and self._same(value, theirs.value)
            case ModelRef() | None:
                return ours == theirs

    def _same(self, ours: Any, theirs: Any) -> bool:
        """Whether two static values are the same with sizes in place of symbols."""
        if isinstance(ours, Dim):
            return isinstance(theirs, Dim | int) and ours.substitute(self.sizes) == theirs
        if type(ours) is not type(theirs):
            return False
        if isinstance(ours, Checked):
            return self._same(ours.values(), theirs.values())
        if isinstance(ours, tuple | list):
            mine, other = cast(tuple[Any, ...], ours), cast(tuple[Any, ...], theirs)
            return len(mine) == len(other) and all(map(self._same, mine, other))
        if is_dataclass(ours):
            return all(self._same(getattr(ours, field.name), getattr(theirs, field.name)) for field in fields(ours))
        return bool(ours == theirs)

    def _weights(self, general: Graph, special: Graph) -> bool:
        ours, theirs = general.weights(), special.weights()
        return list(ours) == list(theirs) and all(self._same(ours[path].shape, theirs[path].shape) for path in ours)
