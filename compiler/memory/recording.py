"""What a graph does to memory, call by call, as records of it.

Blocks are opened where they are called, so that what a caller and a callee both keep is one thing. A loop's body
stands once; what it keeps counts for each turn.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from dlc.compiler.calls import callees_first, every_node
from dlc.compiler.dim import Dim
from dlc.compiler.flow.reading import Flow
from dlc.compiler.graph import (
    Assign,
    Call,
    Functional,
    Gradient,
    Graph,
    Loop,
    ModelRef,
    Module,
    Node,
    OpModule,
    ReadModel,
    ReadWeight,
    Value,
    WeightModule,
    find_module,
    weights_of,
)
from dlc.compiler.kept import Casting, Kept, Tape
from dlc.compiler.memory.layout import Layout, ordered, viewed
from dlc.compiler.memory.records import NONE, ONE, WIDTHS, Block, Held, Record, Setting, size_of
from dlc.compiler.op import Op, Weight
from dlc.compiler.types import DType, Tensor

MOST = 50_000  # calls that are recorded


class TooManyCalls(Exception):
    """A graph calls more operations than are recorded."""


class Recording:
    """The calls of a graph in their order. `ends`: how many there are once so many nodes of the graph have run.
    again: the stretches of calls that are done again for gradients; those in loops are not among them, for which more
    is counted than they take.

    Raises TooManyCalls.
    """

    def __init__(self, graph: Graph, setting: Setting) -> None:
        if calls(graph) > MOST:
            raise TooManyCalls
        self.setting = setting
        self.records: list[Record] = []
        self.given: list[Block] = []
        self.ends: list[int] = []
        self.again: list[range] = []
        self.weights: dict[str, Dim] = {}
        self.unsure = any(isinstance(node.action, Gradient | Functional) for node in _all(graph))
        self.inputs = {value: self._give(value) for value in graph.inputs.values()}
        self.held = dict(self.inputs)
        scope = _Scope(graph, "", {}, (), ONE)
        for node in graph.nodes:
            self._node(scope, node, self.held)
            for output in node.outputs:
                if output.name is not None:
                    self.held[output].name = output.name
            self.ends.append(len(self.records))
        self.outputs = [self.held[value] for value in graph.outputs]

    def _give(self, value: Value) -> Held:
        block = Block(size_of(value.type), -1)
        self.given.append(block)
        return Held(value.type, block, ordered(value.type), False, WIDTHS[value.type.dtype])

    def _node(self, scope: _Scope, node: Node, held: dict[Value, Held]) -> None:
        inner = (*scope.trail, node)
        match node.action:
            case Op() as op:
                results = self._op(scope, inner, op, node, held)
            case Call(graph=callee) | Functional(graph=callee):
                results = self._call(scope, inner, callee, node, held)
            case Loop():
                results = self._loop(scope, inner, node, node.action, held)
            case ReadWeight():
                results = [self._read(scope, node)]
            case ReadModel() | Gradient():
                results = self._made(inner, node, scope.times, held)
            case Assign():
                results = []
        held.update(zip(node.outputs, results, strict=True))

    # --- calls and loops ---

    def _call(
        self, scope: _Scope, trail: tuple[Node, ...], callee: Graph, node: Node, held: Mapping[Value, Held]
    ) -> list[Held]:
        values = [operand for operand in node.inputs if isinstance(operand, Value)]
        inside = {value: held[given] for value, given in zip(callee.inputs.values(), values, strict=False)}
        refs = [operand for operand in node.inputs if isinstance(operand, ModelRef)]
        lent = {name: scope.place(ref.path) for name, ref in zip(callee.borrowed, refs, strict=False)}
        prefix = f"{scope.place(node.module)}." if node.module is not None else scope.prefix
        within = _Scope(callee, prefix, lent, trail, scope.times)
        start = len(self.records)
        for each in callee.nodes:
            self._node(within, each, inside)
        if self.setting.recompute == callee.name and node.module is not None and scope.times == ONE:
            self.again = [inner for inner in self.again if inner.start < start]
            self.again.append(range(start, len(self.records)))
        return [inside[value] for value in callee.outputs]

    def _loop(
        self, scope: _Scope, trail: tuple[Node, ...], node: Node, loop: Loop, held: Mapping[Value, Held]
    ) -> list[Held]:
        """A body once, with what it makes as often as it runs; walked sequences are views, collected values copies."""
        times = scope.times * loop.turns
        values = list(node.values)
        inside = dict(held)
        slots = list(loop.body.inputs.values())
        if loop.indexed:
            index = slots.pop(0)
            inside[index] = Held(index.type, Block(size_of(index.type), -1), (), False, 8)
        needs = self._carried(loop, node, held, slots)
        carried: dict[Block, int] = {}
        for place, slot in enumerate(slots):
            given = held[values[place]]
            if place < loop.sequences:
                inside[slot] = Held(slot.type, given.block, None, given.needs, given.width)
            else:
                turn = Block(NONE, len(self.records))  # what it starts with, or the turn before has ended with
                carried[turn] = place - loop.sequences
                inside[slot] = Held(slot.type, turn, ordered(slot.type), needs[place - loop.sequences], given.width)
        begun = tuple(inside[slot] for slot in slots[loop.sequences :])
        if begun:
            reads = tuple(held[value] for value in values[loop.sequences : loop.sequences + loop.carried])
            self._add(Record(trail, reads, begun, passes=True))
        start = len(self.records)
        within = _Scope(scope.graph, scope.prefix, scope.lent, scope.trail, times)
        for each in loop.body.nodes:
            self._node(within, each, inside)
        for record in self.records[start:]:
            turns = [carried[block] for block in record.kept if block in carried]
            firsts = [held[values[loop.sequences + place]].block for place in turns]
            record.kept += (*firsts, *(inside[loop.body.outputs[place]].block for place in turns))
        results: list[Held] = []
        ends = [inside[value] for value in loop.body.outputs]
        for place, (output, end) in enumerate(zip(node.outputs, ends, strict=True)):
            if place < loop.carried:
                results.append(Held(output.type, end.block, ordered(output.type), end.needs, end.width))
                continue
            stacked = Block(size_of(output.type, end.width), len(self.records), scope.times)
            made = Held(output.type, stacked, ordered(output.type), end.needs, end.width)
            self._add(Record(trail, (end,), (made,), made=(stacked,), passes=True))
            results.append(made)
        return results

    def _carried(self, loop: Loop, node: Node, held: Mapping[Value, Held], slots: Sequence[Value]) -> list[bool]:
        """Which carried values gradients go through: those that start so, and all once the body reads weights."""
        starts = list(node.values)[loop.sequences : loop.sequences + loop.carried]
        learns = any(each.module is not None for each in every_node(loop.body))
        reads = any(held[value].needs for value in node.values)
        floats = [slot.type.dtype.is_float for slot in slots[loop.sequences :]]
        return [
            float and self.setting.training and (held[start].needs or learns or reads)
            for start, float in zip(starts, floats, strict=True)
        ]

    # --- operations ---

    def _read(self, scope: _Scope, node: Node) -> Held:
        assert node.module is not None
        path = scope.place(node.module)
        (output,) = node.outputs
        learned = _learned(path, scope.find(node.module)) if self.setting.training else {}
        self.weights |= learned
        held = Held(output.type, Block(Dim.of(0), -1), ordered(output.type), bool(learned), 4)
        self._add(Record((*scope.trail, node), (), (held,), weights=learned))
        return held

    def _made(self, trail: tuple[Node, ...], node: Node, times: Dim, held: Mapping[Value, Held]) -> list[Held]:
        """What is computed anew from all that it reads, and keeps it."""
        reads = tuple(held[value] for value in node.values)
        blocks = [Block(size_of(output.type), len(self.records), times) for output in node.outputs]
        gives = [
            Held(output.type, block, ordered(output.type), self.setting.training, 4)
            for output, block in zip(node.outputs, blocks, strict=True)
        ]
        self._add(Record(trail, reads, tuple(gives), kept=tuple(each.block for each in reads), made=tuple(blocks)))
        return gives

    def _op(self, scope: _Scope, trail: tuple[Node, ...], op: Op, node: Node, held: Mapping[Value, Held]) -> list[Held]:
        given = [held[operand] if isinstance(operand, Value) else None for operand in node.inputs]
        reads = tuple(each for each in given if each is not None)
        learned = {}
        if node.module is not None and self.setting.training:
            learned = _learned(scope.place(node.module), scope.find(node.module))
            self.weights |= learned
        flows = op.differentiable and (bool(learned) or any(each.needs for each in reads))
        to = tuple(output.type for output in node.outputs)
        needs = [flows and type.dtype.is_float for type in to]
        layouts = self._views(op, given, to, node)
        width = self._width(op, reads)
        gives: list[Held] = []
        made: list[Block] = []
        kept = Kept()
        if any(needs):
            tape = Tape([each is not None and each.needs for each in given], self.setting.accelerator)
            kept = op.keeps(tape, to, *node.operand_types)
        for place, type in enumerate(to):
            if layouts is not None:
                assert given[0] is not None
                gives.append(Held(type, given[0].block, layouts[place], needs[place], given[0].width))
                continue
            own = width if type.dtype is DType.FLOAT else WIDTHS[type.dtype]
            made.append(Block(size_of(type, own), len(self.records), scope.times))
            layout = kept.laid if place == 0 and kept.laid is not None else ordered(type)
            gives.append(Held(type, made[-1], layout, needs[place], own))
        blocks = list(self._kept(op, kept, given, gives, scope.times))
        made += [block for block in blocks if block.made == len(self.records) and block not in made]
        scratch, undone = (sum(map(size_of, types), NONE) for types in (kept.scratch, kept.undone))
        if learned and self.setting.half and op.casting is Casting.LOWER:
            copies = Block(sum(learned.values(), Dim.of(0)) // 2, len(self.records))
            made.append(copies)
            blocks.append(copies)
        passes = op.passes or layouts is not None
        self._add(Record(trail, reads, tuple(gives), tuple(blocks), tuple(made), scratch, undone, learned, passes))
        return gives

    def _views(self, op: Op, given: Sequence[Held | None], to: tuple[Tensor, ...], node: Node) -> list[Layout] | None:
        first = given[0] if given else None
        if first is None or not op.shares(*node.operand_types):
            return None
        flows = op.flow(to, *node.operand_types)
        each = [flows] * len(to) if isinstance(flows, Flow) else list(flows)
        return viewed(first.type, first.layout, to, each)

    def _width(self, op: Op, reads: Sequence[Held]) -> int:
        """The bytes of a float in the results."""
        floats = [each.width for each in reads if each.type.dtype is DType.FLOAT]
        if not self.setting.half or op.casting is Casting.FULL:
            return 4
        return 2 if op.casting is Casting.LOWER else max(floats, default=4)

    def _kept(
        self, op: Op, kept: Kept, given: Sequence[Held | None], gives: Sequence[Held], times: Dim
    ) -> Iterator[Block]:
        now = len(self.records)
        for place in kept.inputs:
            each = given[place] if place < len(given) else None
            if each is None:
                continue
            width = each.width
            if self.setting.half and each.type.dtype is DType.FLOAT:
                width = {Casting.LOWER: 2, Casting.FULL: 4}.get(op.casting, width)
            copied = width != each.width or (kept.dense and each.layout != ordered(each.type))
            yield Block(size_of(each.type, width), now, times) if copied else each.block
        for place in kept.results:
            yield gives[place].block
        for type in kept.made:
            width = 2 if self.setting.half and op.casting is Casting.LOWER and type.dtype is DType.FLOAT else None
            yield Block(size_of(type, width), now, times)

    def _add(self, record: Record) -> None:
        self.records.append(record)


@dataclass(frozen=True)
class _Scope:
    """Where nodes stand. prefix: of the paths of the graph's own modules. lent: where those are that were passed in.
    times: how often they run."""

    graph: Graph
    prefix: str
    lent: Mapping[str, str]
    trail: tuple[Node, ...]
    times: Dim

    def place(self, path: str) -> str:
        """A module's path, seen from the graph at the top."""
        first, dot, rest = path.partition(".")
        if first in self.lent and first not in self.graph.modules:
            return f"{self.lent[first]}{dot}{rest}"
        return self.prefix + path

    def find(self, path: str) -> Module:
        return find_module(self.graph.modules | self.graph.borrowed, path)


def calls(graph: Graph) -> int:
    """How many operations a graph calls, in the blocks that it calls too."""
    counts: dict[Graph, int] = {}
    for each in callees_first([graph]):
        counts[each] = sum(
            1 + (counts[node.action.graph] if isinstance(node.action, Call | Functional) else 0)
            for node in every_node(each)
        )
    return counts[graph]


def _all(graph: Graph) -> Iterator[Node]:
    for each in callees_first([graph]):
        yield from every_node(each)


def _learned(path: str, module: Module) -> dict[str, Dim]:
    """The bytes of the weights of a module that are learned, by their paths."""
    found: dict[str, Weight]
    match module:
        case WeightModule(weight=weight):
            found = {path: weight}
        case OpModule(weights=weights):
            found = {f"{path}.{name}": weight for name, weight in weights.items()}
        case _:
            found = dict(weights_of({path: module}))
    return {name: size_of(Tensor(weight.dtype, weight.shape)) for name, weight in found.items() if weight.trainable}
