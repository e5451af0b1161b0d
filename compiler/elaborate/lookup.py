"""What a name, or a part of a layer, stands for."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from dlc.compiler.elaborate.combinators import COMBINATORS
from dlc.compiler.elaborate.elsewhere import name_here
from dlc.compiler.elaborate.frame import Frame
from dlc.compiler.elaborate.scope import Scope
from dlc.compiler.elaborate.static import CONSTANTS, STATIC_ONLY
from dlc.compiler.elaborate.values import BlockDef, Composition, Instance, Part, Recipe, describe
from dlc.compiler.errors import NotALayer, UnknownAttribute, UnknownName
from dlc.compiler.graph import WeightModule, children
from dlc.compiler.op import operations
from dlc.grammar import ast
from dlc.grammar.diagnostics import Label, Refusal
from dlc.grammar.suggest import nearest


@dataclass(frozen=True, slots=True, eq=False)
class TensorLet:
    """A `let` whose value is a tensor: it is computed anew in each graph that uses it."""

    tree: ast.Expr
    scope: Scope


def find(frame: Frame, tree: ast.Name) -> Any:
    """What a name stands for: a value in scope, a block or an operation as a layer."""
    name = tree.id
    try:
        value = frame.scope.lookup(name)
    except KeyError:
        if name == "identity":
            return Composition((), tree.span)
        if name in CONSTANTS:
            return CONSTANTS[name]
        op = operations().get(name)
        if op is None or op.hidden:
            raise Refusal(_unknown(frame, tree)) from None
        return Recipe(op, (), tree.span)
    return Recipe(value, (), tree.span) if isinstance(value, BlockDef) else value


_ORDER = "names bind from top to bottom, and a parameter's default sees what stands before it"


def _unknown(frame: Frame, tree: ast.Name) -> UnknownName | NotALayer:
    name = tree.id
    if name in STATIC_ONLY or name in COMBINATORS:
        return NotALayer(f"`{name}` is a function, so it must be called here", tree.span, help=f"{name}(…)")
    known = [*frame.scope.names(), *(name for name, op in operations().items() if not op.hidden)]
    known += [*STATIC_ONLY, *COMBINATORS, *CONSTANTS, "identity"]
    message = f"there is nothing called `{name}`"
    later = frame.scope.announced(name)
    if later is not None:
        labels = (Label(later, "it is bound only here"),)
        if later.source is tree.span.source and later.start < tree.span.start:
            message = f"`{name}` is bound only in a branch that is not taken"
            return UnknownName(message, tree.span, labels=(Label(later, "bound here"),))
        return UnknownName(f"`{name}` is used before it is bound", tree.span, labels=labels, help=_ORDER)
    if here := name_here(name):
        return UnknownName(message, tree.span, help=f"it is called `{here}` here")
    near = nearest(name, known)
    labels = ()
    if near and (span := frame.scope.span(near)) and span.source is tree.span.source:
        labels = (Label(span, f"`{near}` is bound here"),)
    return UnknownName(message, tree.span, labels=labels, help=f"did you mean `{near}`?" if near else None)


def part(frame: Frame, layer: Instance | Part, name: str, tree: ast.Attribute | ast.Index) -> Any:
    """A part of an instance: a weight is read as a tensor, everything else is a layer again."""
    found = child(layer, name, tree)
    return frame.read_weight(found.path, tree.span) if isinstance(found.module, WeightModule) else found


def child(layer: Instance | Part, name: str, tree: ast.Attribute | ast.Index) -> Part:
    """Where a part of an instance is, or one of its weights."""
    if layer.module is None:
        raise Refusal(
            UnknownAttribute(
                f"`{layer.path}` has no weights before it is first applied",
                tree.span,
                labels=(Label(layer.span, "bound here"),),
            )
        )
    parts = dict(children(layer.module))
    if name not in parts:
        near = nearest(name, parts)
        known = ", ".join(f"`{known}`" for known in list(parts)[:8]) or "none"
        raise Refusal(
            UnknownAttribute(
                f"{describe(layer)} has no part `{name}`",
                tree.name.span if isinstance(tree, ast.Attribute) else tree.span,
                help=f"did you mean `{near}`?" if near else f"its parts are {known}",
            )
        )
    instance = layer if isinstance(layer, Instance) else layer.instance
    return Part(f"{layer.path}.{name}", parts[name], instance, tree.span)


@contextmanager
def seen_from(frame: Frame, scope: Scope) -> Generator[None]:
    """Evaluates within the same graph, but with the names of another scope."""
    inner, frame.scope = frame.scope, Scope(scope)
    try:
        yield
    finally:
        frame.scope = inner
