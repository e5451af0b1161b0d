"""From nodes to statements: what has a name in the spec is bound to it, what is used once stands where it is used."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from dlc.compiler.graph import Call, Graph, ModelRef, Node, Operand, ReadWeight, Value
from dlc.compiler.op import Op
from dlc.compiler.torch.context import Code, Level, TorchContext
from dlc.compiler.torch.inline import Expression, FileParts, Pending, has_effect, out_of_order, too_much
from dlc.compiler.torch.names import identifier, unused
from dlc.compiler.torch.reach import Reach
from dlc.compiler.torch.sizes import Sizes
from dlc.compiler.types import DType, Scalar

_WORD = re.compile(r"(?<![\w.])[^\W\d]\w*")


Write = Callable[[Sequence[Code | None]], Code]
CallWriter = Callable[[Node, Code | None, Sequence[Code], "Body"], Code]


class Body:
    """The statements of one function, in the making.

    parameters: the inputs by their names in Python. apart: keep the calls of a list's items in statements of their
    own. training: the expression that says whether the network is being trained.
    """

    def __init__(
        self,
        graph: Graph,
        parameters: Mapping[str, Value],
        reach: Reach,
        call: CallWriter,
        files: FileParts,
        *,
        reserved: Iterable[str] = (),
        training: str = "self.training",
        apart: bool = False,
    ) -> None:
        self.graph = graph
        self.statements: list[str] = []
        self.sizes = Sizes({name: value.type for name, value in parameters.items()}, graph.statics)
        self.rebound: set[str] = set()
        self.training = training
        self.uses = Counter(id(value) for node in graph.nodes for value in node.values)
        self.uses.update(id(value) for value in graph.outputs)
        self._inputs = dict(parameters)
        self._reach = reach
        self._call = call
        self._files = files
        self._reserved = set(reserved)
        self._apart = apart
        self._scope: dict[str, Value] = dict(parameters)
        self._code: dict[int, Code] = {id(value): Code(name) for name, value in parameters.items()}
        self._pending: dict[int, Pending] = {}
        self._held: list[str] = []  # texts about to be written, whose names must keep their values until then

    def words(self) -> set[str]:
        """Every name that the statements use, and those that they must not."""
        return set(_WORD.findall("\n".join(self.statements))) | set(self._inputs) | self._reserved

    # --- nodes ---

    def run(self, place: int, node: Node) -> None:
        """Writes one node; those whose results nobody uses and that do nothing besides are left out."""
        acts = has_effect(node)
        if not acts and not any(self.uses[id(output)] for output in node.outputs):
            self._release(node.inputs)
            return
        if isinstance(node.action, ReadWeight):
            assert node.module is not None
            code = self._reach.module(node.module)
            assert code is not None
            self._code[id(node.outputs[0])] = code
            return
        listed = self._apart and node.module is not None and self._reach.within_list(node.module)
        if listed:
            for pending in self._awaited(node.inputs):
                self._materialise(pending)
        effects = (place,) if acts else ()
        nests = not isinstance(node.action, Op) or not node.action.hidden
        name = node.outputs[0].name if len(node.outputs) == 1 else None
        found = self.compose(node.inputs, lambda codes: self._lower(node, codes), effects, nests=nests, target=name)
        self._bind_results(place, node, found, listed)

    def _bind_results(self, place: int, node: Node, found: Expression, listed: bool) -> None:
        used = [output for output in node.outputs if self.uses[id(output)]]
        if len(used) == 1 and used[0].name is None and self.uses[id(used[0])] == 1 and not listed:
            text = found.text
            if len(node.outputs) > 1:
                text = Code(f"{Code.within(text, Level.ATOM)}[{node.outputs.index(used[0])}]")
            pending = Pending(place, used[0], text, found.effects, found.depth)
            self._pending[id(used[0])] = pending
        elif not used:
            self._flush(found.effects, found.text)
            self.statements.append(found.text)
        else:
            self._flush(found.effects, found.text)
            names = self._names(node, found.text)
            self.statements.append(f"{', '.join(names)} = {found.text}")
            for name, output in zip(names, node.outputs, strict=True):
                if self.uses[id(output)]:
                    self._bind(name, output)

    def _lower(self, node: Node, codes: Sequence[Code | None]) -> Code:
        module = None if node.module is None else self._reach.module(node.module)
        if isinstance(node.action, Call):
            return self._call(node, module, [code for code in codes if code is not None], self)
        assert isinstance(node.action, Op)
        anchor, float_anchor = self._anchors()
        context = TorchContext(
            node.operand_types,
            tuple(output.type for output in node.outputs),
            module=module or "",
            sizes=self.sizes.write,
            anchor=anchor,
            float_anchor=float_anchor,
            imports=self._files.imports,
            functions=self._files.functions,
            training=self.training,
        )
        return node.action.torch(context, *codes)

    def _anchors(self) -> tuple[str | None, str | None]:
        """Tensors whose device and whose float type are the model's: an input, or else a weight."""
        floats = [name for name, value in self._scope.items() if value.type.dtype is DType.FLOAT]
        path = self._reach.a_float_weight()
        weight = None if path is None else self._reach.module(path)
        anchor = floats[0] if floats else weight
        return anchor or next(iter(self._scope), None), anchor

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
            depth = max((pending.depth for pending in awaited), default=0) + nests
            final = text
            for pending in awaited:
                final = Code(final.replace(stand_ins[id(pending.value)], pending.text), text.level)
            misfit = next((p for p in awaited if text.count(stand_ins[id(p.value)]) != 1), None)
            misfit = misfit or out_of_order(awaited, order, [p for p in self._pending.values() if p not in awaited])
            if text not in stand_ins.values():
                misfit = misfit or too_much(awaited, final, depth, target)
            if misfit is None:
                for pending in awaited:
                    del self._pending[id(pending.value)]
                self._release(operands)
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
        name = self._temporary(pending.value, pending.text)
        self.statements.append(f"{name} = {pending.text}")
        self._bind(name, pending.value)

    def _flush(self, effects: tuple[int, ...], text: str) -> None:
        """Binds what waits and acts before the last of these effects, which are those of a text about to be written."""
        self._bind_all(lambda pending: effects[-1:] > pending.effects[:1] > (), text)

    def settle(self, value: Value, name: str) -> None:
        """Binds a value that waits, now, to a name if it is free."""
        pending = self._pending.pop(id(value), None)
        if pending is not None:
            self._flush(pending.effects, pending.text)
            free = self._free(identifier(name), pending.text)
            self.statements.append(f"{free} = {pending.text}")
            self._bind(free, value)

    def flush_all(self, text: str) -> None:
        """Binds all that waits: the text about to be written changes weights."""
        self._bind_all(lambda pending: True, text)

    def _bind_all(self, which: Callable[[Pending], bool], text: str) -> None:
        self._held.append(text)
        for pending in list(self._pending.values()):
            if which(pending) and id(pending.value) in self._pending:
                self._materialise(pending)
        self._held.pop()

    def _names(self, node: Node, text: str) -> list[str]:
        names: list[str] = []
        called = node.action.graph.output_names if isinstance(node.action, Call) else ()
        for place, output in enumerate(node.outputs):
            if not self.uses[id(output)]:
                names.append("_")
            elif output.name is not None:
                names.append(self._free(identifier(output.name), text, names))
            elif len(called) > 1:
                names.append(self._free(identifier(called[place]), text, names))
            else:
                names.append(self._temporary(output, text, names))
        return names

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

    def _free(self, name: str, text: str, others: Sequence[str] = ()) -> str:
        """The name for what the text gives, if its value so far is not used any more, or the next that is free.

        What waits and mentions the name is bound before, unless that would change the order of effects.
        """
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

    def _bind(self, name: str, value: Value) -> None:
        if name in self._inputs:
            self.rebound.add(name)
        self._scope.pop(name, None)
        self._scope[name] = value
        self._code[id(value)] = Code(name)

    def _release(self, operands: Iterable[Operand]) -> None:
        for operand in operands:
            if isinstance(operand, Value):
                self.uses[id(operand)] -= 1

    # --- results ---

    def give(self) -> str:
        """Writes the `return`; gives the annotation of the function."""
        outputs = self.graph.outputs
        found = self.compose(outputs, lambda codes: Code(", ".join(str(code) for code in codes)), nests=False)
        self.statements.append(f"return {found.text}")
        return "Tensor" if len(outputs) == 1 else f"tuple[{', '.join(['Tensor'] * len(outputs))}]"
