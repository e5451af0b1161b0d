"""Receptive fields: how many positions of an input an element of a layer sees, along each axis."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from dlc.compiler.dim import Dim
from dlc.compiler.flow.reading import Flow, Near
from dlc.compiler.graph import Call, Graph, Loop, Node, Value
from dlc.compiler.memory.recording import MOST, calls
from dlc.compiler.op import Op


@dataclass(frozen=True, slots=True)
class Seen:
    """What an element sees along one axis of the input: `size` successive positions, and `step` further on what the
    next one sees, along the element's own axis `axis`; all of them where size is none."""

    size: int | None
    step: int = 1
    axis: int | None = None


_ALL = Seen(None)
_View = Mapping[int, Seen]  # by axis of the input


def fields(graph: Graph) -> dict[tuple[Node, ...], tuple[int | None, ...]]:
    """For each call, by the nodes that lead to it, how much of the first input's axes its result sees: those along
    which something is seen as a window; none where it is all. Nothing for a model without windows."""
    if calls(graph) > MOST or not graph.inputs:
        return {}
    source = next(iter(graph.inputs.values()))
    found: dict[tuple[Node, ...], _View] = {}
    start: _View = {axis: Seen(1, 1, axis) for axis in range(1, source.type.rank)}
    _through(graph, {source: start}, (), found)
    windows = sorted({axis for view in found.values() for axis, seen in view.items() if (seen.size or 1) > 1})
    if not windows:
        return {}
    sizes = source.type.shape

    def width(view: _View, axis: int) -> int | None:
        size = view[axis].size if axis in view else 1
        whole = sizes[axis].constant
        return size if size is None or whole is None else min(size, whole)

    return {trail: tuple(width(view, axis) for axis in windows) for trail, view in found.items()}


def _through(
    graph: Graph, views: dict[Value, _View], trail: tuple[Node, ...], found: dict[tuple[Node, ...], _View]
) -> None:
    for node in graph.nodes:
        here = (*trail, node)
        match node.action:
            case Op() as op:
                results = list(_op(op, node, views))
            case Call(graph=callee):
                given = zip(callee.inputs.values(), node.inputs, strict=False)
                inside = {slot: views[value] for slot, value in given if isinstance(value, Value) and value in views}
                _through(callee, inside, here, found)
                results = [inside.get(value) for value in callee.outputs]
            case Loop(body=body):
                inside = dict(views) | {
                    slot: view for slot in body.inputs.values() if (view := _everything(node, views))
                }
                _through(body, inside, trail, found)
                results = [_everything(node, views)] * len(node.outputs)
            case _:
                results = [_everything(node, views)] * len(node.outputs)
        views.update((output, view) for output, view in zip(node.outputs, results, strict=True) if view)
        if results and results[0]:
            found[here] = results[0]


def _everything(node: Node, views: Mapping[Value, _View]) -> _View | None:
    axes = {axis for value in node.values for axis in views.get(value, {})}
    return dict.fromkeys(axes, _ALL) or None


def _op(op: Op, node: Node, views: Mapping[Value, _View]) -> Iterator[_View | None]:
    if not any(value in views for value in node.values):
        yield from [None] * len(node.outputs)
        return
    to = tuple(output.type for output in node.outputs)
    flows = op.flow(to, *node.operand_types)
    for flow in [flows] * len(to) if isinstance(flows, Flow) else flows:
        seen: dict[int, Seen] = {}
        for place, operand in enumerate(node.inputs):
            if not isinstance(operand, Value) or operand not in views or flow.reads[place] is None:
                continue
            for axis, before in views[operand].items():
                after = _read(flow, place, before, operand)
                seen[axis] = _wider(seen[axis], after) if axis in seen else after
        yield seen or None


def _read(flow: Flow, place: int, before: Seen, operand: Value) -> Seen:
    """What a result sees by one input, of which an element sees `before`."""
    reads = flow.reads[place]
    if before.size is None or before.axis is None or reads is None:
        return before
    read = reads[before.axis]
    if operand.type.shape[before.axis] == 1:
        return Seen(before.size, before.step, None)
    if isinstance(read, tuple) and len(read) == 1:
        axis = _axis(flow, read[0])
        return _ALL if axis is None else Seen(before.size, before.step, axis)
    if isinstance(read, Near) and read.low is not None and read.high is not None and read.per == 1:
        width = Dim.of(read.high) - Dim.of(read.low)
        axis = None if read.name is None else _axis(flow, read.name)
        if width.is_constant and (axis is not None or read.name is None):
            return Seen(before.size + int(width) * before.step, before.step * read.by, axis)
    return _ALL


def _axis(flow: Flow, name: object) -> int | None:
    """The axis of the result that a name runs along by itself."""
    return next((axis for axis, group in enumerate(flow.result) if group == (name,)), None)


def _wider(one: Seen, other: Seen) -> Seen:
    if one.size is None or other.size is None or one.axis != other.axis:
        return _ALL
    return Seen(max(one.size, other.size), max(one.step, other.step), one.axis)
