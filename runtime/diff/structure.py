"""Graphs compared: what each block calls, in its order, and what that gives."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher

from dlc.compiler.calls import steps
from dlc.compiler.graph import Call, Functional, Graph, Node, ReadModel, ReadWeight, Value
from dlc.compiler.op import Op
from dlc.runtime.diff.changes import Change
from dlc.runtime.show.graph_text import static


@dataclass(frozen=True, slots=True)
class _Entry:
    text: str
    name: str
    node: Node


def structure(before: Graph, after: Graph, what: str) -> Iterator[Change]:
    """What changed in a graph, and, once for each block, in those that it calls."""
    pending = [(what, before, after)]
    compared: set[tuple[str, str]] = set()
    told: set[tuple[str, str | None, str | None]] = set()
    while pending:
        name, old, new = pending.pop(0)
        yield from _ports(old, new, name)
        blocks: list[tuple[Graph, Graph]] = []
        for change in _body(old, new, name, blocks):
            key = (change.what, change.before, change.after)
            if key not in told:
                told.add(key)
                yield change
        for first, second in blocks:
            pair = (_written(first), _written(second))
            if pair not in compared:
                compared.add(pair)
                pending.append((f"block {second.name}", first, second))


def _ports(old: Graph, new: Graph, what: str) -> Iterator[Change]:
    for kind, first, second in (
        ("takes", _named(old.inputs), _named(new.inputs)),
        ("gives", _outputs(old), _outputs(new)),
    ):
        if first != second and what.startswith("model"):
            yield Change("shapes", f"{what} {kind}", first, second)


def _named(values: Mapping[str, Value]) -> str:
    return ", ".join(f"{name}: {value.type}" for name, value in values.items())


def _outputs(graph: Graph) -> str:
    return ", ".join(f"{name}: {value.type}" for name, value in zip(graph.output_names, graph.outputs, strict=True))


def _body(old: Graph, new: Graph, what: str, blocks: list[tuple[Graph, Graph]]) -> Iterator[Change]:
    first, second = list(_entries(old)), list(_entries(new))
    matcher = SequenceMatcher(None, [each.text for each in first], [each.text for each in second], autojunk=False)
    for kind, a, b, c, d in matcher.get_opcodes():
        if kind == "equal":
            for one, other in zip(first[a:b], second[c:d], strict=True):
                yield from _same(one, other, what, blocks)
            continue
        yield from _replaced(first[a:b], second[c:d], what, blocks)


def _replaced(gone: list[_Entry], come: list[_Entry], what: str, blocks: list[tuple[Graph, Graph]]) -> Iterator[Change]:
    """Calls of the same name are one that has changed; others have gone or come."""
    left = list(come)
    for entry in gone:
        match = next((other for other in left if other.name == entry.name), None)
        if match is None:
            yield Change("structure", what, entry.text, None)
            continue
        left.remove(match)
        yield Change("structure", what, entry.text, match.text)
        yield from _same(entry, match, what, blocks)
    yield from (Change("structure", what, None, entry.text) for entry in left)


def _same(one: _Entry, other: _Entry, what: str, blocks: list[tuple[Graph, Graph]]) -> Iterator[Change]:
    types = [", ".join(str(output.type) for output in each.node.outputs) for each in (one, other)]
    if types[0] != types[1]:
        yield Change("shapes", f"{what}, {other.node.module or other.name} gives", *types)
    if isinstance(one.node.action, Call) and isinstance(other.node.action, Call):
        blocks.append((one.node.action.graph, other.node.action.graph))


def _entries(graph: Graph) -> Iterator[_Entry]:
    for node, turns in steps(graph):
        match node.action:
            case Op() as op:
                given = [name for name in op.fields() if name in op.given]
                text = f"{op.name}({', '.join(f'{name}={static(getattr(op, name))}' for name in given)})"
                name = op.name
            case Call(graph=callee) | Functional(graph=callee):
                text = name = callee.name
            case ReadWeight() | ReadModel():
                text = name = f"weight {node.module}"
            case _:
                text = name = type(node.action).__name__.lower()
        yield _Entry(text if turns == 1 else f"{text}, {turns} times", name, node)


def _written(graph: Graph) -> str:
    """A block as it is written, for which one comparison does however often it is called."""
    return f"{graph.span.source.name}:{graph.span.start}"
