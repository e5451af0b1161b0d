"""A graph while it is being written: its scope, the names of its modules, its nodes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dlc.compiler.dim import Dim
from dlc.compiler.elaborate import reports
from dlc.compiler.elaborate.reach import overlap
from dlc.compiler.elaborate.scope import Scope
from dlc.compiler.elaborate.values import Instance, Part, Poisoned, is_sequence
from dlc.compiler.errors import NeverApplied
from dlc.compiler.graph import (
    BlockModule,
    Call,
    Graph,
    ListModule,
    ModelRef,
    Module,
    Operand,
    OpModule,
    ReadWeight,
    Value,
    WeightModule,
    find_module,
)
from dlc.compiler.op import Op
from dlc.compiler.ops.choosing import Cast
from dlc.compiler.program import Effect
from dlc.compiler.types import ShapeError, Tensor
from dlc.grammar import ast
from dlc.grammar.diagnostics import Diagnostic, Refusal
from dlc.grammar.source import Span

if TYPE_CHECKING:
    from dlc.compiler.elaborate.compilation import Compilation

Slot = Module | Instance | list[Any]  # of slots


class Frame:
    """One body being elaborated.

    depth: how many blocks deep it lies. leading: what `...` stands for in the types of this block. A frame that
    `owns` nothing (a training step) makes no weights of its own. borrowed: instances that are passed in. effects:
    in a training step, what it does besides computing, each with the number of nodes that precede it. assigns: weights
    may be assigned here. fits: in a data block, what statistics are fitted to, by name. models: by the id of a value
    that is the vector of a model, that model. around: the frame of the block, for the body of a loop, whose modules
    are that block's. file: the names of the file, beyond those of the body. parameters: the block's, as declared.
    claims: what is held against the block once it is complete.
    """

    def __init__(
        self,
        compilation: Compilation,
        graph: Graph,
        scope: Scope,
        *,
        depth: int = 0,
        owns: bool = True,
        around: Frame | None = None,
    ) -> None:
        self.compilation = compilation
        self.graph = graph
        self.scope = scope
        self.depth = depth
        self.owns = owns
        self.leading: tuple[Dim, ...] | None = None
        self.failed = False
        self.around = around
        self.file = scope.outer if around is None else around.file
        self.borrowed: dict[str, Slot] = {} if around is None else around.borrowed
        self.effects: list[tuple[int, Effect]] | None = None
        self.models: dict[int, Instance | Part] = {} if around is None else around.models
        self.fits: list[tuple[str, Value]] | None = None
        self.parameters: tuple[ast.Parameter, ...] = ()
        self.claims: list[Callable[[], None]] = []
        self.assigns = False if around is None else around.assigns
        self._slots: dict[str, Slot] = {} if around is None else around.slots()
        self._weights: dict[str, Value] = {}
        self._constants: dict[str, Any] = {}
        self._producers: dict[int, str] = {}

    # --- diagnostics ---

    def report(self, refusal: Refusal) -> None:
        """Notes mistakes and lets elaboration go on."""
        self.failed = True
        self.compilation.sink.extend(refusal.diagnostics)

    def refuse(self, diagnostic: Diagnostic) -> None:
        self.report(Refusal(diagnostic))

    # --- modules ---

    def claim(self, name: str, slot: Slot | None = None) -> str:
        """A module name that is still free: the name itself, numbered from the second use on."""
        free, count = name, 1
        while free in self._slots:
            count += 1
            free = f"{name}_{count}"
        if slot is not None:
            self._slots[free] = slot
        return free

    def fill(self, path: str, slot: Slot) -> None:
        self._slots[path] = slot

    def release(self, path: str) -> None:
        """Makes a name free again under which nothing is owned."""
        del self._slots[path]

    def modules(self) -> dict[str, Module]:
        """What the graph owns, every instance resolved. Reports instances that were never applied."""
        never = [] if self.failed else [unused for slot in self._slots.values() if (unused := _unapplied(slot))]
        for unused in never:
            self.refuse(_never_applied(unused))
        resolved = ((name, _resolved(slot)) for name, slot in self._slots.items())
        return {name: module for name, module in resolved if module is not None}

    # --- nodes ---

    def apply(
        self, op: Op, inputs: Sequence[Operand], span: Span, spans: Mapping[str, Span], module: str | None = None
    ) -> Value | tuple[Value, ...]:
        """Adds an operation; a refusal of its shape rule is reported at the argument that is wrong."""
        types = [operand.type if isinstance(operand, Value) else operand for operand in inputs]
        if op.promotes:
            types = _promoted(types)
        try:
            given = op.infer(*types)
        except ShapeError as error:
            raise Refusal(reports.shape(error, op, inputs, span, spans, self.producer)) from None
        results: Sequence[Tensor] = given if is_sequence(given) else (given,)
        if op.promotes:
            inputs = [self._as(type, operand, span) for type, operand in zip(types, inputs, strict=True)]
        outputs = self.graph.add(op, inputs, results, span, module)
        for output in outputs:
            self._producers[id(output)] = op.name
        return outputs if isinstance(given, tuple) else outputs[0]

    def _as(self, type: Tensor | Operand, operand: Operand, span: Span) -> Operand:
        """The operand in the element type of another type of its shape."""
        if not isinstance(operand, Value) or not isinstance(type, Tensor) or operand.type.dtype is type.dtype:
            return operand
        cast = Cast(type=type.dtype.value)
        (result,) = self.graph.add(cast, [operand], [type], span)
        self._producers[id(result)] = cast.name
        return result

    def call(
        self, graph: Graph, inputs: Sequence[Operand], span: Span, module: str | None
    ) -> Value | tuple[Value, ...]:
        """Adds the call of a block's graph."""
        outputs = self.graph.add(Call(graph), inputs, [value.type for value in graph.outputs], span, module)
        for output in outputs:
            self._producers[id(output)] = graph.name
        return outputs[0] if len(outputs) == 1 else outputs

    def read_weight(self, path: str, span: Span) -> Value:
        """A weight as a value; one node however often it is read."""
        if path not in self._weights:
            module = find_module(self._reachable(), path)
            assert isinstance(module, WeightModule)
            weight = module.weight
            (value,) = self.graph.add(ReadWeight(), (), [Tensor(weight.dtype, weight.shape)], span, path)
            self._producers[id(value)] = f"the weight `{path}`"
            self._weights[path] = value
        return self._weights[path]

    def changed(self, path: str) -> None:
        """Forgets what was read of weights before they changed: one weight, or those of a module."""
        self._weights = {read: value for read, value in self._weights.items() if not overlap(read, path)}
        if self.around is not None:
            self.around.changed(path)

    def _reachable(self) -> dict[str, Module]:
        slots = self._slots | self.borrowed
        return {name: module for name, slot in slots.items() if (module := known(slot)) is not None}

    def slots(self) -> dict[str, Slot]:
        """What the frame owns, resolved or not, for a frame that borrows from it."""
        return self._slots

    def producer(self, value: Value) -> str:
        """Where a value comes from, in words."""
        if value.name:
            return f"`{value.name}`"
        return f"{self._producers.get(id(value), 'an input')} at {value.span.place}"

    def constant(self, name: str, make: Any) -> Any:
        """A `let` that is a tensor, computed once in each graph that uses it."""
        if name not in self._constants:
            self._constants[name] = make()
        return self._constants[name]


