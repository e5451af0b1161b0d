"""Which blocks a file needs, and whether each is written as a class or as a function."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from dlc.compiler.calls import called, every_node
from dlc.compiler.graph import BlockModule, Call, Functional, Graph, ListModule, Module, WeightModule
from dlc.compiler.init import Computed

Form = tuple[Graph, bool]
"""A block, and whether it is written as a class or as a function."""


def forms(roots: Iterable[Form]) -> dict[Form, None]:
    """All that the roots need, themselves included: a block is a class where it is instantiated, else a function."""
    found: dict[Form, None] = {}
    pending = list(roots)[::-1]
    while pending:
        form = pending.pop()
        if form in found:
            continue
        found[form] = None
        graph, is_class = form
        for node in every_node(graph):
            if isinstance(node.action, Call | Functional):
                instance = node.module is not None and (is_class or node.module.partition(".")[0] in graph.borrowed)
                pending.append((node.action.graph, instance))
        if is_class:
            pending += [(block, True) for module in graph.modules.values() for block in blocks(module)]
            pending += [(function, False) for start in _computed(graph) for function in called(start)]
    return found


def leads_to(graph: Graph) -> Iterator[Graph]:
    """The blocks that have to be written before this one."""
    yield from called(graph)
    for start in _computed(graph):
        yield from called(start)
    for module in graph.modules.values():
        yield from blocks(module)


def blocks(module: Module | None) -> Iterator[Graph]:
    """The graphs of the blocks that a module is made of."""
    match module:
        case BlockModule(graph=graph):
            yield graph
        case ListModule(items=items):
            for part in items:
                yield from blocks(part)
        case _:
            return


def _computed(graph: Graph) -> Iterator[Graph]:
    """The graphs of the values that a block's weights start at."""
    for module in graph.modules.values():
        if isinstance(module, WeightModule) and isinstance(module.weight.init, Computed):
            yield module.weight.init.graph
