"""From nodes to statements: what has a name in the spec is bound to it, what is used once stands where it is used."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from copy import copy
from typing import Any

from dlc.compiler.differentiation import Differentiation, of_block, takes_gradients
from dlc.compiler.graph import (
    Assign,
    Call,
    Functional,
    Gradient,
    Graph,
    Loop,
    Node,
    Operand,
    ReadModel,
    ReadWeight,
    Value,
)
from dlc.compiler.op import Op
from dlc.compiler.torch import draws, updates
from dlc.compiler.torch.bindings import Bindings
from dlc.compiler.torch.context import Code, Level, TorchContext
from dlc.compiler.torch.inline import Expression, FileParts, Pending, has_effect
from dlc.compiler.torch.layout import INDENT
from dlc.compiler.torch.names import identifier
from dlc.compiler.torch.reach import Reach
from dlc.compiler.torch.sizes import Sizes
from dlc.compiler.types import DType, Tensor

CallWriter = Callable[[Node, Code | None, Sequence[Code], "Body"], Code]
LoopWriter = Callable[["Body", Node, Loop], None]


class Body(Bindings):
    """The statements of one function, in the making.

    parameters: the inputs by their names in Python. apart: keep the calls of a list's items in statements of their
    own. training: the expression that says whether the network is being trained. kept: values that are used besides
    the outputs. differentiation: what is differentiated, by default as in a block that its caller may differentiate.
    untracked: whether the whole function runs without gradients. copied: the weights, by the ids of the values, that
    are copied where they are read.
    """

    def __init__(
        self,
        graph: Graph,
        parameters: Mapping[str, Value],
        reach: Reach,
        call: CallWriter,
        loop: LoopWriter,
        files: FileParts,
        *,
        reserved: Iterable[str] = (),
        training: str = "self.training",
        apart: bool = False,
        kept: Iterable[Value] = (),
        differentiation: Differentiation | None = None,
        untracked: bool = False,
        copied: Container[int] = (),
    ) -> None:
        sizes = Sizes({name: value.type for name, value in parameters.items()}, graph.statics)
        uses = _uses(graph.nodes, (*graph.outputs, *kept))
        super().__init__(parameters, sizes, reach, uses, reserved)
        self.graph = graph
        self.training = training
        self._call = call
        self._loop = loop
        self._files = files
        self._apart = apart
        self._leaving: set[int] = set()
        self.untracked = untracked
        self._copied = copied
        if differentiation is None and takes_gradients(graph):
            differentiation = of_block(graph)
        self._differentiation = differentiation
        self._leaves = differentiation.leaves() if differentiation is not None else {}
        losses = differentiation.losses if differentiation is not None else ()
        self._suggested = {
            **_nouns(graph),
            **{id(each.loss): "loss" for each in losses if each.loss not in graph.outputs},
        }
        for name, value in parameters.items():
            self.start_history(name, value)

    def inside(
        self,
        nodes: Sequence[Node],
        outputs: Sequence[Value],
        inputs: Mapping[str, Value],
        reserved: Iterable[str],
        called: Mapping[str, str],
    ) -> Body:
        """The body of a loop, for which what is bound so far stays as it is from turn to turn.

        outputs: what a turn leaves. inputs: what it starts with, by the names in Python. reserved: names in use that
        are no tensor's. called: other names for those that are taken outside.
        """
        inner = copy(self)
        inner.statements = []
        inner.uses = self.uses + _uses(nodes, outputs)
        kept = set(self._scope.values()).difference(inputs.values())
        inner.uses.update(map(id, kept))
        inner._reserved = self._reserved.union(reserved)
        inner._width = self._width - len(INDENT)
        inner._called = self._called | dict(called)
        inner._leaving = set(map(id, outputs))
        inner._scope = self._scope | dict(inputs)
        inner._code = self._code | {id(value): Code(name) for name, value in inputs.items()}
        inner._pending = {}
        inner._held = []
        for name, value in inputs.items():
            inner.start_history(name, value)
        return inner

    # --- nodes ---

    def run(self, place: int, node: Node) -> None:
        """Writes one node; those whose results nobody uses and that do nothing besides are left out."""
        acts = has_effect(node)
        if not acts and not any(self.uses[id(output)] for output in node.outputs):
            return
        if isinstance(node.action, Loop):
            self._loop(self, node, node.action)
            return
        if isinstance(node.action, ReadWeight):
            self._read(node)
            return
        if isinstance(node.action, Assign):
            updates.assign(self, node)
            return
        listed = self._apart and node.module is not None and self._reach.within_list(node.module)
        if listed:
            for pending in self._awaited(node.inputs):
                self._materialise(pending)
        effects = (place,) if acts else ()
        nests = not isinstance(node.action, Op) or not node.action.hidden
        name = node.outputs[0].name if len(node.outputs) == 1 else None
        operands = self._operands(node)
        found = self.compose(operands, lambda codes: self._lower(node, codes), effects, nests=nests, target=name)
        self._bind_results(place, node, found, listed)

    def _read(self, node: Node) -> None:
        assert node.module is not None
        code, (weight,) = self.module(node.module), node.outputs
        self.write_as(weight, code)
        if id(weight) in self._copied:
            text = f"{code}.clone()"
            name = self.free(identifier(weight.name), text) if weight.name else self._temporary(weight, text)
            self.statements.append(f"{name} = {text}")
            self.bind(name, weight)

    def _operands(self, node: Node) -> Sequence[Operand]:
        """What an expression for a node is made of: a model that something is differentiated by is no vector."""
        differentiation = self._differentiation if isinstance(node.action, Gradient) else None
        if differentiation is not None and differentiation.by_weights(node) is not None:
            loss, by = node.inputs
            self.release([by])
            if isinstance(by, Value) and not self.uses[id(by)]:
                self._pending.pop(id(by), None)
            return [loss]
        return node.inputs

    def start_history(self, name: str, value: Value) -> None:
        """Has gradients by a value, which was just bound to a name, start there where nothing else goes further."""
        start = self._history(value, is_given=True)
        if start:
            self.statements.append(f"{name} = {name}{start}")

    def _history(self, value: Value, *, is_given: bool = False) -> str:
        """What is called on a value that gradients are by. is_given: it is another's, who may need it as it is."""
        if id(value) not in self._leaves or self._differentiation is None:
            return ""
        tracked = self._differentiation.is_tracked(value)
        if self._leaves[id(value)]:
            return "" if not self._differentiation.may_be_untracked(value) else ".clone().requires_grad_()"
        return ".detach().requires_grad_()" if is_given or tracked else ".requires_grad_()"

    def _bind_results(self, place: int, node: Node, found: Expression, listed: bool) -> None:
        used = [output for output in node.outputs if self.uses[id(output)]]
        if len(used) == 1 and self.uses[id(used[0])] == 1 and not listed and self._can_wait(used[0]):
            text = found.text
            if len(node.outputs) > 1:
                text = Code(f"{Code.within(text, Level.ATOM)}[{node.outputs.index(used[0])}]")
            pending = Pending(place, used[0], text, found.effects, found.depth)
            self._pending[id(used[0])] = pending
        elif not used:
            self.put(found.text, found)
        else:
            self._flush(found.effects, found.text)
            names = self._names(node, found.text)
            start = self._history(node.outputs[0]) if len(names) == 1 else ""
            text = Code.within(found.text, Level.ATOM) + start if start else found.text
            self.statements.append(f"{', '.join(names)} = {text}")
            for name, output in zip(names, node.outputs, strict=True):
                if self.uses[id(output)]:
                    self.bind(name, output)
                    if len(names) > 1:
                        self.start_history(name, output)

    def _can_wait(self, value: Value) -> bool:
        """Whether a value needs no name where it is made: what a turn leaves has one that may not be free yet."""
        if value.name is None or id(value) not in self._leaving:
            return value.name is None
        name = self._called.get(identifier(value.name), identifier(value.name))
        held = self._scope.get(name)
        return held is not None and not self._is_over(name, held)

    def _lower(self, node: Node, codes: Sequence[Code | None]) -> Code:
        module = None if node.module is None else self._reach.module(node.module)
        if isinstance(node.action, Call | Functional):
            return self._call(node, module, [code for code in codes if code is not None], self)
        if isinstance(node.action, ReadModel):
            assert node.module is not None
            return updates.vector(self.module(node.module))
        if isinstance(node.action, Gradient):
            assert self._differentiation is not None
            return updates.gradient(self, self._differentiation, node, codes)
        assert isinstance(node.action, Op)
        types = tuple(output.type for output in node.outputs)
        code = node.action.torch(self.context(node.operand_types, types, module or ""), *codes)
        return draws.shared(self._files, node, node.action, code)

    def module(self, path: str) -> Code:
        """The expression for a module or a weight."""
        code = self._reach.module(path)
        assert code is not None
        return code

    def context(self, inputs: tuple[Any, ...] = (), outputs: tuple[Tensor, ...] = (), module: str = "") -> TorchContext:
        """What an operation sees at this place."""
        anchor, float_anchor = self._anchors()
        return TorchContext(
            inputs,
            outputs,
            module=module,
            sizes=self.sizes.write,
            anchor=anchor,
            float_anchor=float_anchor,
            imports=self._files.imports,
            functions=self._files.functions,
            training=self.training,
        )

    def _anchors(self) -> tuple[str | None, str | None]:
        """Tensors whose device and whose float type are the model's: an input, or else a weight."""
        floats = [name for name, value in self._scope.items() if value.type.dtype is DType.FLOAT]
        path = self._reach.a_float_weight()
        weight = None if path is None else self._reach.module(path)
        anchor = floats[0] if floats else weight
        return anchor or next(iter(self._scope), None), anchor

    def _names(self, node: Node, text: str) -> list[str]:
        names: list[str] = []
        called = node.action.graph.output_names if isinstance(node.action, Call | Functional) else ()
        for place, output in enumerate(node.outputs):
            if not self.uses[id(output)]:
                names.append("_")
            elif (known := self.called(output)) is not None:
                names.append(self.free(identifier(known), text, names))
            elif len(called) > 1:
                names.append(self.free(identifier(called[place]), text, names))
            else:
                names.append(self._temporary(output, text, names))
        return names

    # --- results ---

    def give(self) -> str:
        """Writes the `return`; gives the annotation of the function."""
        outputs = self.graph.outputs
        found = self.compose(outputs, lambda codes: Code(", ".join(str(code) for code in codes)), nests=False)
        self.statements.append(f"return {found.text}")
        return "Tensor" if len(outputs) == 1 else f"tuple[{', '.join(['Tensor'] * len(outputs))}]"


def _nouns(graph: Graph) -> dict[int, str]:
    """What results are best called that have no name in the spec, by the values' ids."""
    made = ((node, node.action.noun) for node in graph.nodes if isinstance(node.action, Op) and len(node.outputs) == 1)
    return {id(node.outputs[0]): noun for node, noun in made if noun and node.outputs[0] not in graph.outputs}


def _uses(nodes: Sequence[Node], outputs: Iterable[Value]) -> Counter[int]:
    """How often each value is used on the way to the outputs, or to what acts, by the values' ids."""
    uses = Counter(map(id, outputs))
    for node in reversed(nodes):
        if has_effect(node) or any(uses[id(output)] for output in node.outputs):
            uses.update(map(id, node.values))
    return uses
