"""Whether several processes, each with its share of a batch, can compute together what one computes of all of it.

The examples of a batch lie along the first axis of its fields, and each process has a run of successive ones. What a
process computes of its share is one of these: its own part of a tensor that is cut along the batch (`Split`); a mean
over its examples, so that the batch's is the mean of those of the processes, weighted by their examples (`Part.MEAN`);
a sum over them, so that the batch's is their sum (`Part.SUM`); the same on each process (none); or something that no
process can know by itself (`Joined`), from where examples meet in another way.

A loss that is a mean or a sum has as its gradient the weighted sum of the processes' gradients, exactly. Batch
normalisation meets all examples too, and is let through, since its statistics are reduced where they are made.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from dlc.compiler.dim import Dim, Symbol
from dlc.compiler.flow import known as facts
from dlc.compiler.flow.dependence import SOURCE, Alternative, Layout, Space, read
from dlc.compiler.flow.reading import Flow
from dlc.compiler.graph import (
    Assign,
    Call,
    Functional,
    Gradient,
    Graph,
    Loop,
    Node,
    Operand,
    ReadModel,
    ReadWeight,
    Value,
)
from dlc.compiler.op import Op
from dlc.compiler.types import Scalar, Tensor


class Part(Enum):
    """What the processes' values are added up by."""

    MEAN = "mean"
    SUM = "sum"


@dataclass(frozen=True, slots=True)
class Split:
    """A tensor that is cut along the batch, which is the factor number `place` of the axis `axis`."""

    layout: Layout
    axis: int
    place: int


@dataclass(frozen=True, slots=True)
class Joined:
    """Something of the whole batch that no process knows by itself, from this node on."""

    node: Node


State = Split | Part | Joined | None
States = dict[int, State]

# Of means, or sums, over the batch these are means, or sums, again.
_LINEAR = frozenset({"sum", "mean", "reshape", "flatten", "squeeze", "unsqueeze", "transpose", "permute", "stop"})
_AVERAGES = frozenset({"mean", "accuracy"})  # without a `reduction`, over all that they reduce alike
_CONTRACTIONS = frozenset({"matmul", "dot", "einsum"})


def batch_of(step: Graph) -> Symbol:
    """The number of examples of a step's batch."""
    (symbol,) = next(iter(step.inputs.values())).type.shape[0].symbols()
    return symbol


