"""A network as a drawing: its layers from top to bottom, with what each gives, and lines for what each reads."""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape

from dlc.compiler.cost import Costs
from dlc.compiler.graph import Call, Functional, Graph, Loop, Node, Value, find_module
from dlc.compiler.op import Op
from dlc.runtime.show.summary import number

_WIDTH, _HEIGHT, _GAP, _LANE = 360, 38, 16, 14  # of a layer, between two, between two lines that pass layers
_MOST = 80  # layers that are drawn


@dataclass(slots=True)
class Box:
    """A layer: its name, what it gives, its learned numbers, and the boxes that it reads."""

    name: str
    gives: str
    learned: str = ""
    kind: str = "layer"
    reads: set[int] = field(default_factory=set[int])


def drawing(graph: Graph) -> str:
    """The layers of a graph as an `svg` element. Operators that cost nothing are left out: lines pass through them."""
    boxes = _boxes(graph)
    left = len(boxes) - _MOST
    boxes = boxes[:_MOST]
    lanes = _lanes(boxes)
    width = _WIDTH + 24 + _LANE * (max(lanes.values(), default=0) + 1)
    height = len(boxes) * (_HEIGHT + _GAP) + (24 if left > 0 else 0)
    lines = [_line(start, end, lanes) for end, box in enumerate(boxes) for start in sorted(box.reads)]
    parts = [*lines, *(_box(place, box) for place, box in enumerate(boxes))]
    if left > 0:
        parts.append(f'<text class="tick" x="12" y="{height - 6}">… and {left} more</text>')
    arrow = '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="6" markerHeight="6" orient="auto">'
    arrow += '<path class="tip" d="M0,0 L8,4 L0,8 z"/></marker></defs>'
    size = f'viewBox="0 0 {width} {height}" style="max-width:{width}px"'
    label = escape(f"the layers of {graph.name}", quote=True)
    return f'<svg class="network" {size} role="img" aria-label="{label}">{arrow}{"".join(parts)}</svg>'


def _boxes(graph: Graph) -> list[Box]:
    """The inputs, the layers in the order in which they run, and the results."""
    costs = Costs()
    costs.macs(graph)
    boxes: list[Box] = []
    sources: dict[int, set[int]] = {}  # of a value: the boxes that it comes from
    counted: set[str] = set()
    for name, value in graph.inputs.items():
        sources[id(value)] = {len(boxes)}
        boxes.append(Box(name, str(value.type), kind="end"))
    for node in graph.nodes:
        reads = {box for value in _read(node) for box in sources.get(id(value), ())}
        if _is_hidden(node):
            made = reads
        else:
            made = {len(boxes)}
            boxes.append(_layer(graph, node, reads, costs, counted))
        sources.update((id(output), made) for output in node.outputs)
    for name, value in zip(graph.output_names, graph.outputs, strict=True):
        boxes.append(Box(name, str(value.type), kind="end", reads=set(sources.get(id(value), ()))))
    return boxes


def _read(node: Node) -> list[Value]:
    return list(node.values)


def _is_hidden(node: Node) -> bool:
    match node.action:
        case Op() as op:
            return op.hidden and op.macs(*node.operand_types) == 0
        case Call() | Functional() | Loop():
            return False
        case _:
            return True


def _layer(graph: Graph, node: Node, reads: set[int], costs: Costs, counted: set[str]) -> Box:
    match node.action:
        case Call(graph=callee) | Functional(graph=callee):
            name = callee.name
        case Op() as op:
            name = op.name
        case _:
            name = "loop"
    learned = ""
    if node.module is not None and node.module not in counted:
        counted.add(node.module)
        total = costs.learned(find_module(graph.modules | graph.borrowed, node.module)).total
        learned = f"{number(total)} learned" if total != 0 else ""
    label = name if node.module is None or node.module.rpartition(".")[2] == name else f"{node.module}: {name}"
    return Box(label, ", ".join(str(output.type) for output in node.outputs), learned, reads=reads)


def _lanes(boxes: list[Box]) -> dict[tuple[int, int], int]:
    """For each line that passes layers, which lane beside them it takes, so that no two in one lane overlap."""
    passing = sorted(
        (end - start, start, end) for end, box in enumerate(boxes) for start in box.reads if end > start + 1
    )
    taken: list[list[tuple[int, int]]] = []
    lanes: dict[tuple[int, int], int] = {}
    for _, start, end in passing:
        free = (lane for lane, spans in enumerate(taken) if all(end <= a or b <= start for a, b in spans))
        lane = next(free, len(taken))
        if lane == len(taken):
            taken.append([])
        taken[lane].append((start, end))
        lanes[start, end] = lane
    return lanes


def _top(place: int) -> float:
    return place * (_HEIGHT + _GAP) + 1


def _line(start: int, end: int, lanes: dict[tuple[int, int], int]) -> str:
    if end == start + 1:
        middle = 12 + _WIDTH / 2
        return f'<path class="flow" d="M{middle},{_top(start) + _HEIGHT} V{_top(end) - 1}"/>'
    side = 12 + _WIDTH
    out, back = _top(start) + _HEIGHT * 0.7, _top(end) + _HEIGHT * 0.3
    turn = side + _LANE * (lanes[start, end] + 1)
    path = f"M{side},{out} H{turn - 5} q5,0 5,5 V{back - 5} q0,5 -5,5 H{side + 1}"
    return f'<path class="flow passing" d="{path}"/>'


def _box(place: int, box: Box) -> str:
    top = _top(place)
    right = 12 + _WIDTH - 10
    learned = f'<text class="small" x="{right}" y="{top + 31}" text-anchor="end">{escape(box.learned)}</text>'
    return (
        f'<g class="{box.kind}"><rect x="12" y="{top}" width="{_WIDTH}" height="{_HEIGHT}" rx="7"/>'
        f'<text class="layer-name" x="22" y="{top + 16}">{escape(_short(box.name, 48))}</text>'
        f'<text class="small" x="22" y="{top + 31}">{escape(_short(box.gives, 44))}</text>'
        f"{learned if box.learned else ''}</g>"
    )


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
