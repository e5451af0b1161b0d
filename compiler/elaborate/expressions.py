"""Expressions: what each kind of syntax evaluates to, static value, layer or tensor."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from dlc.compiler.dim import Dim, DimOverflow
from dlc.compiler.elaborate import calls, lookup, static, vectors
from dlc.compiler.elaborate.combinators import COMBINATORS, combine
from dlc.compiler.elaborate.elsewhere import name_here
from dlc.compiler.elaborate.frame import Frame
from dlc.compiler.elaborate.scope import Scope
from dlc.compiler.elaborate.values import (
    POISON,
    Arg,
    Composition,
    DataParts,
    Instance,
    Origin,
    Part,
    Poisoned,
    Recipe,
    Record,
    carries_tensor,
    describe,
    is_layer,
    is_sequence,
    is_tensor,
)
from dlc.compiler.errors import (
    DuplicateArgument,
    NotALayer,
    OutOfRange,
    StaticType,
    TensorExpected,
    UnknownAttribute,
    UnknownName,
    WrongCount,
)
from dlc.compiler.graph import Value
from dlc.compiler.init import Init, initialisations
from dlc.compiler.op import operations
from dlc.compiler.ops.indexing import At, Gather, Item, NewAxis, Range, Rest
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


def evaluate(frame: Frame, tree: ast.Expr) -> Any:
    """The value of an expression. Raises Refusal where it has none."""
    try:
        return _EVALUATE[type(tree)](frame, tree)
    except DimOverflow:
        raise Refusal(OutOfRange("this number is too large", tree.span, label="beyond 64 bits")) from None


def tensor(frame: Frame, tree: ast.Expr) -> Value:
    """An expression that must be a tensor."""
    value = evaluate(frame, tree)
    if isinstance(value, Value):
        return value
    message = f"a tensor is due here, and this is {describe(value)}"
    raise Refusal(TensorExpected(message, tree.span, help=calls.apply_first(value, tree.span)))


def condition(frame: Frame, tree: ast.Expr) -> bool:
    """An expression that must be true or false at compile time."""
    value = evaluate(frame, tree)
    if is_tensor(value):
        raise Refusal(
            TensorExpected(
                "this condition is a tensor, whose elements are known only when the model runs",
                tree.span,
                label=describe(value),
                help="choose element by element with where(condition, a, b)",
            )
        )
    return static.truth(value, tree.span)


# --- names and literals -----------------------------------------------------------------------------------------


def _literal(frame: Frame, tree: ast.Literal) -> Any:
    value = tree.value
    if isinstance(value, int) and not isinstance(value, bool):
        return Dim.of(value).at(Origin(tree.span, f"{value} is given here"))
    return value


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


def _tuple(frame: Frame, tree: ast.TupleExpr) -> tuple[Any, ...]:
    return tuple(evaluate(frame, item) for item in tree.items)


def _list(frame: Frame, tree: ast.ListExpr) -> list[Any]:
    return [evaluate(frame, item) for item in tree.items]


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


def _ellipsis(frame: Frame, tree: ast.EllipsisLiteral) -> Any:
    raise Refusal(StaticType("`...` has a meaning only in a type or an index", tree.span))


def iterate(frame: Frame, tree: ast.Expr) -> list[Any]:
    """What a `for` goes through."""
    value = evaluate(frame, tree)
    if is_sequence(value):
        return list(value)
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
        raise Refusal(
            WrongCount(
                f"{len(targets)} names are bound, and there {'is' if len(value) == 1 else 'are'} {count}",
                targets[0].span.to(targets[-1].span),
                label=f"{len(targets)} names",
                labels=(Label(span, count),),
            )
        )
    for target, item in zip(targets, value, strict=True):
        frame.scope.bind(target.id, item, target.span)


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


# --- operators --------------------------------------------------------------------------------------------------


def _conditional(frame: Frame, tree: ast.Conditional) -> Any:
    return evaluate(frame, tree.then if condition(frame, tree.condition) else tree.otherwise)


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


def _binary(frame: Frame, tree: ast.Binary) -> Any:
    left = evaluate(frame, tree.left)
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
    raise Refusal(TensorExpected(message, span, help=calls.apply_first(value, span)))


# --- parts of values --------------------------------------------------------------------------------------------


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


def _index(frame: Frame, tree: ast.Index) -> Any:
    value = evaluate(frame, tree.value)
    if is_tensor(value):
        return _index_tensor(frame, value, tree)
    if len(tree.indices) != 1:
        raise Refusal(StaticType(f"{describe(value)} takes one index", tree.span))
    index = tree.indices[0]
    if isinstance(value, Instance | Part):
        return lookup.part(frame, value, str(static.whole(_static_index(frame, index), index.span)), tree)
    if not is_sequence(value) and not isinstance(value, str):
        raise Refusal(StaticType(f"{describe(value)} cannot be indexed", tree.span))
    if isinstance(index, ast.Slice):
        start, stop = (_bound(frame, bound) for bound in (index.start, index.stop))
        return value[start:stop]
    place = static.whole(evaluate(frame, index), index.span)
    if not -len(value) <= place < len(value):
        raise Refusal(OutOfRange(f"there is no item {place} in {describe(value)} of {len(value)} items", index.span))
    return value[place]


def _static_index(frame: Frame, index: ast.Expr | ast.Slice) -> Any:
    if isinstance(index, ast.Slice):
        raise Refusal(StaticType("a layer's parts are reached one by one, not by a slice", index.span))
    return evaluate(frame, index)


def _bound(frame: Frame, tree: ast.Expr | None) -> int | None:
    return None if tree is None else static.whole(evaluate(frame, tree), tree.span)


def _index_tensor(frame: Frame, value: Value, tree: ast.Index) -> Any:
    items: list[Item] = []
    indices: list[Value] = []
    for index in tree.indices:
        item, gathered = _index_item(frame, index)
        items.append(item)
        indices += gathered
    op = operations()["index"](items=tuple(items))  # pyright: ignore[reportCallIssue]
    places = tree.indices[0].span.to(tree.indices[-1].span)
    spans = {"x": tree.value.span, "items": places, "indices": places}
    spans.update((f"items[{place}]", index.span) for place, index in enumerate(tree.indices))
    return frame.apply(op, [value, *indices], tree.span, spans)


def _index_item(frame: Frame, index: ast.Expr | ast.Slice) -> tuple[Item, list[Value]]:
    if isinstance(index, ast.EllipsisLiteral):
        return Rest(), []
    if isinstance(index, ast.Slice):
        return Range(_end(frame, index.start), _end(frame, index.stop)), []
    place = evaluate(frame, index)
    if is_sequence(place):
        listed = [static.whole(item, index.span) for item in place]
        positions = operations()["positions"](places=listed)
        return Gather(), [frame.apply(positions, [], index.span, {"places": index.span})]
    match place:
        case None:
            return NewAxis(), []
        case Dim():
            return At(place), []
        case Value():
            return Gather(), [place]
        case _:
            raise Refusal(
                StaticType(f"an index is a number, a slice, `none` or an int tensor, not {describe(place)}", index.span)
            )


def _end(frame: Frame, tree: ast.Expr | None) -> Dim | None:
    return None if tree is None else static_size(frame, tree)


def static_size(frame: Frame, tree: ast.Expr) -> Dim:
    """An expression that must be a whole number, symbolic or not."""
    value = evaluate(frame, tree)
    if isinstance(value, Dim):
        return value
    raise Refusal(StaticType(f"a whole number is due here, and this is {describe(value)}", tree.span))


# --- calls and pipes --------------------------------------------------------------------------------------------


def arguments(frame: Frame, given: Sequence[ast.Argument]) -> list[Arg]:
    """The arguments of a call, evaluated; `init=` takes a distribution."""
    evaluated: list[Arg] = []
    for argument in given:
        name = argument.name.id if argument.name else None
        if name is not None and any(earlier.name == name for earlier in evaluated):
            raise Refusal(DuplicateArgument(f"`{name}` is given twice", argument.span))
        value = distribution(frame, argument.value) if name == "init" else evaluate(frame, argument.value)
        evaluated.append(Arg(name, value, argument.value.span, argument.name.span if argument.name else None))
    return evaluated


def _call(frame: Frame, tree: ast.Call) -> Any:
    given = arguments(frame, tree.arguments)
    tensors = any(carries_tensor(argument.value) for argument in given)
    if isinstance(tree.function, ast.Name):
        name = tree.function.id
        if name in static.FUNCTIONS and name not in frame.scope and not tensors:
            layers = any(is_layer(argument.value) for argument in given)
            if name in static.STATIC_ONLY or (given and not layers and given[0].name is None):
                return static.call(name, given, tree.span)
    if _is_combinator(frame, tree):
        return combine(tree.function.span.text, given, tree.span)
    if isinstance(tree.function, ast.Name) and tree.function.id in _SPECIAL and tree.function.id not in frame.scope:
        return _SPECIAL[tree.function.id](frame, given, tree.span)
    callee = evaluate(frame, tree.function)
    if isinstance(callee, Value) and id(callee) in frame.models:
        return vectors.call(frame, callee, given, tree.span)
    callee = _layer(frame, callee, tree.function)
    if not isinstance(callee, Recipe) or tensors or calls.applies_at_once(callee, given):
        return calls.apply(frame, callee, given, tree.span)
    return calls.with_arguments(callee, given, tree.span)


def _layer(frame: Frame, callee: Any, tree: ast.Expr) -> Any:
    if is_layer(callee):
        return callee
    raise Refusal(
        NotALayer(
            f"`{tree.span.text}` is {describe(callee)}, not a layer, so it cannot be called",
            tree.span,
            labels=_hides(frame, tree),
        )
    )


def _hides(frame: Frame, tree: ast.Expr) -> tuple[Label, ...]:
    """Where a name was bound that would otherwise be an operation's."""
    if not isinstance(tree, ast.Name) or tree.id not in operations():
        return ()
    span = frame.scope.span(tree.id)
    return (Label(span, f"hides the operation `{tree.id}`"),) if span is not None else ()


