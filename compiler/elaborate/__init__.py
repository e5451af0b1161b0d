"""From a syntax tree to a checked program: every name resolved, every shape known, every mistake reported."""

from __future__ import annotations

import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any

from dlc.compiler.elaborate import evaluation, expressions, indices, pipes
from dlc.compiler.elaborate.compilation import Compilation
from dlc.compiler.elaborate.data import elaborate_data
from dlc.compiler.elaborate.frame import Frame
from dlc.compiler.elaborate.loader import Loader
from dlc.compiler.elaborate.lookup import TensorLet
from dlc.compiler.elaborate.overrides import Overrides
from dlc.compiler.elaborate.scope import Scope
from dlc.compiler.elaborate.training import elaborate_train
from dlc.compiler.elaborate.values import (
    POISON,
    BlockDef,
    DataDef,
    TrainDef,
    carries_tensor,
    is_layer,
    is_sequence,
    may_own_weights,
)
from dlc.compiler.errors import DuplicateName, ImportCircle, ImportFailed, StaticType, UnknownName
from dlc.compiler.graph import Graph
from dlc.compiler.program import DataSpec, Model, Program, TrainSpec
from dlc.grammar import ast
from dlc.grammar.diagnostics import Label, Refusal, Sink
from dlc.grammar.source import Source, Span
from dlc.grammar.suggest import nearest

__all__ = ["Loader", "elaborate", "expressions", "indices", "pipes"]  # the last three evaluate each kind of syntax

_FRAMES = 20_000  # of Python's stack: blocks within blocks within deep expressions


def elaborate(file: ast.File, sink: Sink, *, loader: Loader, overrides: Mapping[str, str] | None = None) -> Program:
    """Checks a spec. Mistakes go to `sink`; what they leave out of the program is not in the result."""
    try:
        given = Overrides(overrides or {})
    except Refusal as refusal:
        sink.extend(refusal.diagnostics)
        return Program((file.source,))
    with _deep_stack():
        return _File(Compilation(sink, loader, given), {}).program(file)


@contextmanager
def _deep_stack() -> Generator[None]:
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(max(before, _FRAMES))
    try:
        yield
    finally:
        sys.setrecursionlimit(before)