class Sharding:
    """What becomes of the values of a step's graph where the batch is cut, the first axis of its inputs.

    assigned: the nodes that assign weights, with what they are assigned.
    """

    def __init__(self, graph: Graph) -> None:
        self._symbol = batch_of(graph)
        self._batch = Dim.of_symbol(self._symbol)
        self._space = Space({SOURCE: self._batch})
        self._states: States = {id(value): self._by_size(value.type) for value in graph.inputs.values()}
        self._calls: dict[tuple[Graph, tuple[State, ...]], list[State]] = {}
        self.assigned: list[tuple[Node, State]] = []
        self._body(graph.nodes, self._states)

    def of(self, value: Value) -> State:
        """What a process has of a value of the graph."""
        return self._states.get(id(value))

    # --- nodes ---

    def _body(self, nodes: Sequence[Node], states: States) -> None:
        for node in nodes:
            match node.action:
                case Op():
                    found = self._op(node, node.action, states)
                case Call(graph=graph):
                    found = self._call(node, graph, states)
                case Functional(graph=graph):
                    found = self._call(node, graph, states, weights=node.inputs[-1])
                case Loop():
                    found = self._loop(node, node.action, states)
                case Gradient():
                    found = [self._gradient(node, states)]
                case Assign():
                    self.assigned.append((node, _state(node.inputs[0], states)))
                    continue
                case ReadWeight() | ReadModel():
                    continue
            for result, state in zip(node.outputs, found, strict=True):
                if state is not None:
                    states[id(result)] = state

    def _call(self, node: Node, graph: Graph, states: States, weights: Operand = None) -> list[State]:
        if _state(weights, states) is not None:
            return [_first_joined([_state(weights, states)]) or Joined(node)] * len(node.outputs)
        given = tuple(_state(operand, states) for operand in node.inputs[: len(graph.inputs)])
        key = graph, given
        if key not in self._calls:
            inner: States = {id(value): state for value, state in zip(graph.inputs.values(), given, strict=False)}
            self._body(graph.nodes, inner)
            self._calls[key] = [inner.get(id(output)) for output in graph.outputs]
        return self._calls[key]

    def _loop(self, node: Node, loop: Loop, states: States) -> list[State]:
        names = list(loop.body.inputs.values())[int(loop.indexed) :]
        if any(self._symbol in size.symbols() for size in (loop.start, loop.stop)):
            return [Joined(node)] * len(node.outputs)
        walked, carried = names[: loop.sequences], names[loop.sequences :]
        for value, operand in zip(walked, node.inputs, strict=False):
            states[id(value)] = _sliced(_state(operand, states), loop.axis, node)
        held = [_state(operand, states) for operand in node.inputs[loop.sequences :]][: loop.carried]
        while True:
            for value, state in zip(carried, held, strict=True):
                states[id(value)] = state
            self._body(loop.body.nodes, states)
            left = [states.get(id(output)) for output in loop.body.outputs]
            after = [_either(a, b, node) for a, b in zip(held, left, strict=False)]
            if after == held:
                break
            held = after
        return [*held, *(_stacked(state, loop, node) for state in left[loop.carried :])]

    def _gradient(self, node: Node, states: States) -> State:
        """Of a sum over the batch by values of its examples each process has its part; of a mean it would be larger."""
        loss, by = (_state(operand, states) for operand in node.inputs)
        joined = _first_joined([loss, by])
        if joined or (isinstance(by, Split) and loss is not Part.SUM) or isinstance(by, Part):
            return joined or Joined(node)
        return by if isinstance(by, Split) else loss

    # --- operations ---

    def _op(self, node: Node, op: Op, states: States) -> list[State]:
        given = [_state(operand, states) for operand in node.inputs]
        joined = _first_joined(given)
        if joined is not None or self._counts_examples(node, op):
            whole = self._share_of_sum(node, op, given)
            return [joined or whole or Joined(node)] * len(node.outputs)
        if any(isinstance(state, Part) for state in given):
            return [self._linear(node, op, given)] * len(node.outputs)
        types = tuple(value.type for value in node.outputs)
        flows = op.flow(types, *node.operand_types)
        flows = flows if isinstance(flows, tuple) else (flows,) * len(types)
        reading = [state for place, state in enumerate(given) if any(flow.reads[place] is not None for flow in flows)]
        if not any(reading):
            return [self._made(node, op, result.type, flow) for result, flow in zip(node.outputs, flows, strict=True)]
        if op.stateful and type(op).flow_in_training is not Op.flow_in_training:
            (state,) = given
            assert isinstance(state, Split)
            return [state if (state.axis, state.place) == (0, 0) else Joined(node)]
        found = [self._through(flow, given) for flow in flows]
        if op.random or op.stateful:
            found = [state if state is None or state.place == 0 else None for state in found]
        return [state or self._reduced(node, op, given, flows[0]) for state in found]

    def _made(self, node: Node, op: Op, to: Tensor, flow: Flow) -> State:
        """What is made of what all processes have: the same, unless it runs along the batch."""
        state = self._by_size(to)
        if state is None:
            return Joined(node) if any(self._symbol in size.symbols() for size in to.shape) else None
        if op.random:
            return state
        names = set(flow.result[state.axis])
        reads = [how for reads in flow.reads for how in reads or ()]
        if not reads and not any(isinstance(operand, Value) for operand in node.inputs):
            fact = op.known(to, *(_constant(operand) for operand in node.inputs))
            return state if fact is not None and fact.number is not None else Joined(node)
        alike = all(isinstance(how, tuple) and not names.intersection(how) for how in reads)
        return state if alike else Joined(node)

    def _through(self, flow: Flow, given: Sequence[State]) -> Split | None:
        """The result of an operation that keeps the examples apart."""
        found: set[Split] = set()
        for place, state in enumerate(given):
            if not isinstance(state, Split) or flow.reads[place] is None:
                continue
            after = read(self._space, flow, place, _alternative(state), {})
            split = None if after is None else _exact(after)
            if split is None:
                return None
            found.add(split)
        return found.pop() if len(found) == 1 else None

    def _reduced(self, node: Node, op: Op, given: Sequence[State], flow: Flow) -> State:
        """What comes of an operation that goes through the batch."""
        reduction = getattr(op, "reduction", None)
        if reduction in ("mean", "sum"):
            values = {name: getattr(op, name) for name in op.fields()}
            each = type(op)(**{**values, "reduction": "none"})
            types = each.results(*node.operand_types)
            flows = each.flow(types, *node.operand_types)
            apart = self._through(flows[0] if isinstance(flows, tuple) else flows, given)
            if apart is None or op.splits(*node.operand_types):
                return Joined(node)
            return Part.MEAN if reduction == "mean" else Part.SUM
        if op.splits(*node.operand_types):
            return Joined(node)
        if op.name in _AVERAGES:
            return Part.MEAN
        if op.name == "sum" or (op.name in _CONTRACTIONS and _contracted(flow, given)):
            return Part.SUM
        return Joined(node)

    def _linear(self, node: Node, op: Op, given: Sequence[State]) -> State:
        """What comes of means and sums over the batch."""
        kinds = {state for state in given if state is not None}
        if len(kinds) != 1:
            return Joined(node)
        (kind,) = kinds
        others = sum(state is None for state in given)
        match op.name:
            case "add" | "subtract":
                fits = not others or kind is Part.MEAN
            case "multiply" | "matmul" | "dot":
                fits = others == 1
            case "divide":
                fits = given[0] is kind and others == 1
            case "negate":
                fits = True
            case name:
                fits = name in _LINEAR and not others
        return kind if fits else Joined(node)

    def _share_of_sum(self, node: Node, op: Op, given: Sequence[State]) -> State:
        """A sum over the batch that is divided by the number of examples, or a multiple of it, is a mean."""
        divisor = node.inputs[-1] if op.name == "divide" else None
        if given[:1] != [Part.SUM] or not isinstance(divisor, Scalar) or not isinstance(divisor.value, Dim):
            return None
        rest = divisor.value.divide(self._batch)
        return Part.MEAN if rest is not None and self._symbol not in rest.symbols() else None

    def _counts_examples(self, node: Node, op: Op) -> bool:
        """Whether an operation reckons with the number of examples, beyond the sizes of what it gives."""
        sizes = [operand.value for operand in node.inputs if isinstance(operand, Scalar)]
        open = [size for size in sizes if isinstance(size, Dim) and self._symbol in size.symbols()]
        if open:
            return True
        told = [size for name in op.fields() for size in _sizes(getattr(op, name)) if self._symbol in size.symbols()]
        due = [size for value in node.outputs for size in value.type.shape if self._symbol in size.symbols()]
        return len(told) > len(due)

    def _by_size(self, type: Tensor) -> Split | None:
        """A tensor whose one axis of the batch shows in its size."""
        axes = [axis for axis, size in enumerate(type.shape) if self._symbol in size.symbols()]
        if len(axes) != 1:
            return None
        rest = type.shape[axes[0]].divide(self._batch)
        if rest is None or self._symbol in rest.symbols():
            return None
        cut = (self._batch,) if rest == 1 else (self._batch, rest)
        layout = tuple(cut if axis == axes[0] else () if size == 1 else (size,) for axis, size in enumerate(type.shape))
        return Split(layout, axes[0], 0)


