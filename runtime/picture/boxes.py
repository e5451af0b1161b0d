"""What a picture shows: a box for each layer, and what each reads."""

from __future__ import annotations

from dataclasses import dataclass, field

from dlc.compiler.cost import Costs
from dlc.compiler.graph import Call, Functional, Graph, Loop, ModelRef, Node, Value, find_module
from dlc.compiler.op import Op
from dlc.runtime.show.summary import number


@dataclass(slots=True)
class Box:
    """name: the layer's. gives: the types of its results. learned: how many numbers it learns. kind: input, result,
    block, loop or layer. group: the blocks that it lies in, the outermost first. reads: boxes by their numbers."""

    name: str
    gives: str
    learned: str = ""
    kind: str = "layer"
    group: tuple[str, ...] = ()
    reads: list[int] = field(default_factory=list[int])


def boxes(graph: Graph, depth: int) -> list[Box]:
    """The inputs, the layers in the order in which they run, and the results; blocks opened down to `depth` levels.

    Operators that cost no multiply-adds are left out where they read one box: lines pass through them.
    """
    found = _Boxes(depth)
    for name, value in graph.inputs.items():
        found.sources[value] = [found.add(Box(name, str(value.type), kind="input"))]
    found.graph(graph, (), found.sources)
    for name, value in zip(graph.output_names, graph.outputs, strict=True):
        found.add(Box(name, str(value.type), kind="result", reads=found.sources.get(value, [])))
    return found.boxes


class _Boxes:
    def __init__(self, depth: int) -> None:
        self.boxes: list[Box] = []
        self.sources: dict[Value, list[int]] = {}  # of a value: the boxes that it comes from
        self._depth = depth
        self._costs = Costs()

    def add(self, box: Box) -> int:
        self.boxes.append(box)
        return len(self.boxes) - 1

    def graph(self, graph: Graph, group: tuple[str, ...], sources: dict[Value, list[int]]) -> None:
        counted: set[str] = set()
        for node in graph.nodes:
            reads = list(dict.fromkeys(box for value in node.values for box in sources.get(value, [])))
            if isinstance(node.action, Call) and len(group) < self._depth - 1:
                made = self._opened(node, node.action.graph, group, sources)
            elif _is_hidden(node, reads):
                made = [reads] * len(node.outputs)
            else:
                box = self.add(self._box(graph, node, group, reads, counted))
                made = [[box]] * len(node.outputs)
            sources.update(zip(node.outputs, made, strict=True))

    def _opened(
        self, node: Node, callee: Graph, group: tuple[str, ...], sources: dict[Value, list[int]]
    ) -> list[list[int]]:
        given = [operand for operand in node.inputs if not isinstance(operand, ModelRef)]
        inside = {
            slot: sources.get(value, [])
            for slot, value in zip(callee.inputs.values(), given, strict=False)
            if isinstance(value, Value)
        }
        self.graph(callee, (*group, node.module or callee.name), inside)
        return [inside.get(value, []) for value in callee.outputs]

    def _box(self, graph: Graph, node: Node, group: tuple[str, ...], reads: list[int], counted: set[str]) -> Box:
        match node.action:
            case Call(graph=callee) | Functional(graph=callee):
                name, kind = callee.name, "block"
            case Op() as op:
                name, kind = op.name, "layer"
            case Loop() as loop:
                name, kind = f"loop, {loop.turns} times", "loop"
            case action:
                name, kind = type(action).__name__.lower(), "layer"
        learned = ""
        if node.module is not None and node.module not in counted:
            counted.add(node.module)
            total = self._costs.learned(find_module(graph.modules | graph.borrowed, node.module)).total
            learned = f"{number(total)} learned" if total != 0 else ""
        label = name if node.module is None or node.module.rpartition(".")[2] == name else f"{node.module}: {name}"
        gives = ", ".join(str(output.type) for output in node.outputs)
        return Box(label, gives, learned, kind, group, reads)


def _is_hidden(node: Node, reads: list[int]) -> bool:
    match node.action:
        case Op() as op:
            return op.hidden and op.macs(*node.operand_types) == 0 and len(reads) < 2
        case Call() | Functional() | Loop():
            return False
        case _:
            return not reads
