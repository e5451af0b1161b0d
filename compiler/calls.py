"""Which graphs lead to which: walks over whole programs that visit each graph once, however often it is called."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from dlc.compiler.dim import Dim
from dlc.compiler.graph import Call, Graph, Loop, Node


def steps(graph: Graph) -> Iterator[tuple[Node, Dim]]:
    """The nodes that are no loops, those in the bodies of loops at the loops' places, each with how often it runs."""
    return _steps(graph, Dim.of(1))


def _steps(graph: Graph, times: Dim) -> Iterator[tuple[Node, Dim]]:
    for node in graph.nodes:
        if isinstance(node.action, Loop):
            yield from _steps(node.action.body, times * node.action.turns)
        else:
            yield node, times


def called(graph: Graph) -> Iterator[Graph]:
    """The graphs that a graph calls, in loops too, once for each call that is written."""
    return (node.action.graph for node, _ in steps(graph) if isinstance(node.action, Call))


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
