"""What a step's losses are computed from: which weights each one reaches, and what it would use after a change."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from dlc.compiler.graph import Assign, Call, Graph, Loop, ModelRef, Node, Value
from dlc.compiler.op import Op
from dlc.compiler.program import Minimize, Step
from dlc.grammar.source import Span

FLAT = frozenset(
    {
        "stop",
        "sign",
        "floor",
        "ceil",
        "round",
        "floor_divide",
        "zeros_like",
        "ones_like",
        "normal_like",
        "uniform_like",
        "bernoulli",
    }
)
"""Operations whose derivative is zero wherever there is one."""


def overlap(a: str, b: str) -> bool:
    """Whether one of two paths lies within the other."""
    return a == b or a.startswith(f"{b}.") or b.startswith(f"{a}.")


def uses(node: Node) -> Iterator[str]:
    """The paths of the modules and weights that a node computes with, those in a loop's body too."""
    if isinstance(node.action, Assign):
        return
    if node.module is not None:
        yield node.module
    yield from (operand.path for operand in node.inputs if isinstance(operand, ModelRef))
    if isinstance(node.action, Loop):
        for inner in node.action.body.nodes:
            yield from uses(inner)


def assigned(graph: Graph) -> Iterator[str]:
    """The paths of the weights that a graph assigns, in loops too."""
    for node in graph.nodes:
        if isinstance(node.action, Assign) and node.module is not None:
            yield node.module
        elif isinstance(node.action, Loop):
            yield from assigned(node.action.body)


def differentiated(step: Step, effect: Minimize, over: Sequence[str]) -> list[tuple[int, Node]]:
    """The nodes, with their places, that gradients pass on their way from a loss to the weights that it updates."""
    nodes = list(enumerate(step.graph.nodes))
    depends = _depending(step.graph.nodes, set(), "", over)
    needed = {id(effect.value)} & depends
    passed: list[tuple[int, Node]] = []
    for place, node in reversed(nodes):
        if any(id(output) in needed for output in node.outputs):
            passed.append((place, node))
            needed.update(id(value) for value in node.values if id(value) in depends)
    return passed


def cut(step: Step, effect: Minimize, over: Sequence[str]) -> Node | None:
    """Where what a loss is computed from last had a derivative by these weights: the node that none passes."""
    depends = _depending(step.graph.nodes, set(), "", over)
    needed = {id(effect.value)}
    for node in reversed(step.graph.nodes):
        asked = [id(output) for output in node.outputs if id(output) in needed]
        if not asked:
            continue
        known = any(id(value) in depends for value in node.values)
        if known or any(overlap(path, updated) for path in uses(node) for updated in over):
            return None if any(output in depends for output in asked) else node
        needed.update(id(value) for value in node.values)
    return None


def _depending(nodes: Iterable[Node], depends: set[int], around: str, over: Sequence[str]) -> set[int]:
    """The values, by their ids, that have a derivative by the weights that are updated; nothing but a float has one.

    depends: those of the values around these nodes that have. around: what stands before the paths of their modules.
    """
    for node in nodes:
        outputs: Iterable[Value] = node.outputs
        match node.action:
            case Op(name=name) if name in FLAT:
                continue
            case Call(graph=graph) if not any(isinstance(operand, ModelRef) for operand in node.inputs):
                given = zip(graph.inputs.values(), node.inputs, strict=True)
                known = {id(inner) for inner, outer in given if isinstance(outer, Value) and id(outer) in depends}
                own = around if node.module is None else f"{around}{node.module}."
                inside = _depending(graph.nodes, known, own, over)
                results = zip(node.outputs, graph.outputs, strict=True)
                outputs = [outer for outer, inner in results if id(inner) in inside]
            case _:
                learned = any(overlap(f"{around}{path}", updated) for path in uses(node) for updated in over)
                if not learned and not any(id(value) in depends for value in node.values):
                    continue
        depends.update(id(output) for output in outputs if output.type.dtype.is_float)
    return depends


def stale(step: Step, instances: Sequence[str]) -> Iterator[tuple[Minimize, Node, Span]]:
    """For each gradient step that would pass a node computed with weights changed since: that node, and the change."""
    changes: list[tuple[int, str, Span]] = [
        (place, node.module, node.span)
        for place, node in enumerate(step.graph.nodes)
        if isinstance(node.action, Assign) and node.module is not None
    ]
    for position, effect in step.effects:
        if not isinstance(effect, Minimize):
            continue
        over = effect.over or instances
        found = _first_stale(differentiated(step, effect, over), position, changes)
        if found is not None:
            yield effect, *found
        changes += [(position, path, effect.span) for path in over]


def _first_stale(
    passed: list[tuple[int, Node]], position: int, changes: list[tuple[int, str, Span]]
) -> tuple[Node, Span] | None:
    for place, node in passed:
        for when, path, span in changes:
            if place < when <= position and any(overlap(used, path) for used in uses(node)):
                return node, span
    return None
