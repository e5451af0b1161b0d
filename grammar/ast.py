"""The syntax tree: frozen dataclasses, each with the span of the text it was read from.

Spans take part neither in equality nor in `repr`, so that two trees are equal when they say the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from dlc.grammar.source import Source, Span


@dataclass(frozen=True)
class Node:
    span: Span = field(compare=False, repr=False)


# --- expressions ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Name(Node):
    id: str


@dataclass(frozen=True)
class Literal(Node):
    """A number, a string, `true`, `false` or `none`."""

    value: int | float | str | bool | None


@dataclass(frozen=True)
class EllipsisLiteral(Node):
    """`...`: any number of leading dimensions in a type, the axes in between in an index."""


@dataclass(frozen=True)
class TupleExpr(Node):
    items: tuple[Expr, ...]


@dataclass(frozen=True)
class ListExpr(Node):
    items: tuple[Expr, ...]


@dataclass(frozen=True)
class RecordExpr(Node):
    """`(train=0.8, valid=0.2)`"""

    fields: tuple[Argument, ...]


@dataclass(frozen=True)
class Comprehension(Node):
    """`[item for targets in iterable]`; a lone comprehension as a call's argument is one too."""

    item: Expr
    targets: tuple[Name, ...]
    iterable: Expr


@dataclass(frozen=True)
class Argument(Node):
    """An argument of a call, named or by position, or a field of a record (always named)."""

    name: Name | None
    value: Expr


@dataclass(frozen=True)
class Call(Node):
    function: Expr
    arguments: tuple[Argument, ...]


@dataclass(frozen=True)
class Slice(Node):
    start: Expr | None
    stop: Expr | None


@dataclass(frozen=True)
class Index(Node):
    value: Expr
    indices: tuple[Expr | Slice, ...]


@dataclass(frozen=True)
class Attribute(Node):
    value: Expr
    name: Name


@dataclass(frozen=True)
class Unary(Node):
    """`-x` or `not x`."""

    operator: str
    operand: Expr


@dataclass(frozen=True)
class Binary(Node):
    """Arithmetic `+ - * / // % @ **`, comparison `== != < <= > >=`, and `and`, `or`."""

    operator: str
    left: Expr
    right: Expr


@dataclass(frozen=True)
class Conditional(Node):
    """`then if condition else otherwise`"""

    then: Expr
    condition: Expr
    otherwise: Expr


@dataclass(frozen=True)
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


@dataclass(frozen=True)
class TypeExpr(Node):
    """`float[N, T, d]`, `int[N] < vocab`, `int`, `layer`. Without brackets `dims` is none: a static parameter."""

    name: Name
    dims: tuple[Expr, ...] | None
    below: Expr | None


@dataclass(frozen=True)
class Parameter(Node):
    name: Name
    type: TypeExpr | None
    default: Expr | None


@dataclass(frozen=True)
class Result(Node):
    """One result of a block; without a name when the block gives a single, unnamed one."""

    name: Name | None
    type: TypeExpr


# --- statements -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Assign(Node):
    """`a, b = value`, in a `train` block also `net = Net() from "runs/base"`."""

    targets: tuple[Name, ...]
    value: Expr
    origin: Literal | None = None


@dataclass(frozen=True)
class Update(Node):
    """`net.W := value`"""

    target: Expr
    value: Expr


@dataclass(frozen=True)
class WeightDecl(Node):
    """`weight W: float[d] ~ normal(0, 1)`, `constant c: float[d] = value`; at most one of the two is given."""

    kind: str
    name: Name
    type: TypeExpr
    value: Expr | None
    distribution: Expr | None


@dataclass(frozen=True)
class Return(Node):
    values: tuple[Expr, ...]


@dataclass(frozen=True)
class Require(Node):
    condition: Expr
    message: Expr | None


@dataclass(frozen=True)
class Ensure(Node):
    claim: Expr


@dataclass(frozen=True)
class Minimize(Node):
    """`minimize e over a, b using sgd(lr=0.1)`; `kind` is `minimize` or `maximize`."""

    kind: str
    value: Expr
    over: tuple[Expr, ...]
    using: Expr | None


@dataclass(frozen=True)
class Report(Node):
    name: Name
    value: Expr


@dataclass(frozen=True)
class For(Node):
    targets: tuple[Name, ...]
    iterable: Expr
    body: tuple[Statement, ...]


@dataclass(frozen=True)
class Branch(Node):
    """`if` or `elif` with its condition, or `else` without one."""

    condition: Expr | None
    body: tuple[Statement, ...]


@dataclass(frozen=True)
class If(Node):
    branches: tuple[Branch, ...]


@dataclass(frozen=True)
class Collect(Node):
    """`h as hs`"""

    value: Expr
    name: Name


@dataclass(frozen=True)
class Loop(Node):
    """`loop 10:` (`sequences` is the count, no targets), `loop t in range(…)`, `loop x_t in xs along 1`."""

    targets: tuple[Name, ...]
    sequences: tuple[Expr, ...]
    axis: Expr | None
    collects: tuple[Collect, ...]
    body: tuple[Statement, ...]


Statement = Assign | Update | WeightDecl | Return | Require | Ensure | Minimize | Report | For | If | Loop


# --- declarations -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Language(Node):
    version: Literal


@dataclass(frozen=True)
class Import(Node):
    """`from std.transformer import A, B`; `dots` counts the leading dots."""

    dots: int
    path: tuple[Name, ...]
    names: tuple[Name, ...]


@dataclass(frozen=True)
class Let(Node):
    name: Name
    value: Expr
    doc: str = ""


@dataclass(frozen=True)
class Block(Node):
    """A `block` or a `model`, as `kind` says. `results` is none when nothing is declared."""

    kind: str
    name: Name
    parameters: tuple[Parameter, ...]
    results: tuple[Result, ...] | None
    body: tuple[Statement, ...]
    doc: str = ""


@dataclass(frozen=True)
class DataField(Node):
    name: Name
    type: TypeExpr
    value: Expr | None


@dataclass(frozen=True)
class Setting(Node):
    name: Name
    value: Expr


@dataclass(frozen=True)
class Augment(Node):
    """`augment:` within `data`: fields bound anew for the training part alone."""

    body: tuple[Statement, ...]


@dataclass(frozen=True)
class Data(Node):
    name: Name
    items: tuple[DataField | Setting | Augment, ...]
    doc: str = ""


@dataclass(frozen=True)
class Settings(Node):
    items: tuple[Setting, ...]


@dataclass(frozen=True)
class Phase(Node):
    """`step:`, `evaluate:`, or a procedure such as `sample(n = 16):`; `parameters` is none without brackets."""

    name: Name
    parameters: tuple[Parameter, ...] | None
    body: tuple[Statement, ...]


@dataclass(frozen=True)
class Train(Node):
    name: Name
    data: Name
    items: tuple[Assign | Settings | Phase, ...]
    doc: str = ""


Declaration = Let | Block | Data | Train


@dataclass(frozen=True)
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
