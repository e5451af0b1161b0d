"""Expressions: names, literals, operators and parts of values."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from dlc.compiler.dim import Dim
from dlc.compiler.elaborate import binding, lookup, static, vectors
from dlc.compiler.elaborate.elsewhere import name_here
from dlc.compiler.elaborate.evaluation import condition, evaluate, evaluates
from dlc.compiler.elaborate.frame import Frame
from dlc.compiler.elaborate.scope import Scope
from dlc.compiler.elaborate.values import (
    POISON,
    DataParts,
    Instance,
    Origin,
    Part,
    Poisoned,
    Record,
    describe,
    is_sequence,
    is_tensor,
    listed,
)
from dlc.compiler.errors import (
    DuplicateArgument,
    StaticType,
    TensorExpected,
    UnknownAttribute,
    UnknownName,
    WrongCount,
)
from dlc.compiler.graph import Value
from dlc.compiler.op import operations
from dlc.compiler.types import Scalar
from dlc.grammar import ast
from dlc.grammar.diagnostics import Label, Refusal
from dlc.grammar.source import Span
from dlc.grammar.suggest import nearest

_OPERATIONS = {
    "+": "add",
    "-": "subtract",
    "*": "multiply",
    "/": "divide",
    "//": "floor_divide",
    "%": "remainder",
    "@": "matmul",
    "**": "power",
    "and": "logical_and",
    "or": "logical_or",
    "==": "equal",
    "!=": "not_equal",
    "<": "less",
    "<=": "less_equal",
    ">": "greater",
    ">=": "greater_equal",
}


@evaluates(ast.Literal)
def _literal(frame: Frame, tree: ast.Literal) -> Any:
    value = tree.value
    if isinstance(value, int) and not isinstance(value, bool):
        return Dim.of(value).at(Origin(tree.span, f"{value} is given here"))
    return value


@evaluates(ast.Name)
def _name(frame: Frame, tree: ast.Name) -> Any:
    value = lookup.find(frame, tree)
    if value is POISON:
        raise Poisoned
    if isinstance(value, lookup.TensorLet):
        return frame.constant(tree.id, lambda: _tensor_let(frame, value))
    return value


def _tensor_let(frame: Frame, let: lookup.TensorLet) -> Any:
    with lookup.seen_from(frame, let.scope):
        return evaluate(frame, let.tree)


@evaluates(ast.TupleExpr)
def _tuple(frame: Frame, tree: ast.TupleExpr) -> tuple[Any, ...]:
    return tuple(evaluate(frame, item) for item in tree.items)


@evaluates(ast.ListExpr)
def _list(frame: Frame, tree: ast.ListExpr) -> list[Any]:
    return [evaluate(frame, item) for item in tree.items]


@evaluates(ast.RecordExpr)
def _record(frame: Frame, tree: ast.RecordExpr) -> Record:
    fields: dict[str, Any] = {}
    spans: dict[str, Span] = {}
    for argument in tree.fields:
        assert argument.name is not None
        name = argument.name.id
        if name in fields:
            raise Refusal(DuplicateArgument(f"the record names `{name}` twice", argument.name.span))
        fields[name] = evaluate(frame, argument.value)
        spans[name] = argument.value.span
    return Record(fields, spans)


@evaluates(ast.EllipsisLiteral)
def _ellipsis(frame: Frame, tree: ast.EllipsisLiteral) -> Any:
    raise Refusal(StaticType("`...` has a meaning only in a type or an index", tree.span))


def iterate(frame: Frame, tree: ast.Expr) -> list[Any]:
    """What a `for` goes through."""
    value = evaluate(frame, tree)
    found = listed(value)
    if found is not None:
        return found
    help = None
    if isinstance(value, Dim):
        help = f"write range({tree.span.text})"
    elif is_tensor(value):
        help = f"to walk an axis at run time: loop x_t in {tree.span.text} along 1"
    raise Refusal(StaticType(f"`for` goes through a list, and this is {describe(value)}", tree.span, help=help))


def bind(frame: Frame, targets: Sequence[ast.Name], value: Any, span: Span) -> None:
    """Binds one name to a value, or several to as many."""
    if len(targets) == 1:
        frame.scope.bind(targets[0].id, value, targets[0].span)
        return
    if isinstance(value, Value):
        value = frame.apply(operations()["unbind"](), [value], span, {"x": span})
    if not is_sequence(value):
        raise Refusal(WrongCount(f"{len(targets)} names are bound, and the value is {describe(value)}", span))
    if len(value) != len(targets):
        count = "1 value" if len(value) == 1 else f"{len(value)} values"
        types = [str(item.type) for item in value if isinstance(item, Value)]
        raise Refusal(
            WrongCount(
                f"{len(targets)} names are bound, and there {'is' if len(value) == 1 else 'are'} {count}",
                targets[0].span.to(targets[-1].span),
                label=f"{len(targets)} names",
                labels=(Label(span, count),),
                notes=(f"they are {', '.join(types)}",) if len(types) == len(value) <= 8 else (),
            )
        )
    for target, item in zip(targets, value, strict=True):
        frame.scope.bind(target.id, item, target.span)


@evaluates(ast.Comprehension)
def _comprehension(frame: Frame, tree: ast.Comprehension) -> list[Any]:
    items: list[Any] = []
    outer = frame.scope
    frame.scope = Scope(outer)
    try:
        for item in iterate(frame, tree.iterable):
            bind(frame, tree.targets, item, tree.iterable.span)
            items.append(evaluate(frame, tree.item))
            static.limited(items, tree.span)
    finally:
        frame.scope = outer
    return items


@evaluates(ast.Conditional)
def _conditional(frame: Frame, tree: ast.Conditional) -> Any:
    return evaluate(frame, tree.then if condition(frame, tree.condition) else tree.otherwise)


@evaluates(ast.Unary)
def _unary(frame: Frame, tree: ast.Unary) -> Any:
    value = evaluate(frame, tree.operand)
    if is_tensor(value):
        name = "negate" if tree.operator == "-" else "logical_not"
        result = frame.apply(operations()[name](), [value], tree.span, {"x": tree.operand.span})
        return vectors.note(frame, result, value)
    if tree.operator == "-":
        number = static.negate(value, tree.operand.span)
        return number.at(Origin(tree.span, f"{number} is given here")) if isinstance(number, Dim) else number
    return not static.truth(value, tree.operand.span)


@evaluates(ast.Binary)
def _binary(frame: Frame, tree: ast.Binary) -> Any:
    try:
        left = evaluate(frame, tree.left)
    except Refusal:
        with suppress(Refusal, Poisoned):  # the left is told; but `l2(net) + mse(net(x), y)` applies on the right
            evaluate(frame, tree.right)
        raise
    if tree.operator in ("and", "or") and not is_tensor(left):
        decided = static.truth(left, tree.left.span)
        if decided == (tree.operator == "or"):
            return decided
        right = evaluate(frame, tree.right)
        return right if is_tensor(right) else static.truth(right, tree.right.span)
    right = evaluate(frame, tree.right)
    left, right = (
        vectors.as_vector(frame, left, right, tree.left.span),
        vectors.as_vector(frame, right, left, tree.right.span),
    )
    if not is_tensor(left) and not is_tensor(right):
        return static.binary(tree.operator, left, right, tree.span)
    op = operations()[_OPERATIONS[tree.operator]]()
    sides = ((left, tree.left.span), (right, tree.right.span))
    inputs = [_operand(value, span) for value, span in sides]
    for (value, span), parameter in zip(sides, op.signature().tensors, strict=True):
        if not is_tensor(value) and not parameter.scalar:
            message = f"`{tree.operator}` multiplies matrices, and this is {describe(value)}"
            raise Refusal(TensorExpected(message, span, help="write `*`"))
    names = [parameter.name for parameter in op.signature().tensors]
    spans = dict(zip(names, (tree.left.span, tree.right.span), strict=True))
    return vectors.note(frame, frame.apply(op, inputs, tree.span, spans), left, right)


def _operand(value: Any, span: Span) -> Value | Scalar:
    if isinstance(value, Value):
        return value
    if isinstance(value, Dim | float | bool):
        return Scalar(value)
    message = f"a tensor or a number is due here, and this is {describe(value)}"
    raise Refusal(TensorExpected(message, span, help=binding.apply_first(value, span)))


@evaluates(ast.Attribute)
def _attribute(frame: Frame, tree: ast.Attribute) -> Any:
    if isinstance(tree.value, ast.Name) and tree.value.id not in frame.scope:
        _refuse_prefix(tree.value, tree.name.id)
    value = evaluate(frame, tree.value)
    name = tree.name.id
    known: list[str] = []
    match value:
        case Value():
            if name == "T":
                return frame.apply(operations()["swap_last"](), [value], tree.span, {"x": tree.value.span})
            known = ["T"]
        case Record():
            if name in value.fields:
                return value.fields[name]
            known = list(value.fields)
        case Instance() | Part():
            return lookup.part(frame, value, name, tree)
        case DataParts():
            if name in value.parts:
                return value.parts[name]()
            known = list(value.parts)
        case _:
            raise Refusal(UnknownAttribute(f"{describe(value)} has no parts", tree.name.span))
    near = nearest(name, known)
    help = f"did you mean `{near}`?" if near else None
    if isinstance(value, Value) and (here := _operation_here(name)):
        help = f"what is done to a tensor is an operation: {tree.value.span.text} -> {here}"
    elif isinstance(value, Value):
        help = "a tensor's only part is `.T`; its dimensions have names in its type, as in float[N, d]"
    elif isinstance(value, DataParts) and not known:
        help = "`frequencies`, the share of each token, are those of a text"
    elif not near:
        help = f"it has {', '.join(known) or 'none'}"
    raise Refusal(UnknownAttribute(f"{describe(value)} has no part `{name}`", tree.name.span, help=help))


def _operation_here(name: str) -> str | None:
    known = operations()
    here = name if name in known else name_here(name)
    return here if here in known and not known[here].hidden else None


def _refuse_prefix(tree: ast.Name, name: str) -> None:
    """Refuses `torch.relu`, if `torch` is nothing here and the operation is there without it."""
    here = _operation_here(name)
    if here is not None and tree.id not in operations():
        raise Refusal(
            UnknownName(
                f"there is nothing called `{tree.id}`", tree.span, help=f"operations stand without a prefix: {here}"
            )
        )