class _File:
    """The declarations of a file and of those that it imports."""

    def __init__(self, compilation: Compilation, scopes: dict[Source, Scope | None]) -> None:
        self._compilation = compilation
        self._sink = compilation.sink
        self._scopes = scopes  # none: being read, so that an import of it is a circle
        self._data: dict[int, DataSpec | None] = {}

    def program(self, file: ast.File) -> Program:
        self._compilation.overrides.check(file, self._sink)
        scope = self._declare(file, main=True)
        models: dict[str, Model] = {}
        data: dict[str, DataSpec] = {}
        trains: dict[str, TrainSpec] = {}
        for item in file.items:
            if isinstance(item, ast.Block) and item.kind == "model" and scope.lookup(item.name.id) is not POISON:
                graph = self._compilation.model(BlockDef(item, scope))
                if graph is not None:
                    models[item.name.id] = Model(item.name.id, graph, item.doc)
        for item in file.items:
            match item:
                case ast.Data():
                    spec = self._data_spec(item, scope)
                    if spec is not None:
                        data[item.name.id] = spec
                case ast.Train():
                    train = self._train(item, scope)
                    if train is not None:
                        trains[item.name.id] = train
                case _:
                    continue
        for item in file.items:
            if isinstance(item, ast.Block):
                self._compilation.survey(BlockDef(item, scope))
        return Program(tuple(self._scopes), models, data, trains)

    # --- names of a file ---

    def _declare(self, file: ast.File, *, main: bool) -> Scope:
        """Binds a file's declarations, its imports and `let`s in the order of the text."""
        scope = Scope()
        self._scopes[file.source] = None
        frame = Frame(self._compilation, Graph("let", Span(file.source, 0, 0)), scope, owns=False)
        for item in file.items:
            if isinstance(item, ast.Let | ast.Block):
                scope.announce(item.name.id, item.name.span)
        for item in file.items:
            try:
                match item:
                    case ast.Language():
                        continue  # the parser knows which versions there are
                    case ast.Import():
                        self._import(item, scope)
                    case ast.Let():
                        _unique(scope, item.name)
                        scope.bind(item.name.id, POISON, item.name.span)
                        scope.bind(item.name.id, self._let(frame, item, main=main), item.name.span)
                    case ast.Block():
                        _unique(scope, item.name)
                        scope.bind(item.name.id, POISON, item.name.span)
                        _unique_parameters(item)
                        scope.bind(item.name.id, BlockDef(item, scope), item.name.span)
                    case ast.Data():
                        _unique(scope, item.name)
                        scope.bind(item.name.id, DataDef(item, scope), item.name.span)
                    case ast.Train():
                        _unique(scope, item.name)
                        scope.bind(item.name.id, TrainDef(), item.name.span)
            except Refusal as refusal:
                self._sink.extend(refusal.diagnostics)
        self._scopes[file.source] = scope
        return scope

    def _let(self, frame: Frame, item: ast.Let, *, main: bool) -> Any:
        tree = self._compilation.overrides.let(item) if main else item.value
        value = evaluation.evaluate(frame, tree)
        if carries_tensor(value):
            return TensorLet(tree, frame.scope)
        if any(is_layer(layer) and may_own_weights(layer) for layer in (value if is_sequence(value) else [value])):
            raise Refusal(
                StaticType(
                    "a `let` belongs to no model, and this layer may own weights",
                    tree.span,
                    help="bind the layer in the block that uses it, or make it a block",
                )
            )
        return value

    def _import(self, item: ast.Import, scope: Scope) -> None:
        try:
            file = self._compilation.loader.module(item)
        except Refusal:
            for name in item.names:
                self._claim(scope, name)
            raise
        if file.source is item.span.source:
            raise Refusal(ImportCircle("this file imports itself", item.span, help="its own names need no import"))
        names = [name for name in item.names if self._claim(scope, name)]
        if file.source not in self._scopes:
            self._declare(file, main=False)
        theirs = self._scopes[file.source]
        if theirs is None:
            raise Refusal(
                ImportCircle(
                    f"`{file.source.name}` imports this file, directly or through others",
                    item.span,
                    help="move what both need into a third file",
                )
            )
        for name in names:
            if name.id not in theirs.own():
                near = nearest(name.id, theirs.own())
                help = f"did you mean `{near}`?" if near else f"it has {', '.join(theirs.own()) or 'no names'}"
                self._sink.add(ImportFailed(f"`{file.source.name}` has no `{name.id}`", name.span, help=help))
            else:
                scope.bind(name.id, theirs.lookup(name.id), name.span)

    def _claim(self, scope: Scope, name: ast.Name) -> bool:
        """Takes a name that an import brings, if it is free; until its meaning is known it stands for nothing."""
        try:
            _unique(scope, name)
        except Refusal as refusal:
            self._sink.extend(refusal.diagnostics)
            return False
        scope.bind(name.id, POISON, name.span)
        return True

    # --- data and training ---

    def _data_spec(self, tree: ast.Data, scope: Scope) -> DataSpec | None:
        if id(tree) not in self._data:
            self._data[id(tree)] = None
            try:
                self._data[id(tree)] = elaborate_data(self._compilation, tree, scope)
            except Refusal as refusal:
                self._sink.extend(refusal.diagnostics)
        return self._data[id(tree)]

    def _train(self, tree: ast.Train, scope: Scope) -> TrainSpec | None:
        try:
            found = scope.lookup(tree.data.id) if tree.data.id in scope else None
            if not isinstance(found, DataDef):
                raise Refusal(_no_data(tree, scope))
            data = self._data_spec(found.tree, found.scope)
            return None if data is None else elaborate_train(self._compilation, tree, data, scope)
        except Refusal as refusal:
            self._sink.extend(refusal.diagnostics)
            return None


def _unique(scope: Scope, name: ast.Name) -> None:
    if name.id in scope.own():
        first = scope.span(name.id)
        labels = (Label(first, "first here"),) if first else ()
        raise Refusal(DuplicateName(f"`{name.id}` is declared twice", name.span, labels=labels))


def _unique_parameters(tree: ast.Block) -> None:
    seen: dict[str, Span] = {}
    for parameter in tree.parameters:
        name = parameter.name
        if name.id in seen:
            labels = (Label(seen[name.id], "first here"),)
            message = f"`{tree.name.id}` has two parameters `{name.id}`"
            raise Refusal(DuplicateName(message, name.span, labels=labels))
        seen[name.id] = name.span


def _no_data(tree: ast.Train, scope: Scope) -> UnknownName:
    known = [name for name, value in scope.own().items() if isinstance(value, DataDef)]
    near = nearest(tree.data.id, known)
    help = (
        f"did you mean `{near}`?"
        if near
        else f"there are {', '.join(known)}"
        if known
        else f"declare it: data {tree.data.id}: …"
    )
    return UnknownName(f"there is no data `{tree.data.id}`", tree.data.span, help=help)
