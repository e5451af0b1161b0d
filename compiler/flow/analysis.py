"""The dependence of every value of a graph on one axis of one of them."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any

from dlc.compiler.dim import Dim
from dlc.compiler.flow import known as facts
from dlc.compiler.flow.dependence import (
    SOURCE,
    Alternative,
    Dependence,
    Space,
    include,
    plain,
    read,
    restrict,
)
from dlc.compiler.flow.inequalities import Contradiction, System, add
from dlc.compiler.flow.known import NOTHING, NOWHERE, Known
from dlc.compiler.flow.looping import Turning
from dlc.compiler.flow.reading import Flow, Near, everything
from dlc.compiler.graph import Call, Graph, Loop, Node, Operand, Value
from dlc.compiler.op import Op
from dlc.compiler.types import Scalar, Tensor


@dataclass(frozen=True, eq=False, slots=True)
class Start:
    """The source itself, or what was passed to a graph as the input number `place`."""

    place: int
    number: int


@dataclass(frozen=True, eq=False, slots=True)
class Step:
    """One node on the way of a dependence: what it was before, and, for a call, the way within what is called."""

    node: Node
    result: Value
    before: Alternative
    inner: Alternative | None = None


States = MutableMapping[Value, Dependence]
Facts = MutableMapping[Value, Known]
_Called = tuple[list[Dependence], list[Known]]


class Analysis:
    """One source: which positions along its axis each value depends on, in evaluation or in training."""

    def __init__(self, source: Value, axis: int, *, training: bool) -> None:
        self.training = training
        self.differs = False  # whether an operation that was met reads otherwise in training
        self.space = Space({SOURCE: source.type.shape[axis]})
        self._source = source
        self._axis = axis
        self._calls: dict[Any, _Called] = {}
        self._flows: dict[Node, tuple[Flow, ...]] = {}

    def run(self, graph: Graph) -> dict[Value, Dependence]:
        """The dependence of each value of the graph that the source is in; those that are not there have none."""
        shape = self._source.type.shape
        system: System = {}
        layout = plain(shape)
        if layout[self._axis]:
            add(system, {SOURCE: 1, (self._axis, 0): -1}, 0)
            add(system, {SOURCE: -1, (self._axis, 0): 1}, 0)
        states: States = {self._source: [Alternative(layout, system, Start(0, 0))]}
        self._body(graph.nodes, states, {})
        return dict(states)

    def _body(self, nodes: Sequence[Node], states: States, known: Facts) -> None:
        for node in nodes:
            match node.action:
                case Op():
                    self._apply(node, node.action, states, known)
                case Call(graph=graph):
                    self._call(node, graph, states, known)
                case Loop():
                    self._loop(node, node.action, states, known)
                case _:
                    self._opaque(node, states)

    # --- operations ---

    def _apply(self, node: Node, op: Op, states: States, known: Facts) -> None:
        about = [_known(operand, known) for operand in node.inputs]
        reached = [operand for operand in node.values if states.get(operand)]
        if not reached and any(node.inputs) and not any(about):
            return
        flows = self.flows(node, op)
        for result, flow in zip(node.outputs, flows, strict=True):
            fact = _of_result(op, result.type, flow, about)
            if fact:
                known[result] = fact
            if reached:
                gates = _gates(flow, about)
                found: Dependence = []
                for place, operand in enumerate(node.inputs):
                    if isinstance(operand, Value) and flow.reads[place] is not None:
                        for before in states.get(operand, ()):
                            self._through(node, result, flow, place, before, gates.get(place, {}), fact, found)
                if found:
                    states[result] = found

    def _through(
        self,
        node: Node,
        result: Value,
        flow: Flow,
        place: int,
        before: Alternative,
        gates: System,
        fact: Known,
        found: Dependence,
    ) -> None:
        after = read(self.space, flow, place, before, gates)
        for _, region in fact.fills:
            if after is not None:
                after = restrict(self.space, after, dict(region))
        if after is not None:
            after.origin = Step(node, result, before)
            include(found, after)

    def flows(self, node: Node, op: Op) -> tuple[Flow, ...]:
        """How a node reads its inputs, for each of its results."""
        if node not in self._flows:
            types = tuple(value.type for value in node.outputs)
            given = op.flow(types, *node.operand_types)
            if type(op).flow_in_training is not Op.flow_in_training:
                trained = op.flow_in_training(types, *node.operand_types)
                self.differs = self.differs or trained != given
                given = trained if self.training else given
            self._flows[node] = given if isinstance(given, tuple) else (given,) * len(types)
        return self._flows[node]

    def _opaque(self, node: Node, states: States) -> None:
        """What is not an operation depends on all that it is given."""
        for result in node.outputs:
            found: Dependence = []
            types = [operand.type if isinstance(operand, Value) else None for operand in node.inputs]
            flow = everything(result.type, *types)
            for place, operand in enumerate(node.inputs):
                if isinstance(operand, Value):
                    for before in states.get(operand, ()):
                        self._through(node, result, flow, place, before, {}, NOTHING, found)
            if found:
                states[result] = found

    # --- calls ---

    def _call(self, node: Node, graph: Graph, states: States, known: Facts) -> None:
        inputs = list(graph.inputs.values())
        given = [states.get(operand, []) if isinstance(operand, Value) else [] for operand in node.inputs]
        about = [_known(operand, known) for operand in node.inputs][: len(inputs)]
        if not any(given) and not any(about):
            return
        key = (graph, tuple(tuple(each.key() for each in dependence) for dependence in given), tuple(about))
        if key not in self._calls:
            self._calls[key] = self._within(graph, inputs, given, about)
        results, learned = self._calls[key]
        for result, inner, fact in zip(node.outputs, results, learned, strict=True):
            if fact:
                known[result] = fact
            if inner:
                states[result] = [
                    Alternative(each.layout, each.system, Step(node, result, _passed(each, given), each))
                    for each in inner
                ]

    def _within(
        self, graph: Graph, inputs: Sequence[Value], given: Sequence[Dependence], about: Sequence[Known]
    ) -> _Called:
        states: States = {}
        known: Facts = {}
        for place, (value, dependence, fact) in enumerate(zip(inputs, given, about, strict=False)):
            states[value] = [
                Alternative(each.layout, each.system, Start(place, number)) for number, each in enumerate(dependence)
            ]
            known[value] = fact
        self._body(graph.nodes, states, known)
        return [states.get(output, []) for output in graph.outputs], [known.get(o, NOTHING) for o in graph.outputs]

    # --- loops ---

    def _loop(self, node: Node, loop: Loop, states: States, known: Facts) -> None:
        turning = Turning(loop, self.space)
        body = loop.body
        names = list(body.inputs.values())
        if loop.indexed:
            index, *names = names
            line = facts.Line(((turning.turn, loop.step),), loop.start)
            known[index] = Known(line)
        for inner, operand in zip(names[: loop.sequences], node.inputs, strict=False):
            assert isinstance(operand, Value)
            states[inner] = [
                Alternative(each.layout, each.system, Step(node, inner, before))
                for before in states.get(operand, ())
                for each in [turning.slice(before)]
            ]
        carried = names[loop.sequences :]
        firsts = [states.get(o, []) if isinstance(o, Value) else [] for o in node.inputs[loop.sequences :]]
        firsts = firsts[: loop.carried]
        held: list[Dependence] = [list(first) for first in firsts]
        while True:
            for inner, dependence in zip(carried, held, strict=True):
                states[inner] = dependence
            self._body(body.nodes, states, known)
            outputs = [states.get(output, []) for output in body.outputs]
            if not turning.advance(held, outputs[: loop.carried]):
                break
        for place, (result, first) in enumerate(zip(node.outputs[: loop.carried], firsts, strict=True)):
            self._ends(node, result, [*turning.final(outputs[place]), *(() if turning.runs else first)], states)
        for result, dependence in zip(node.outputs[loop.carried :], outputs[loop.carried :], strict=True):
            self._ends(node, result, [turning.stack(each) for each in dependence], states)

    def _ends(self, node: Node, result: Value, dependence: Sequence[Alternative], states: States) -> None:
        found: Dependence = []
        for each in dependence:
            include(found, Alternative(each.layout, each.system, Step(node, result, each)))
        if found:
            states[result] = found


def _passed(inner: Alternative, given: Sequence[Dependence]) -> Alternative:
    """What was passed to a graph, for what came of it in there."""
    origin = inner.origin
    while isinstance(origin, Step):
        origin = origin.before.origin
    assert isinstance(origin, Start)
    return given[origin.place][origin.number]


def _known(operand: Operand, known: Mapping[Value, Known]) -> Known:
    if isinstance(operand, Value):
        return known.get(operand, NOTHING)
    if isinstance(operand, Scalar):
        value = operand.value
        if isinstance(value, Dim):
            number = value.constant
            return Known(facts.Line((), value)) if number is None else facts.constant(number)
        return facts.constant(value)
    return NOTHING


def _axes(flow: Flow, place: int) -> dict[int, tuple[dict[Any, int], Dim]]:
    """Where the axes of an input are read, as sums of the names that an operation runs over."""
    axes: dict[int, tuple[dict[Any, int], Dim]] = {}
    for axis, how in enumerate(flow.reads[place] or ()):
        if isinstance(how, tuple):
            terms: dict[Any, int] = {}
            weight = Dim.of(1)
            for name in reversed(how):
                if weight.constant is None:
                    break
                terms[name] = weight.constant
                weight = weight * flow.sizes[name]
            else:
                axes[axis] = terms, Dim.of(0)
        elif isinstance(how, Near) and how.per == 1 and how.low is not None and how.low == how.high:
            axes[axis] = {} if how.name is None else {how.name: how.by}, Dim.of(how.low)
    return axes


def _of_result(op: Op, to: Tensor, flow: Flow, about: Sequence[Known]) -> Known:
    """What is known of the elements of a result: of one that is made element by element, or without inputs."""
    numbers: dict[Any, int] = {group[0]: axis for axis, group in enumerate(flow.result) if len(group) == 1}
    numbers |= {inner: numbers[name] for inner, name in flow.mixes.items() if name in numbers}
    if (flow.keeps and not any(about)) or (not flow.keeps and type(op).known is Op.known):
        return NOTHING
    if any(_goes_through(how, numbers) for reads in flow.reads for how in reads or ()):
        return NOTHING
    moved: list[Known] = []
    for place, fact in enumerate(about):
        if not fact or flow.reads[place] is None:
            moved.append(fact)
            continue
        axes = {
            axis: ({numbers[name]: by for name, by in terms.items()}, offset)
            for axis, (terms, offset) in _axes(flow, place).items()
            if all(name in numbers for name in terms)
        }
        moved.append(fact.moved(axes))
    if flow.keeps:
        return moved[0] if len(moved) == 1 else NOTHING
    return op.known(to, *moved) or NOTHING


def _goes_through(how: Any, own: Mapping[Any, int]) -> bool:
    """Whether one element of the result is made of several along an axis."""
    if isinstance(how, tuple):
        return not all(name in own for name in how)  # pyright: ignore[reportUnknownVariableType]
    return not isinstance(how, Near) or how.low is None or how.low != how.high or how.per != 1


def _gates(flow: Flow, about: Sequence[Known]) -> dict[int, System]:
    """What holds wherever an input is read, by the number of the input."""
    gates: dict[int, System] = {}
    for gate in flow.gates:
        region = about[gate.by].outside(gate.number)
        if region is None or flow.reads[gate.by] is None:
            continue
        moved = Known(None, ((0.0, region),)).moved(_axes(flow, gate.by)).fills[0][1]
        system = gates.setdefault(gate.of, {})
        try:
            for form, most in moved:
                if moved == NOWHERE:
                    system[form] = most
                else:
                    add(system, dict(form), most)
        except Contradiction:
            system.update(dict(NOWHERE))
    return gates
