"""Loops at run time: what is carried from turn to turn, what is walked, what is collected."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from dlc.compiler.calls import captured
from dlc.compiler.dim import Dim
from dlc.compiler.elaborate import evaluation, static, vectors
from dlc.compiler.elaborate.frame import Frame
from dlc.compiler.elaborate.scope import Scope
from dlc.compiler.elaborate.values import POISON, Instance, Part, Poisoned, describe, is_layer, is_sequence
from dlc.compiler.errors import LoopChanges, Misplaced, ShapeMismatch, StaticType, TensorExpected, WrongCount
from dlc.compiler.graph import Graph, Loop, Value
from dlc.compiler.types import DType, ShapeError, Tensor, resolve_axis
from dlc.grammar import ast
from dlc.grammar.diagnostics import Label, Refusal, Sink
from dlc.grammar.source import Span


def run_loop(frame: Frame, statement: ast.Loop) -> None:
    """Elaborates the body once, for all turns, and adds the loop to the graph."""
    from dlc.compiler.elaborate.statements import run  # statements hold loops, and loops statements

    head = _Head(frame, statement)
    if any(isinstance(value, Instance) and value.module is None for value in _first_values(frame, statement)):
        _apply_first(frame, statement, head)
    carried = _carried(frame, statement)
    body = Graph("loop", statement.span)
    inner = Frame(frame.compilation, body, Scope(frame.scope), depth=frame.depth, owns=frame.owns, around=frame)
    inner.leading = frame.leading
    head.bind_targets(inner)
    for name, value, span in carried:
        first = _input(inner, name, Tensor(value.type.dtype, value.type.shape), span)
        if id(value) in frame.models:
            inner.models[id(first)] = frame.models[id(value)]
    if run(inner, statement.body) is not None:
        inner.refuse(Misplaced("a loop at run time cannot return; return what it carries behind it", statement.span))
    if inner.failed:
        frame.failed = True
        raise Poisoned
    after = [_after(inner, name, value, span) for name, value, span in carried]
    collected = [_collected(inner, collect.value, head.axis) for collect in statement.collects]
    body.outputs = (*after, *collected)
    body.output_names = (*(name for name, _, _ in carried), *(collect.name.id for collect in statement.collects))
    loop = Loop(body, len(head.sequences), len(carried), head.axis, head.start, head.stop, head.step, head.indexed)
    inputs = [*head.sequences, *(value for _, value, _ in carried), *captured(body)]
    types = [*(value.type for value in after), *(_stacked(loop, value.type) for value in collected)]
    results = frame.graph.add(loop, inputs, types, statement.span)
    names = [ast.Name(span, name) for name, _, span in carried] + [collect.name for collect in statement.collects]
    for name, result in zip(names, results, strict=True):
        result.name = name.id
        frame.scope.bind(name.id, result, name.span)
    for (_, value, _), result in zip(carried, results, strict=False):
        if id(value) in frame.models:
            frame.models[id(result)] = frame.models[id(value)]


class _Head:
    """What a loop goes through: a number of turns, a range of an index, or sequences along an axis."""

    def __init__(self, frame: Frame, statement: ast.Loop) -> None:
        self.targets = statement.targets
        self.sequences: list[Value] = []
        self.axis = 0
        self.start, self.stop, self.step = Dim.of(0), Dim.of(0), 1
        self.indexed = bool(statement.targets) and statement.axis is None
        self._spans = [tree.span for tree in statement.sequences]
        if statement.axis is not None:
            self._along(frame, statement, statement.axis)
        elif self.indexed:
            self._range(frame, statement)
        else:
            self.stop = evaluation.static_size(frame, statement.sequences[0])

    def _along(self, frame: Frame, statement: ast.Loop, axis: ast.Expr) -> None:
        for tree in statement.sequences:
            value = evaluation.evaluate(frame, tree)
            items: Sequence[Any] = value if is_sequence(value) else (value,)
            for item in items:
                if not isinstance(item, Value):
                    raise Refusal(TensorExpected(f"a loop walks a tensor, and this is {describe(item)}", tree.span))
                self.sequences.append(item)
        if len(self.sequences) != len(statement.targets):
            names, given = len(statement.targets), len(self.sequences)
            span = statement.targets[0].span.to(statement.targets[-1].span)
            raise Refusal(WrongCount(f"{names} names walk along {given} tensors", span))
        place = static.whole(evaluation.evaluate(frame, axis), axis.span)
        try:
            self.axis = resolve_axis(place, min(value.type.rank for value in self.sequences))
        except ShapeError as error:
            raise Refusal(ShapeMismatch(error.message, axis.span, label=error.label)) from None
        self.stop = self.sequences[0].type.shape[self.axis]
        for value, span in zip(self.sequences, self._spans, strict=False):
            size = value.type.shape[self.axis]
            if size != self.stop:
                raise Refusal(
                    ShapeMismatch(
                        "what a loop walks together has one length",
                        span,
                        label=f"{size} on axis {self.axis}, against {self.stop}",
                    )
                )

    def _range(self, frame: Frame, statement: ast.Loop) -> None:
        tree = statement.sequences[0]
        is_range = isinstance(tree, ast.Call) and isinstance(tree.function, ast.Name) and tree.function.id == "range"
        if not is_range or len(statement.sequences) > 1 or len(statement.targets) > 1:
            value = evaluation.evaluate(frame, tree)
            help = "write for, which is unrolled at compile time" if is_sequence(value) else None
            if isinstance(value, Value):
                help = f"say along which axis: loop {statement.targets[0].id} in {tree.span.text} along 1"
            problem = f"a loop's index runs through a range, and this is {describe(value)}"
            raise Refusal(StaticType(problem, tree.span, help=help))
        assert isinstance(tree, ast.Call)
        bounds = [evaluation.static_size(frame, argument.value) for argument in tree.arguments]
        if not 1 <= len(bounds) <= 3:
            raise Refusal(WrongCount(f"`range` takes 1 to 3 numbers, and {len(bounds)} are given", tree.span))
        self.start, self.stop = (Dim.of(0), bounds[0]) if len(bounds) == 1 else (bounds[0], bounds[1])
        if len(bounds) == 3:
            self.step = static.whole(bounds[2], tree.arguments[2].span)
            if self.step == 0:
                raise Refusal(StaticType("a range's step cannot be zero", tree.arguments[2].span))

    def bind_targets(self, inner: Frame) -> None:
        """Binds the index, or a slice of each sequence, in the body."""
        if self.indexed:
            _input(inner, self.targets[0].id, Tensor(DType.INT, (), self._bound()), self.targets[0].span)
        for target, value in zip(self.targets, self.sequences, strict=False):
            shape = value.type.shape
            type = value.type.reshaped((*shape[: self.axis], *shape[self.axis + 1 :]))
            _input(inner, target.id, type, target.span)

    def _bound(self) -> Dim | None:
        """What the index stays below, if it is never negative."""
        last = self.stop if self.step > 0 else self.start + 1
        least = self.start if self.step > 0 else self.stop + 1
        return last if Dim.of(0).at_most(least) else None


def _input(frame: Frame, name: str, type: Tensor, span: Span) -> Value:
    value = Value(type, span, name)
    frame.graph.inputs[name] = value
    frame.scope.bind(name, value, span)
    return value


# --- what is carried --------------------------------------------------------------------------------------------


def _assigned(statements: Sequence[ast.Statement]) -> Iterator[ast.Name]:
    """The names that a body binds, those within its own branches and loops too."""
    for statement in statements:
        match statement:
            case ast.Assign():
                yield from statement.targets
            case ast.For():
                yield from _assigned(statement.body)
            case ast.If():
                for branch in statement.branches:
                    yield from _assigned(branch.body)
            case ast.Loop():
                hidden = {target.id for target in statement.targets}
                yield from (name for name in _assigned(statement.body) if name.id not in hidden)
                yield from (collect.name for collect in statement.collects)
            case _:
                continue


def _first_values(frame: Frame, statement: ast.Loop) -> Iterator[Any]:
    """The values before a loop of the names that its body binds."""
    for name in _assigned(statement.body):
        if _is_local(frame, name.id):
            yield frame.scope.lookup(name.id)


def _apply_first(frame: Frame, statement: ast.Loop, head: _Head) -> None:
    """Elaborates the body once for nothing but what it applies, so that an instance which is carried as the vector of
    its weights has weights; what is wrong is told the second time."""
    from dlc.compiler.elaborate.statements import run

    compilation = frame.compilation
    sink, compilation.sink = compilation.sink, Sink()
    body = Graph("loop", statement.span)
    inner = Frame(compilation, body, Scope(frame.scope), depth=frame.depth, owns=frame.owns, around=frame)
    head.bind_targets(inner)
    try:
        run(inner, statement.body)
    finally:
        compilation.sink = sink


def _carried(frame: Frame, statement: ast.Loop) -> list[tuple[str, Value, Span]]:
    """The names bound before the loop and again in it, with their first values."""
    hidden = {target.id for target in statement.targets}
    found: dict[str, tuple[str, Value, Span]] = {}
    for name in _assigned(statement.body):
        if name.id in found or name.id in hidden or not _is_local(frame, name.id):
            continue
        value = frame.scope.lookup(name.id)
        if value is POISON:
            raise Poisoned
        if isinstance(value, Instance | Part) and not frame.owns:
            value = vectors.vector(frame, value, name.span)
            value.name = name.id
            frame.scope.bind(name.id, value, name.span)
        if not isinstance(value, Value):
            raise Refusal(_not_carried(frame, name, value))
        found[name.id] = (name.id, value, name.span)
    return list(found.values())


def _is_local(frame: Frame, name: str) -> bool:
    scope: Scope | None = frame.scope
    while scope is not None and scope is not frame.file:
        if name in scope.own():
            return True
        scope = scope.outer
    return False


def _not_carried(frame: Frame, name: ast.Name, value: Any) -> TensorExpected:
    first = frame.scope.span(name.id)
    help = None
    if isinstance(value, Dim | float):
        help = f"start with a tensor, as in {name.id} = fill(N, value={value}), or choose another name in the loop"
    elif is_layer(value):
        help = "choose another name in the loop"
    return TensorExpected(
        f"a loop carries tensors from turn to turn, and `{name.id}` is {describe(value)} before it",
        name.span,
        labels=(Label(first, "bound here"),) if first else (),
        help=help,
    )


def _after(inner: Frame, name: str, before: Value, span: Span) -> Value:
    """The carried value at the end of a turn, whose type must be that of its start."""
    value = inner.scope.lookup(name)
    told = describe(value)
    if isinstance(value, Value):
        if value.type.dtype is before.type.dtype and value.type.shape == before.type.shape:
            return value
        told = str(value.type)
    place = inner.scope.span(name) or span
    raise Refusal(
        LoopChanges(
            f"`{name}` changes its type from turn to turn",
            place,
            label=f"{told} at the end of a turn",
            labels=(Label(before.span, f"{before.type} at its start"),),
        )
    )


def _collected(inner: Frame, tree: ast.Expr, axis: int) -> Value:
    value = evaluation.tensor(inner, tree)
    if value.type.rank < axis:
        message = f"what is collected along axis {axis} needs the axes before it, and this is {value.type}"
        raise Refusal(ShapeMismatch(message, tree.span))
    return value


def _stacked(loop: Loop, type: Tensor) -> Tensor:
    return type.reshaped((*type.shape[: loop.axis], loop.turns, *type.shape[loop.axis :]))