def _pipe(frame: Frame, tree: ast.Pipe) -> Any:
    head = evaluate(frame, tree.parts[0])
    if is_layer(head):
        stages = [head, *(_stage_layer(frame, part) for part in tree.parts[1:])]
        return Composition(tuple(stages), tree.span)
    if not carries_tensor(head):
        raise Refusal(
            TensorExpected(f"a pipe starts with a tensor or a layer, and this is {describe(head)}", tree.parts[0].span)
        )
    flowing = Arg(None, head, tree.parts[0].span)
    for part in tree.parts[1:]:
        layer, given = _stage(frame, part)
        result = calls.apply(frame, layer, [flowing, *given], part.span)
        flowing = Arg(None, result, part.span)
    return flowing.value


def _stage(frame: Frame, tree: ast.Expr) -> tuple[Any, list[Arg]]:
    """What a tensor is piped into: a layer, and the arguments that stand behind it."""
    if not isinstance(tree, ast.Call):
        return _stage_callee(frame, tree), []
    if _is_combinator(frame, tree):
        return evaluate(frame, tree), []
    return _stage_callee(frame, tree.function), arguments(frame, tree.arguments)


def _is_combinator(frame: Frame, tree: ast.Call) -> bool:
    function = tree.function
    return isinstance(function, ast.Name) and function.id in COMBINATORS and function.id not in frame.scope