# --- states -----------------------------------------------------------------------------------------------------


def _state(operand: Operand, states: Mapping[int, State]) -> State:
    return states.get(id(operand)) if isinstance(operand, Value) else None


def _first_joined(states: Sequence[State]) -> Joined | None:
    return next((state for state in states if isinstance(state, Joined)), None)


def _either(a: State, b: State, node: Node) -> State:
    """What a loop carries, at first and after a turn. Of what is the same everywhere, a mean may come."""
    if a == b:
        return a
    return _first_joined([a, b]) or (Part.MEAN if {a, b} == {None, Part.MEAN} else Joined(node))


def _alternative(split: Split) -> Alternative:
    own = (split.axis, split.place)
    zero = Dim.of(0)
    forms = [frozenset[tuple[Any, int]]({(SOURCE, by), (own, -by)}) for by in (1, -1)]
    return Alternative(split.layout, dict.fromkeys(forms, zero))


def _exact(found: Alternative) -> Split | None:
    """The split that inequalities amount to, if each position is that of one example."""
    for axis, factors in enumerate(found.layout):
        for place in range(len(factors)):
            own = (axis, place)
            bounds = [found.system.get(frozenset({(SOURCE, by), (own, -by)})) for by in (1, -1)]
            if all(bound is not None and bound == 0 for bound in bounds):
                return Split(found.layout, axis, place)
    return None


def _sliced(state: State, axis: int, node: Node) -> State:
    if not isinstance(state, Split):
        return state
    if state.axis == axis:
        return Joined(node)
    layout = (*state.layout[:axis], *state.layout[axis + 1 :])
    return Split(layout, state.axis - (state.axis > axis), state.place)


def _stacked(state: State, loop: Loop, node: Node) -> State:
    if not isinstance(state, Split):
        return state
    factors = () if loop.turns == 1 else (loop.turns,)
    layout = (*state.layout[: loop.axis], factors, *state.layout[loop.axis :])
    return Split(layout, state.axis + (state.axis >= loop.axis), state.place)


def _contracted(flow: Flow, given: Sequence[State]) -> bool:
    """Whether a product sums over the batch, along which all that is cut is read in step."""
    own = {name for group in flow.result for name in group}
    names: set[Any] = set()
    for place, state in enumerate(given):
        if isinstance(state, Split):
            how = (flow.reads[place] or ())[state.axis]
            names.add(how[0] if isinstance(how, tuple) and len(how) == 1 else None)
    return len(names) == 1 and None not in names and not names & own


def _constant(operand: Operand) -> facts.Known:
    if isinstance(operand, Scalar) and not isinstance(operand.value, Dim):
        return facts.constant(operand.value)
    if isinstance(operand, Scalar) and isinstance(operand.value, Dim) and operand.value.constant is not None:
        return facts.constant(operand.value.constant)
    return facts.NOTHING


def _sizes(value: Any) -> Iterator[Dim]:
    if isinstance(value, Dim):
        yield value
    elif isinstance(value, tuple):
        for item in value:  # pyright: ignore[reportUnknownVariableType]
            yield from _sizes(item)