def _promoted(types: Sequence[Tensor | Operand]) -> list[Tensor | Operand]:
    """The types with ints among floats as floats."""
    tensors = [type for type in types if isinstance(type, Tensor)]
    due = next((type.dtype for type in tensors if type.dtype.is_float), None)
    if due is None:
        return [*types]
    return [Tensor(due, type.shape) if isinstance(type, Tensor) and type.dtype.is_int else type for type in types]


def _resolved(slot: Slot | None) -> Module | None:
    if isinstance(slot, list):
        items = tuple(_resolved(item) for item in slot)
        return ListModule(items) if any(item is not None for item in items) else None
    return slot.module if isinstance(slot, Instance) else slot


def _unapplied(slot: Slot) -> list[Instance]:
    """The instances in a slot that were never applied."""
    if isinstance(slot, list):
        return [instance for item in slot for instance in _unapplied(item)]
    return [slot] if isinstance(slot, Instance) and not slot.applied else []


def _never_applied(unused: Sequence[Instance]) -> NeverApplied:
    """The instances of one name, of which a list has several."""
    first = unused[0]
    name, *places = first.path.split(".")
    written = name + "".join(f"[{place}]" for place in places)
    what = f"`{written}` is a layer that is" if len(unused) == 1 else f"{len(unused)} layers of `{name}` are"
    help = f"apply it, as in `x -> {written}`, or remove it"
    if places and len(unused) > 1:
        help = f"apply them one after the other, as in `for layer in {name}: x = x -> layer`, or remove them"
    return NeverApplied(f"{what} never applied", first.span, label="bound here", help=help)


def known(slot: Slot) -> Module | None:
    """A slot's module as far as it is fixed."""
    if isinstance(slot, list):
        return ListModule(tuple(known(item) for item in slot))
    return slot.module if isinstance(slot, Instance) else slot


def fix(instance: Instance, module: Module, span: Span) -> None:
    """Fixes what an instance's weights are, at its first application."""
    instance.module = module
    instance.fixed_at = span


def model_ref(layer: Instance | Part) -> ModelRef:
    if layer.module is None:
        raise Poisoned
    return ModelRef(layer.path)


def owns_weights(module: Module | None) -> bool:
    """Whether there is a weight in a module, or in one of its parts."""
    match module:
        case None:
            return False
        case OpModule(weights=weights):
            return bool(weights)
        case BlockModule(graph=graph):
            return any(owns_weights(part) for part in graph.modules.values())
        case ListModule(items=items):
            return any(owns_weights(item) for item in items)
        case WeightModule():
            return True