def _stage_callee(frame: Frame, tree: ast.Expr) -> Any:
    if isinstance(tree, ast.Binary):
        raise Refusal(
            NotALayer(
                f"this pipes into `{tree.span.text}`, which is no layer",
                tree.span,
                label="a pipe binds looser than every operator",
                help=f"put the pipe in parentheses: (x -> {tree.left.span.text}) {tree.operator} "
                f"{tree.right.span.text}",
            )
        )
    callee = evaluate(frame, tree)
    if is_layer(callee):
        return callee
    help = None
    if is_sequence(callee) and any(is_layer(item) for item in callee):
        help = f"pipe into one after the other: for layer in {tree.span.text}: x = x -> layer"
    message = f"`{tree.span.text}` is {describe(callee)}, not a layer, so nothing can be piped into it"
    raise Refusal(NotALayer(message, tree.span, labels=_hides(frame, tree), help=help))


def _stage_layer(frame: Frame, tree: ast.Expr) -> Any:
    """A stage of a composition: a layer to which nothing flows yet."""
    layer, given = _stage(frame, tree)
    return calls.with_arguments(layer, given, tree.span) if isinstance(layer, Recipe) and given else layer


# --- distributions ----------------------------------------------------------------------------------------------


def distribution(frame: Frame, tree: ast.Expr) -> Init:
    """What stands after `~` or as `init=`: `normal(0, 0.02)`, `xavier_uniform`."""
    function, given = (tree.function, tree.arguments) if isinstance(tree, ast.Call) else (tree, ())
    known = initialisations()
    if isinstance(function, ast.Name) and function.id in known:
        return calls.construct(known[function.id], arguments(frame, given), tree.span)
    near = nearest(function.id, known) if isinstance(function, ast.Name) else None
    raise Refusal(
        StaticType(
            f"`{function.span.text}` is not a distribution that a weight can start from",
            function.span,
            help=f"did you mean `{near}`?" if near else "there are " + ", ".join(sorted(known)),
        )
    )


_SPECIAL: dict[str, Callable[[Frame, Sequence[Arg], Span], Any]] = {
    "size": calls.size_of,
    "grad": calls.gradient,
    "standardize": calls.standardize,
}

_EVALUATE: dict[type[Any], Callable[[Frame, Any], Any]] = {
    ast.Literal: _literal,
    ast.Name: _name,
    ast.TupleExpr: _tuple,
    ast.ListExpr: _list,
    ast.RecordExpr: _record,
    ast.EllipsisLiteral: _ellipsis,
    ast.Comprehension: _comprehension,
    ast.Conditional: _conditional,
    ast.Unary: _unary,
    ast.Binary: _binary,
    ast.Attribute: _attribute,
    ast.Index: _index,
    ast.Call: _call,
    ast.Pipe: _pipe,
}
