"""Indices and slices, of tensors, lists and layers."""

from __future__ import annotations

from typing import Any

from dlc.compiler.dim import Dim
from dlc.compiler.elaborate import lookup, static
from dlc.compiler.elaborate.evaluation import evaluate, evaluates, static_size
from dlc.compiler.elaborate.frame import Frame
from dlc.compiler.elaborate.values import (
    Instance,
    Part,
    describe,
    is_sequence,
    is_tensor,
)
from dlc.compiler.errors import (
    OutOfRange,
    StaticType,
)
from dlc.compiler.graph import Value
from dlc.compiler.op import operations
from dlc.compiler.ops.indexing import At, Gather, Item, NewAxis, Range, Rest
from dlc.grammar import ast
from dlc.grammar.diagnostics import Refusal


@evaluates(ast.Index)
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
        places = frame.apply(positions, [], index.span, {"places": index.span})
        assert isinstance(places, Value)
        return Gather(), [places]
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
