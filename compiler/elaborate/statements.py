"""Statements: what each does to the graph that is being written. A mistake in one does not end the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from dlc.compiler.dim import Dim, DimOverflow
from dlc.compiler.elaborate import binding, claims, effects, evaluation, expressions, loops, mending, reports, static
from dlc.compiler.elaborate.dimensions import element_type, promise, size
from dlc.compiler.elaborate.frame import Frame, Slot
from dlc.compiler.elaborate.names import names_in
from dlc.compiler.elaborate.starts import start
from dlc.compiler.elaborate.values import (
    POISON,
    Composition,
    Instance,
    Multiple,
    Recipe,
    Refined,
    describe,
    is_sequence,
)
from dlc.compiler.errors import (
    BadDeclaration,
    Misplaced,
    OutOfRange,
    RequireFailed,
    StaticType,
    TensorExpected,
    UnknownName,
    Unreachable,
)
from dlc.compiler.graph import Check, Value, WeightModule
from dlc.compiler.op import Weight
from dlc.compiler.types import Tensor
from dlc.grammar import ast
from dlc.grammar.diagnostics import Diagnostic, Refusal
from dlc.grammar.source import Span


class Returned:
    """What a `return` gave: tensors, and the place of each."""

    def __init__(self, values: tuple[Value, ...], spans: tuple[Span, ...], span: Span) -> None:
        self.values = values
        self.spans = spans
        self.span = span


def run(frame: Frame, statements: Sequence[ast.Statement]) -> Returned | None:
    """Carries out statements up to a `return`."""
    for place, statement in enumerate(statements):
        try:
            returned = _RUN[type(statement)](frame, statement)
        except Refusal as refusal:
            _poison(frame, statement)
            frame.report(refusal)
            rests_on_it = any(isinstance(diagnostic, RequireFailed) for diagnostic in refusal.diagnostics)
            if rests_on_it or isinstance(statement, ast.Return):
                return None
            continue
        except DimOverflow as error:
            _poison(frame, statement)
            frame.refuse(OutOfRange(str(error), statement.span))
            continue
        if returned is not None:
            if place + 1 < len(statements) and isinstance(statement, ast.Return):
                behind = statements[place + 1]
                frame.refuse(Unreachable("this is never reached: the block has returned above", behind.span))
            return returned
    return None


def announce(frame: Frame, statements: Sequence[ast.Statement]) -> None:
    """Notes what a body binds further down, for reports of names that are used too early."""
    for statement in statements:
        match statement:
            case ast.Assign():
                for target in statement.targets:
                    frame.scope.announce(target.id, target.span)
            case ast.If():
                for branch in statement.branches:
                    announce(frame, branch.body)
            case ast.For() | ast.Loop():
                announce(frame, statement.body)
            case _:
                continue


def _poison(frame: Frame, statement: ast.Statement) -> None:
    """After a mistake, what the statement would have bound stands for nothing, so that it is told once."""
    match statement:
        case ast.Assign():
            for target in statement.targets:
                frame.scope.bind(target.id, POISON, target.span)
        case ast.WeightDecl():
            frame.scope.bind(statement.name.id, POISON, statement.name.span)
        case ast.For():
            for inner in statement.body:
                _poison(frame, inner)
        case ast.Loop():
            for collect in statement.collects:
                frame.scope.bind(collect.name.id, POISON, collect.name.span)
            for inner in statement.body:
                _poison(frame, inner)
        case ast.If():
            for branch in statement.branches:
                for inner in branch.body:
                    _poison(frame, inner)
        case _:
            return


# --- binding ----------------------------------------------------------------------------------------------------


def _assign(frame: Frame, statement: ast.Assign) -> None:
    if statement.origin is not None:
        raise Refusal(Misplaced("`from` a run has a meaning only in a train block", statement.origin.span))
    value = evaluation.evaluate(frame, statement.value)
    if len(statement.targets) == 1:
        target = statement.targets[0]
        frame.scope.bind(target.id, named(frame, target, value, statement.value), target.span)
        return
    expressions.bind(frame, statement.targets, value, statement.value.span)
    for target in statement.targets:
        bound = frame.scope.lookup(target.id)
        if isinstance(bound, Value) and bound.name is None:
            bound.name = target.id


def named(frame: Frame, target: ast.Name, value: Any, tree: ast.Expr) -> Any:
    """A value once it has a name: a tensor remembers it, a layer becomes an instance with weights of its own."""
    if isinstance(value, Value):
        if value.name is None:
            value.name = target.id
        return value
    if not frame.owns:  # applied there, it is refused if it has weights
        return value
    if isinstance(value, Recipe | Composition):
        path = frame.claim(target.id)
        instance = Instance(value, path, frame, target.span)
        frame.fill(path, instance)
        return instance
    if is_sequence(value) and _holds_recipe(value):
        path = frame.claim(target.id)
        bound, slots = _instances(frame, value, path, target.span, tree)
        frame.fill(path, slots)
        return bound
    return value


def _holds_recipe(value: Any) -> bool:
    if is_sequence(value):
        return any(_holds_recipe(item) for item in value)
    return isinstance(value, Recipe | Composition)


def _instances(frame: Frame, value: Any, path: str, span: Span, tree: ast.Expr) -> tuple[Any, Slot]:
    """A list of layers as a list of instances, numbered from 0."""
    if is_sequence(value):
        listed = tree.items if isinstance(tree, ast.ListExpr | ast.TupleExpr) else [tree] * len(value)
        made = [_instances(frame, item, f"{path}.{place}", span, listed[place]) for place, item in enumerate(value)]
        bound = [instance for instance, _ in made]
        return (bound if isinstance(value, list) else tuple(bound)), [slot for _, slot in made]
    if isinstance(value, Recipe | Composition):
        instance = Instance(value, path, frame, span)
        return instance, instance
    raise Refusal(StaticType(f"a list of layers holds layers alone, and this item is {describe(value)}", tree.span))


def _weight(frame: Frame, statement: ast.WeightDecl) -> None:
    name, declared = statement.name, statement.type
    if not frame.owns:
        raise Refusal(Misplaced(f"a `{statement.kind}` belongs in a block or model", statement.span))
    if declared.dims is None:
        raise Refusal(BadDeclaration("a weight is a tensor, so its type has brackets", declared.span))
    for dim in declared.dims:
        _known_names(frame, dim)
    shape = tuple(size(frame, dim) for dim in declared.dims)
    dtype = element_type(declared)
    promise(frame, declared)
    init = start(frame, statement, Tensor(dtype, shape))
    path = frame.claim(name.id, WeightModule(Weight(shape, init, statement.kind == "weight", dtype)))
    if path != name.id:
        raise Refusal(BadDeclaration(f"`{name.id}` names weights already", name.span, help="choose another name"))
    if statement.kind == "weight" and not dtype.is_float:
        raise Refusal(BadDeclaration(f"a weight is learned, so it is float, not {dtype.value}", declared.name.span))
    value = frame.read_weight(path, name.span)
    value.name = name.id
    frame.scope.bind(name.id, value, name.span)


def _known_names(frame: Frame, dim: ast.Expr) -> None:
    for name in names_in(dim):
        if name.id not in frame.scope:
            raise Refusal(
                UnknownName(
                    f"there is no dimension `{name.id}`",
                    name.span,
                    help="a weight's sizes are parameters, or dimensions of the inputs",
                )
            )


def _return(frame: Frame, statement: ast.Return) -> Returned:
    values: list[Value] = []
    spans: list[Span] = []
    for tree in statement.values:
        value = evaluation.evaluate(frame, tree)
        items: tuple[Any, ...] = tuple(value) if is_sequence(value) else (value,)
        for item in items:
            if not isinstance(item, Value):
                help = binding.apply_first(value, tree.span)
                message = f"a block returns tensors, and this is {describe(item)}"
                raise Refusal(TensorExpected(message, tree.span, help=help))
            values.append(item)
            spans.append(tree.span)
    return Returned(tuple(values), tuple(spans), statement.span)


# --- static control ---------------------------------------------------------------------------------------------


def _if(frame: Frame, statement: ast.If) -> Returned | None:
    for branch in statement.branches:
        if branch.condition is None or evaluation.condition(frame, branch.condition):
            return run(frame, branch.body)
    return None


def _for(frame: Frame, statement: ast.For) -> Returned | None:
    for item in expressions.iterate(frame, statement.iterable):
        expressions.bind(frame, statement.targets, item, statement.iterable.span)
        returned = run(frame, statement.body)
        if returned is not None:
            return returned
    return None


# --- conditions -------------------------------------------------------------------------------------------------


def _require(frame: Frame, statement: ast.Require) -> None:
    message = ""
    if statement.message is not None:
        given = evaluation.evaluate(frame, statement.message)
        if not isinstance(given, str):
            raise Refusal(StaticType(f"a reason is a string, and this is {describe(given)}", statement.message.span))
        message = given
    facts: list[Multiple] = []
    for tree in _conjuncts(statement.condition):
        try:
            _require_one(frame, tree, message)
        except Refined as refined:
            facts += refined.facts
    if facts:
        raise Refined(*facts)


def _conjuncts(tree: ast.Expr) -> list[ast.Expr]:
    if isinstance(tree, ast.Binary) and tree.operator == "and":
        return _conjuncts(tree.left) + _conjuncts(tree.right)
    return [tree]


_RELATIONS = frozenset({"==", "!=", "<", "<=", ">", ">="})


def _require_one(frame: Frame, tree: ast.Expr, message: str) -> None:
    if isinstance(tree, ast.Binary) and tree.operator in _RELATIONS:
        left = evaluation.evaluate(frame, tree.left)
        right = evaluation.evaluate(frame, tree.right)
        if isinstance(left, Dim) and isinstance(right, Dim):
            holds = static.relation(tree.operator, left, right)
            if holds is None:
                _refine(frame, tree, left, message)
                frame.graph.checks.append(Check(left, tree.operator, right, message or tree.span.text, tree.span))
            elif not holds:
                same = tree.left.span.text == str(left)
                label = "does not hold" if same else f"`{tree.left.span.text}` is {left}"
                raise Refusal(_failed(frame, tree, message, label))
            return
    if not evaluation.condition(frame, tree):
        raise Refusal(_failed(frame, tree, message, "does not hold"))


def _refine(frame: Frame, tree: ast.Binary, left: Dim, message: str) -> None:
    """Where a dimension must be a multiple of a number, elaboration starts anew with that known."""
    division = tree.left
    if tree.operator != "==" or not isinstance(division, ast.Binary) or division.operator != "%":
        return
    dividend = evaluation.evaluate(frame, division.left)
    divisor = evaluation.evaluate(frame, division.right)
    if not isinstance(dividend, Dim) or not isinstance(divisor, Dim) or not divisor.is_constant:
        return
    if static.relation("==", evaluation.static_size(frame, tree.right), Dim.of(0)):
        frame.compilation.refine(dividend, int(divisor), message or tree.span.text, tree.span)


def _failed(frame: Frame, tree: ast.Expr, message: str, label: str) -> Diagnostic:
    """What is required and does not hold, with the numbers that it is about and where they are from."""
    names = {name.id: frame.scope.lookup(name.id) for name in names_in(tree) if name.id in frame.scope}
    sizes = {name: value for name, value in names.items() if isinstance(value, Dim)}
    labels = reports.origins(tuple(sizes.values()), apart_from=tree.span)
    told = " ".join(single.text for single in labels)
    told += "".join(f"`{name}` is {value} " for name, value in sizes.items() if f"{value} is given" in told)
    notes = tuple(f"{name} = {value}" for name, value in sizes.items() if f"`{name}` is {value} " not in told)
    message = message or f"`{tree.span.text}` is required, and does not hold"
    return RequireFailed(message, tree.span, label=label, labels=labels, notes=notes, help=_mended(frame, tree))


def _mended(frame: Frame, tree: ast.Expr) -> str | None:
    """Which numbers would do where one must divide by another: `width % heads == 0`."""
    match tree:
        case ast.Binary(operator="==", left=ast.Binary(operator="%") as division, right=ast.Literal(value=0)):
            number = evaluation.static_size(frame, division.left).constant
            divisor = evaluation.static_size(frame, division.right).constant
            if number is not None and divisor is not None:
                return mending.divisible(number, divisor, division.left.span.text, division.right.span.text)
            return None
        case _:
            return None


_RUN: dict[type[Any], Callable[[Frame, Any], Returned | None]] = {
    ast.Assign: _assign,
    ast.WeightDecl: _weight,
    ast.Return: _return,
    ast.If: _if,
    ast.For: _for,
    ast.Require: _require,
    ast.Ensure: claims.ensure,
    ast.Loop: loops.run_loop,
    ast.Update: effects.update,
    ast.Minimize: effects.minimize,
    ast.Report: effects.report,
}
