"""What is bound to which name in a function in the making, and what waits to stand where it is used."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from dlc.compiler.graph import ModelRef, Operand, Value
from dlc.compiler.torch.context import Code, TorchContext
from dlc.compiler.torch.draft import WIDTH
from dlc.compiler.torch.inline import Expression, Pending, out_of_order, too_much
from dlc.compiler.torch.names import identifier, unused
from dlc.compiler.torch.reach import Reach
from dlc.compiler.torch.sizes import Sizes
from dlc.compiler.types import Scalar

_WORD = re.compile(r"(?<![\w.])[^\W\d]\w*")

Write = Callable[[Sequence[Code | None]], Code]


class Bindings:
    """Statements, and the expressions and names that those to come are made of.

    inputs: the function's, by their names in Python. uses: how often each value will be used, by the values' ids.
    reserved: names that are in use for something else. rebound: the inputs whose names have passed to other values.
    """

    def __init__(
        self, inputs: Mapping[str, Value], sizes: Sizes, reach: Reach, uses: Counter[int], reserved: Iterable[str]
    ) -> None:
        self.statements: list[str] = []
        self.sizes = sizes
        self.uses = uses
        self.rebound: set[str] = set()
        self._inputs = dict(inputs)
        self._reach = reach
        self._reserved = set(reserved)
        self._width = WIDTH
        self._called: dict[str, str] = {}
        self._suggested: dict[int, str] = {}
        self._scope: dict[str, Value] = dict(inputs)
        self._code: dict[int, Code] = {id(value): Code(name) for name, value in inputs.items()}
        self._pending: dict[int, Pending] = {}
        self._held: list[str] = []  # texts about to be written, whose names must keep their values until then

    def words(self) -> set[str]:
        """Every name that the statements use, and those that they must not."""
        return set(_WORD.findall("\n".join(self.statements))).union(self._inputs, self._scope, self._reserved)

    # --- expressions ---

    def compose(
        self,
        operands: Sequence[Operand],
        write: Write,
        effects: tuple[int, ...] = (),
        *,
        nests: bool = True,
        target: str | None = None,
    ) -> Expression:
        """An expression over operands, with what waits for them inlined where that changes nothing but the text."""
        while True:
            awaited = self._awaited(operands)
            stand_ins = {id(pending.value): f"__v{number}__" for number, pending in enumerate(awaited)}
            text = write([self._operand(operand, stand_ins) for operand in operands])
            placed = sorted(awaited, key=lambda pending: text.find(stand_ins[id(pending.value)]))
            order = tuple(place for pending in placed for place in pending.effects) + effects
            chained = text.startswith(tuple(f"{stand_in}." for stand_in in stand_ins.values()))
            depth = max((pending.depth for pending in awaited), default=0) + (nests and not chained)
            final = text
            for pending in awaited:
                final = Code(final.replace(stand_ins[id(pending.value)], pending.text), text.level)
            misfit = next((p for p in awaited if text.count(stand_ins[id(p.value)]) != 1), None)
            misfit = misfit or out_of_order(awaited, order, [p for p in self._pending.values() if p not in awaited])
            if text not in stand_ins.values():
                misfit = misfit or too_much(awaited, final, depth, target, self._width)
            if misfit is None:
                for pending in awaited:
                    del self._pending[id(pending.value)]
                self.release(operands)
                return Expression(final, order, depth)
            self._materialise(misfit)

    def _awaited(self, operands: Sequence[Operand]) -> list[Pending]:
        return [self._pending[id(operand)] for operand in operands if id(operand) in self._pending]

    def _operand(self, operand: Operand, stand_ins: Mapping[int, str]) -> Code | None:
        match operand:
            case Value() if id(operand) in stand_ins:
                return Code(stand_ins[id(operand)], self._pending[id(operand)].text.level)
            case Value():
                return self._code[id(operand)]
            case ModelRef(path):
                return self._reach.module(path)
            case Scalar(value):
                return TorchContext((), (), sizes=self.sizes.write).literal(value)
            case None:
                return None

    # --- names ---

    def _materialise(self, pending: Pending) -> None:
        """Binds an expression that waits to a name, now."""
        del self._pending[id(pending.value)]
        self._flush(pending.effects, pending.text)
        value, text = pending.value, pending.text
        called = self.called(value)
        name = self.free(identifier(called), text) if called else self._temporary(value, text)
        self.statements.append(f"{name} = {pending.text}")
        self.bind(name, pending.value)

    def called(self, value: Value) -> str | None:
        """The name of a value in the spec, or else what it is best called."""
        return value.name or self._suggested.get(id(value))

    def _flush(self, effects: tuple[int, ...], text: str) -> None:
        """Binds what waits and acts before the last of these effects, which are those of a text about to be written."""
        self._bind_all(lambda pending: effects[-1:] > pending.effects[:1] > (), text)

    def settle(self, value: Value, name: str) -> None:
        """Binds a value that waits, now, to a name if it is free."""
        pending = self._pending.pop(id(value), None)
        if pending is not None:
            self._flush(pending.effects, pending.text)
            free = self.free(identifier(name), pending.text)
            self.statements.append(f"{free} = {pending.text}")
            self.bind(free, value)

    def put(self, text: str, found: Expression) -> None:
        """Writes a statement that is made of an expression, behind what has to be done before it."""
        self._flush(found.effects, text)
        self.statements.append(text)

    def flush_all(self, text: str = "", but: Sequence[Operand] = ()) -> None:
        """Binds all that waits, besides what can still wait of these operands: the text about to be written changes
        weights, or is written over and over."""
        kept = {id(operand) for operand in but}
        self._bind_all(lambda pending: bool(pending.effects) or id(pending.value) not in kept, text)

    def _bind_all(self, which: Callable[[Pending], bool], text: str) -> None:
        self._held.append(text)
        for pending in list(self._pending.values()):
            if which(pending) and id(pending.value) in self._pending:
                self._materialise(pending)
        self._held.pop()

    def _temporary(self, value: Value, text: str, others: Sequence[str] = ()) -> str:
        """A name for a value that has none in the spec: that of what it is made from, if it is as short as that."""
        for word in dict.fromkeys(_WORD.findall(text)):
            held = self._scope.get(word)
            if held is not None and len(word) == 1 and word not in others and self._replaces(value, held, word):
                return word
        return self._next_free("h", others, separator="")

    def _replaces(self, value: Value, held: Value, name: str) -> bool:
        """Whether a name may pass from one value to another that is alike."""
        return self._is_over(name, held) and not self._mentioning(name) and held.type.dtype is value.type.dtype

    def _is_over(self, name: str, held: Value) -> bool:
        """Whether nothing that is written from now on reads this value by its name, but what waits."""
        return not self.uses[id(held)] and not any(name in _WORD.findall(text) for text in self._held)

    def _mentioning(self, name: str) -> list[Pending]:
        return [pending for pending in self._pending.values() if name in _WORD.findall(pending.text)]

    def free(self, name: str, text: str = "", others: Sequence[str] = ()) -> str:
        """The name for what the text gives, if its value so far is not used any more, or the next that is free.

        What waits and mentions the name is bound before, unless that would change the order of effects.
        """
        name = self._called.get(name, name)
        held = self._scope.get(name)
        mentioning = self._mentioning(name)
        acting = any(pending.effects for pending in mentioning)
        if held is not None and name not in others and not acting and self._is_over(name, held):
            self._bind_all(lambda pending: pending in mentioning, f"{name} = {text}")
            return name
        return self._next_free(name, others)

    def _next_free(self, name: str, others: Sequence[str], separator: str = "_") -> str:
        held = self._scope.get(name)
        if held is not None and name not in others and self._is_over(name, held) and not self._mentioning(name):
            return name
        return unused(name, {*self._scope, *self._reserved, *others}, separator)

    def holds(self, name: str, value: Operand) -> bool:
        """Whether a name has this value."""
        return self._scope.get(name) is value

    def forget(self, names: Iterable[str]) -> None:
        """Notes that names have no tensor any more that could be relied on."""
        for name in names:
            self._scope.pop(name, None)
            self.rebound.update({name} & self._inputs.keys())

    def write_as(self, value: Value, code: Code) -> None:
        """Has a value written as this code wherever it is used."""
        self._code[id(value)] = code

    def bind(self, name: str, value: Value) -> None:
        """Notes that a name has this value from here on."""
        if name in self._inputs:
            self.rebound.add(name)
        self._scope.pop(name, None)
        self._scope[name] = value
        self._code[id(value)] = Code(name)

    def release(self, operands: Iterable[Operand]) -> None:
        """Notes a use of each operand as over."""
        for operand in operands:
            if isinstance(operand, Value):
                self.uses[id(operand)] -= 1
