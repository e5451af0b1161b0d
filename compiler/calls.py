"""Which graphs lead to which: walks over whole programs that visit each graph once, however often it is called."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from dlc.compiler.dim import Dim
from dlc.compiler.graph import Call, Functional, Graph, Loop, Node, Value


def every_node(graph: Graph) -> Iterator[Node]:
    """The nodes of a graph, each loop before those of its body."""
    for node in graph.nodes:
        yield node
        if isinstance(node.action, Loop):
            yield from every_node(node.action.body)


def steps(graph: Graph) -> Iterator[tuple[Node, Dim]]:
    """The nodes that are no loops, those in the bodies of loops at the loops' places, each with how often it runs."""
    return _steps(graph, Dim.of(1))


def _steps(graph: Graph, times: Dim) -> Iterator[tuple[Node, Dim]]:
    for node in graph.nodes:
        if isinstance(node.action, Loop):
            yield from _steps(node.action.body, times * node.action.turns)
        else:
            yield node, times


def captured(body: Graph) -> list[Value]:
    """What the body of a loop reads from outside, in the order of use."""
    inside = set(body.inputs.values())
    outside: dict[Value, None] = {}
    for node in body.nodes:
        outside.update((value, None) for value in node.values if value not in inside)
        inside.update(node.outputs)
    outside.update((value, None) for value in body.outputs if value not in inside)
    return list(outside)


def called(graph: Graph) -> Iterator[Graph]:
    """The graphs that a graph calls, in its loops too, once for each call."""
    return (node.action.graph for node in every_node(graph) if isinstance(node.action, Call | Functional))


def callees_first(roots: Iterable[Graph], follow: Callable[[Graph], Iterable[Graph]] = called) -> Iterator[Graph]:
    """Every graph that is reached from the roots, once, after all those that it leads to."""
    pending = [(root, False) for root in roots][::-1]
    seen: set[Graph] = set()
    while pending:
        graph, finished = pending.pop()
        if finished:
            yield graph
        elif graph not in seen:
            seen.add(graph)
            pending.append((graph, True))
            pending.extend([(callee, False) for callee in follow(graph)][::-1])
