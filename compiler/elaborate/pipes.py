"""Calls and pipes: what is applied to what, and distributions, which are called alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from dlc.compiler.elaborate import binding, calls, special, static, vectors
from dlc.compiler.elaborate.combinators import COMBINATORS, combine
from dlc.compiler.elaborate.evaluation import evaluate, evaluates
from dlc.compiler.elaborate.frame import Frame
from dlc.compiler.elaborate.values import (
    Arg,
    Composition,
    Recipe,
    carries_tensor,
    describe,
    is_layer,
    is_sequence,
)
from dlc.compiler.errors import (
    DuplicateArgument,
    NotALayer,
    StaticType,
    TensorExpected,
)
from dlc.compiler.graph import Value
from dlc.compiler.init import Init, initialisations
from dlc.compiler.op import operations
from dlc.grammar import ast
from dlc.grammar.diagnostics import Label, Refusal
from dlc.grammar.source import Span
from dlc.grammar.suggest import nearest


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


@evaluates(ast.Call)
def _call(frame: Frame, tree: ast.Call) -> Any:
    given = arguments(frame, tree.arguments)
    tensors = any(carries_tensor(argument.value) for argument in given)
    if isinstance(tree.function, ast.Name):
        name = tree.function.id
        if name in static.FUNCTIONS and name not in frame.scope and not tensors:
            layers = any(is_layer(argument.value) for argument in given)
            if name in static.STATIC_ONLY or (given and not layers and given[0].name is None):
                return static.call(name, given, tree.span)
        if (
            name == "sum"
            and name not in frame.scope
            and len(given) == 1
            and isinstance(given[0].value, list)
            and tensors
        ):
            return special.total(frame, given[0], tree.span)
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


@evaluates(ast.Pipe)
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


def distribution(frame: Frame, tree: ast.Expr) -> Init:
    """What stands after `~` or as `init=`: `normal(0, 0.02)`, `xavier_uniform`."""
    function, given = (tree.function, tree.arguments) if isinstance(tree, ast.Call) else (tree, ())
    known = initialisations()
    if isinstance(function, ast.Name) and function.id in known:
        return binding.construct(known[function.id], arguments(frame, given), tree.span)
    near = nearest(function.id, known) if isinstance(function, ast.Name) else None
    raise Refusal(
        StaticType(
            f"`{function.span.text}` is not a distribution that a weight can start from",
            function.span,
            help=f"did you mean `{near}`?" if near else "there are " + ", ".join(sorted(known)),
        )
    )


_SPECIAL: dict[str, Callable[[Frame, Sequence[Arg], Span], Any]] = {
    "size": special.size_of,
    "grad": special.gradient,
    "standardize": special.standardize,
}
