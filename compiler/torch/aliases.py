"""Which weights must be copied where they are read, since they change before the last use of what was read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from dlc.compiler.elaborate.reach import assigned, overlap
from dlc.compiler.graph import Call, Functional, Graph, Loop, Node, ReadWeight, Value
from dlc.compiler.op import Op
from dlc.compiler.program import Minimize, Step

_VIEWS = frozenset(
    {
        "stop",
        "cast",
        "index",
        "swap_last",
        "reshape",
        "flatten",
        "squeeze",
        "unsqueeze",
        "transpose",
        "permute",
        "expand",
        "rearrange",
        "reduce",
        "repeat_axis",
        "split",
        "unbind",
        "diag",
        "unfold",
        "resize",
        "pad",
        "roll",
        "flip",
        "tril",
        "triu",
        "mean",
        "sum",
        "max",
        "min",
        "clamp",
        "dropout",
        "spatial_dropout",
        "drop_path",
        "einsum",
    }
)
"""Operations that may give back what they are given, or a view of it."""


def copied(step: Step, instances: Iterable[str]) -> set[int]:
    """The weights that a step reads, by the values' ids, whose values are used after the weights were changed."""
    everything = tuple(instances)
    changes = [
        (position, path)
        for position, effect in step.effects
        if isinstance(effect, Minimize)
        for path in effect.over or everything
    ]
    return set(_copied(step.graph, changes, [effect.value for _, effect in step.effects]))


def _copied(graph: Graph, changes: Iterable[tuple[int, str]], kept: Sequence[Value]) -> Iterator[int]:
    """changes: the paths of weights that change besides by assignments, each with the number of nodes before. kept:
    what is used when all is done."""
    changed = [*changes, *_assigned(graph)]
    for place, node in enumerate(graph.nodes):
        if isinstance(node.action, Loop):
            yield from _copied(node.action.body, (), node.action.body.outputs)
        elif isinstance(node.action, ReadWeight) and node.module is not None:
            last = _last_use(graph, node.outputs[0], place, kept)
            if any(place < when <= last and overlap(path, node.module) for when, path in changed):
                yield id(node.outputs[0])


def _assigned(graph: Graph) -> Iterator[tuple[int, str]]:
    for place, node in enumerate(graph.nodes):
        yield from ((place, path) for path in assigned(replace(graph, nodes=[node])))


def _last_use(graph: Graph, weight: Value, read: int, kept: Sequence[Value]) -> int:
    """The place of the last node that uses a weight, or what may be a view of it."""
    views, last = {id(weight)}, read
    for place, node in enumerate(graph.nodes):
        if any(id(value) in views for value in node.values):
            last = place
            if _may_give_back(node):
                views.update(map(id, node.outputs))
    return len(graph.nodes) if any(id(value) in views for value in kept) else last


def _may_give_back(node: Node) -> bool:
    match node.action:
        case Op() as op:
            return op.name in _VIEWS
        case Call() | Functional() | Loop():
            return True
        case _:
            return False
