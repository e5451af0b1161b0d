"""What an expression can be at compile time: static values, layers, instances of layers, and tensors to come.

Static numbers are `Dim` (every int, symbolic or not), `float` and `bool`; lists, tuples and strings are Python's own;
`none` is None. Tensors are `graph.Value`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeGuard, cast

from dlc.compiler.dim import Dim, Symbol
from dlc.compiler.graph import Check, ListModule, ModelRef, Module, Value
from dlc.compiler.op import Op
from dlc.grammar import ast
from dlc.grammar.diagnostics import Refusal
from dlc.grammar.source import Span

if TYPE_CHECKING:
    from dlc.compiler.elaborate.frame import Frame
    from dlc.compiler.elaborate.scope import Scope


class Poisoned(Refusal):
    """Raised on meeting something that is already known to be wrong: one mistake is told once."""


@dataclass(frozen=True)
class Multiple:
    """A dimension that must be a multiple of a number: `size` is that multiple of its share."""

    whole: Symbol
    size: Dim
    check: Check


class Refined(Exception):
    """Raised where a spec turns out to know more of its dimensions; elaboration starts anew with that."""

    def __init__(self, *facts: Multiple) -> None:
        super().__init__(", ".join(fact.whole.name for fact in facts))
        self.facts = facts


@dataclass(frozen=True)
class Poison:
    """Stands for a value that could not be made."""


POISON = Poison()


@dataclass(frozen=True)
class Origin:
    """Where a size was introduced, and what there is to say about it in a report."""

    span: Span
    text: str


@dataclass(frozen=True)
class Record:
    """`(train=0.8, valid=0.2)`"""

    fields: Mapping[str, Any]
    spans: Mapping[str, Span] = field(compare=False)


@dataclass(frozen=True, eq=False)
class DataParts:
    """What the name of a data block stands for in the steps that learn from it: its parts, each a tensor that is an
    input of the step from its first use on."""

    name: str
    parts: Mapping[str, Callable[[], Value]]


@dataclass(frozen=True)
class Arg:
    """An argument that has been evaluated: its name, if it was given one, its value and its place."""

    name: str | None
    value: Any
    span: Span
    name_span: Span | None = None


@dataclass(frozen=True, eq=False)
class BlockDef:
    """A `block` or `model` declaration and the names that its body sees."""

    tree: ast.Block
    scope: Scope

    @property
    def name(self) -> str:
        return self.tree.name.id


@dataclass(frozen=True, eq=False)
class DataDef:
    """A `data` declaration and the names that it sees."""

    tree: ast.Data
    scope: Scope


class TrainDef:
    """A `train` declaration: a name that is taken, and nothing that an expression could use."""


Callee = type[Op] | BlockDef


@dataclass(frozen=True, eq=False)
class Recipe:
    """A layer: an operation or a block with some of its arguments. Each application makes fresh weights."""

    callee: Callee
    arguments: tuple[Arg, ...]
    span: Span

    @property
    def name(self) -> str:
        return self.callee.name


@dataclass(frozen=True, eq=False)
class Composition:
    """Layers made into one: in a row (`chain`, or `repeat` for one and the same), side by side (`branch`), or around
    a skip (`residual`)."""

    stages: tuple[Layer, ...]
    span: Span
    kind: str = "chain"


@dataclass(eq=False)
class Instance:
    """A layer bound to a name: one set of weights, however often it is applied.

    path: where its weights are, seen from `owner`, the frame of the block that bound it (none: from whichever frame
    it was passed into). module: what its weights are, once the first application has fixed their sizes.
    """

    layer: Recipe | Composition
    path: str
    owner: Frame
    span: Span
    module: Module | None = None
    applied: bool = False
    fixed_at: Span | None = None


@dataclass(eq=False)
class Part:
    """A part of an instance, reached by name: `net.layers[0]`, which can be applied or looked into."""

    path: str
    module: Module
    instance: Instance
    span: Span


Layer = Recipe | Composition | Instance | Part


def is_layer(value: object) -> bool:
    return isinstance(value, Recipe | Composition | Instance | Part)


def may_own_weights(layer: object) -> bool:
    """Whether a layer could make weights of its own: each but those of operations that have none."""
    match layer:
        case Recipe(callee=callee):
            return not (isinstance(callee, type) and callee.weights is Op.weights)
        case Composition(stages=stages):
            return any(map(may_own_weights, stages))
        case _:
            return True


def is_sequence(value: object) -> TypeGuard[list[Any] | tuple[Any, ...]]:
    return isinstance(value, list | tuple)


def listed(value: object) -> list[Any] | None:
    """What there is to go through: the items of a list or tuple, and those of an instance's list of layers."""
    match value:
        case list() | tuple():
            return list(cast("Sequence[Any]", value))
        case Part(module=ListModule(items=modules)) if None not in modules:
            return [
                Part(f"{value.path}.{place}", module, value.instance, value.span)
                for place, module in enumerate(modules)
                if module is not None
            ]
        case _:
            return None


def is_tensor(value: object) -> bool:
    return isinstance(value, Value)


def carries_tensor(value: object) -> bool:
    """Whether a value is a tensor, or a tuple, list or record that holds one."""
    if isinstance(value, Record):
        return any(carries_tensor(item) for item in value.fields.values())
    if is_sequence(value):
        return any(carries_tensor(item) for item in value)
    return isinstance(value, Value | ModelRef)


def describe(value: object) -> str:
    """A value in a few words, as they stand in a report: `the number 3`, `a tensor float[N, 4]`."""
    match value:
        case Value():
            return f"a tensor {value.type}"
        case bool():
            return "true" if value else "false"
        case Dim():
            return f"the number {value}" if value.is_constant else f"the size {value}"
        case int() | float():
            return f"the number {value!r}"
        case str():
            return f'the string "{value}"' if len(value) < 30 else "a string"
        case None:
            return "none"
        case list():
            return "a list"
        case tuple():
            items = cast("tuple[Any, ...]", value)
            tensors = bool(items) and all(isinstance(item, Value) for item in items)
            return f"a tuple of {len(items)} tensors" if tensors else "a tuple"
        case DataDef():
            return f"the data {value.tree.name.id}"
        case TrainDef():
            return "a train block"
        case Record():
            return "a record"
        case Recipe():
            return f"the layer `{value.name}`"
        case Composition():
            return "a composition of layers"
        case DataParts():
            return f"the data `{value.name}`"
        case Instance() | Part():
            return f"the layer `{value.path}`"
        case _:
            return f"a {type(value).__name__.lower()}"


def freeze(value: Any) -> Any:
    """A hashable stand-in for a static value, equal for equal values: part of a block's signature."""
    if is_sequence(value):
        return (type(value).__name__, tuple(freeze(item) for item in value))
    match value:
        case Record():
            return ("record", tuple((name, freeze(item)) for name, item in value.fields.items()))
        case Recipe():
            given = tuple((argument.name, freeze(argument.value)) for argument in value.arguments)
            return ("recipe", id(value.callee), given)
        case Composition():
            return (value.kind, tuple(freeze(stage) for stage in value.stages))
        case Instance() | Part():
            return ("instance", id(value))
        case bool() | float() | str() | None:
            return (type(value).__name__, value)
        case _:
            return value
