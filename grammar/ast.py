"""The syntax tree: frozen nodes, each with the span of the text it was read from.

Spans take part neither in equality nor in `repr`, so that two trees are equal when they say the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from inspect import get_annotations
from typing import TYPE_CHECKING, Any, ClassVar, Self, dataclass_transform

from dlc.grammar.source import Source, Span


@dataclass_transform(frozen_default=True)
class _Record:
    """What a subclass annotates are its fields, as in a frozen dataclass.

    It is none because defining fifty dataclasses takes longer than to check an ordinary spec.
    """

    node_fields: ClassVar[tuple[str, ...]] = ()
    __match_args__: ClassVar[tuple[str, ...]] = node_fields

    def __init_subclass__(cls) -> None:
        own = get_annotations(cls)
        cls.node_fields = cls.__match_args__ = (
            *cls.node_fields,
            *(name for name in own if name not in cls.node_fields),
        )

    if not TYPE_CHECKING:  # to type checkers it takes the fields, in their order or by name

        def __init__(self, *values: Any, **named: Any) -> None:
            held = self.__dict__
            held.update(zip(self.node_fields, values, strict=False))
            held.update(named)
            for name in self.node_fields[len(values) :]:
                if name not in held:
                    held[name] = getattr(type(self), name)
            if len(held) != len(self.node_fields):
                raise TypeError(f"{type(self).__name__} has the fields {', '.join(self.node_fields)}")

    def replace(self, **changes: Any) -> Self:
        """The same node with some fields changed."""
        return type(self)(**{**self.__dict__, **changes})

    def node_parts(self) -> tuple[Any, ...]:
        """The values of all fields but the span."""
        return tuple(self.__dict__[name] for name in self.node_fields if name != "span")

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"{type(self).__name__} is frozen")

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and isinstance(other, _Record) and self.node_parts() == other.node_parts()

    def __hash__(self) -> int:
        return hash((type(self), self.node_parts()))

    def __repr__(self) -> str:
        inner = ", ".join(f"{name}={self.__dict__[name]!r}" for name in self.node_fields if name != "span")
        return f"{type(self).__name__}({inner})"


class Node(_Record):
    span: Span


# --- expressions ------------------------------------------------------------------------------------------------


class Name(Node):
    id: str


class Literal(Node):
    """A number, a string, `true`, `false` or `none`."""

    value: int | float | str | bool | None


class EllipsisLiteral(Node):
    """`...`: any number of leading dimensions in a type, the axes in between in an index."""


class TupleExpr(Node):
    items: tuple[Expr, ...]


class ListExpr(Node):
    items: tuple[Expr, ...]


class RecordExpr(Node):
    """`(train=0.8, valid=0.2)`"""

    fields: tuple[Argument, ...]


class Comprehension(Node):
    """`[item for targets in iterable]`; a lone comprehension as a call's argument is one too."""

    item: Expr
    targets: tuple[Name, ...]
    iterable: Expr


class Argument(Node):
    """An argument of a call, named or by position, or a field of a record (always named)."""

    name: Name | None
    value: Expr


class Call(Node):
    function: Expr
    arguments: tuple[Argument, ...]


class Slice(Node):
    start: Expr | None
    stop: Expr | None


class Index(Node):
    value: Expr
    indices: tuple[Expr | Slice, ...]


class Attribute(Node):
    value: Expr
    name: Name


class Unary(Node):
    """`-x` or `not x`."""

    operator: str
    operand: Expr


class Binary(Node):
    """Arithmetic `+ - * / // % @ **`, comparison `== != < <= > >=`, and `and`, `or`."""

    operator: str
    left: Expr
    right: Expr


class Conditional(Node):
    """`then if condition else otherwise`"""

    then: Expr
    condition: Expr
    otherwise: Expr


class Pipe(Node):
    """`a -> f -> g(1)`: what flows in, then the stages; at least two parts."""

    parts: tuple[Expr, ...]


Expr = (
    Name
    | Literal
    | EllipsisLiteral
    | TupleExpr
    | ListExpr
    | RecordExpr
    | Comprehension
    | Call
    | Index
    | Attribute
    | Unary
    | Binary
    | Conditional
    | Pipe
)


# --- types and parameters ---------------------------------------------------------------------------------------


class TypeExpr(Node):
    """`float[N, T, d]`, `int[N] < vocab`, `int`, `layer`. Without brackets `dims` is none: a static parameter."""

    name: Name
    dims: tuple[Expr, ...] | None
    below: Expr | None


class Parameter(Node):
    name: Name
    type: TypeExpr | None
    default: Expr | None


class Result(Node):
    """One result of a block; without a name when the block gives a single, unnamed one."""

    name: Name | None
    type: TypeExpr


# --- statements -------------------------------------------------------------------------------------------------


class Assign(Node):
    """`a, b = value`, in a `train` block also `net = Net() from "runs/base"`."""

    targets: tuple[Name, ...]
    value: Expr
    origin: Literal | None = None


class Update(Node):
    """`net.W := value`"""

    target: Expr
    value: Expr


class WeightDecl(Node):
    """`weight W: float[d] ~ normal(0, 1)`, `constant c: float[d] = value`; at most one of the two is given."""

    kind: str
    name: Name
    type: TypeExpr
    value: Expr | None
    distribution: Expr | None


class Return(Node):
    values: tuple[Expr, ...]


class Require(Node):
    condition: Expr
    message: Expr | None


class Ensure(Node):
    claim: Expr


class Minimize(Node):
    """`minimize e over a, b using sgd(lr=0.1)`; `kind` is `minimize` or `maximize`."""

    kind: str
    value: Expr
    over: tuple[Expr, ...]
    using: Expr | None


class Report(Node):
    name: Name
    value: Expr


class For(Node):
    targets: tuple[Name, ...]
    iterable: Expr
    body: tuple[Statement, ...]


class Branch(Node):
    """`if` or `elif` with its condition, or `else` without one."""

    condition: Expr | None
    body: tuple[Statement, ...]


class If(Node):
    branches: tuple[Branch, ...]


class Collect(Node):
    """`h as hs`"""

    value: Expr
    name: Name


class Loop(Node):
    """`loop 10:` (`sequences` is the count, no targets), `loop t in range(…)`, `loop x_t in xs along 1`."""

    targets: tuple[Name, ...]
    sequences: tuple[Expr, ...]
    axis: Expr | None
    collects: tuple[Collect, ...]
    body: tuple[Statement, ...]


Statement = Assign | Update | WeightDecl | Return | Require | Ensure | Minimize | Report | For | If | Loop


# --- declarations -----------------------------------------------------------------------------------------------


class Language(Node):
    version: Literal


class Import(Node):
    """`from std.transformer import A, B`; `dots` counts the leading dots."""

    dots: int
    path: tuple[Name, ...]
    names: tuple[Name, ...]


class Let(Node):
    name: Name
    value: Expr
    doc: str = ""


class Block(Node):
    """A `block` or a `model`, as `kind` says. `results` is none when nothing is declared."""

    kind: str
    name: Name
    parameters: tuple[Parameter, ...]
    results: tuple[Result, ...] | None
    body: tuple[Statement, ...]
    doc: str = ""


class DataField(Node):
    name: Name
    type: TypeExpr
    value: Expr | None


class Setting(Node):
    name: Name
    value: Expr


class Augment(Node):
    """`augment:` within `data`: fields bound anew for the training part alone."""

    body: tuple[Statement, ...]


class Data(Node):
    name: Name
    items: tuple[DataField | Setting | Augment, ...]
    doc: str = ""


class Settings(Node):
    items: tuple[Setting, ...]


class Phase(Node):
    """`step:`, `evaluate:`, or a procedure such as `sample(n = 16):`; `parameters` is none without brackets."""

    name: Name
    parameters: tuple[Parameter, ...] | None
    body: tuple[Statement, ...]


class Train(Node):
    name: Name
    data: Name
    items: tuple[Assign | Settings | Phase, ...]
    doc: str = ""


Declaration = Let | Block | Data | Train


class Comment(Node):
    """A comment with its `#`; `own_line` tells one that stands alone from one behind code."""

    text: str
    own_line: bool


@dataclass(frozen=True)
class File:
    """A whole spec. Comments are kept beside the tree, for `dlc fmt`."""

    source: Source = field(compare=False, repr=False)
    items: tuple[Language | Import | Declaration, ...]
    comments: tuple[Comment, ...] = field(compare=False, default=())
