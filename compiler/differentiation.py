"""Gradients within a graph: what is differentiated by what, which of it must keep its history, and what need not.

A step takes gradients in two ways: `minimize`, by weights, and `grad`, by a tensor or a model. What a value was
computed from matters to those alone whose variables are among it. So the input of an attack starts anew in every turn
of a loop, and a gradient is itself differentiable only where something differentiates it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from dlc.compiler.calls import every_node
from dlc.compiler.elaborate.reach import FLAT, overlap, uses
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
    weights_of,
)
from dlc.compiler.op import Op
from dlc.compiler.program import Minimize, Step

_Key = int | str
"""A place in the flow: a value, by its id, or a weight, by its path."""

_Reached = list[list[int]]
"""Of each input of a block, the places of some of its results."""


@dataclass(frozen=True, slots=True)
class Differentiated:
    """A scalar that is differentiated. variables: the values, by their ids, and the paths of weights that it is
    differentiated by. node: the `grad` that does it, none for what is minimised or given back."""

    loss: Value
    variables: tuple[_Key, ...]
    node: Node | None = None


def takes_gradients(graph: Graph) -> bool:
    """Whether a graph takes gradients itself, in its loops too; those of what it calls do not count."""
    return any(isinstance(node.action, Gradient) for node in every_node(graph))


def of_step(step: Step, instances: Iterable[str]) -> Differentiation:
    """The gradients of a step of training."""
    everything = tuple(instances)
    losses = [
        Differentiated(effect.value, effect.over or everything)
        for _, effect in step.effects
        if isinstance(effect, Minimize)
    ]
    return Differentiation(step.graph, losses)


def of_block(graph: Graph) -> Differentiation:
    """The gradients of a block, whose caller may differentiate every result by whatever it was computed from."""
    paths = (path for path, _ in weights_of({**graph.modules, **graph.borrowed}))
    around = tuple(graph.inputs.values())
    everything = (*map(_before, around), *paths)
    return Differentiation(graph, [Differentiated(output, everything) for output in graph.outputs], around)


class Differentiation:
    """What the gradients of one graph ask of the values that they are computed from.

    losses: what is differentiated besides what the graph's own `grad`s differentiate. around: the inputs that have a
    history of their own. called: what is known already of the blocks that are called.
    """

    def __init__(
        self,
        graph: Graph,
        losses: Sequence[Differentiated] = (),
        around: Sequence[Value] = (),
        called: dict[int, _Reached] | None = None,
    ) -> None:
        self._forward: dict[_Key, dict[_Key, None]] = {}
        self._backward: dict[_Key, dict[_Key, None]] = {}
        self._reads: dict[int, str] = {}
        self._paths: dict[str, None] = {}
        self._called: dict[int, _Reached] = {} if called is None else called
        self._starts_at: dict[int, Value] = {}
        for value in around:
            self._add(_before(value), id(value))
        self._add_all(graph.nodes)
        nodes = [node for node in every_node(graph) if isinstance(node.action, Gradient)]
        self.gradients = {id(node): self._gradient(node) for node in nodes}
        self.losses = (*losses, *self.gradients.values())
        self._passes: dict[int, frozenset[_Key]] = {}

    # --- what flows where ---

    def _add_all(self, nodes: Iterable[Node]) -> None:
        for node in nodes:
            if isinstance(node.action, Loop):
                self._add_all(node.action.body.nodes)
            for source, target in self._flows(node):
                self._add(source, target)

    def _add(self, source: _Key, target: _Key) -> None:
        self._forward.setdefault(source, {})[target] = None
        self._backward.setdefault(target, {})[source] = None

    def _flows(self, node: Node) -> Iterator[tuple[_Key, _Key]]:
        match node.action:
            case Assign():
                return
            case Loop() as loop:
                yield from _through(node, loop)
                self._starts_at.update(_firsts(node, loop))
                return
            case ReadWeight() | ReadModel():
                assert node.module is not None
                self._reads[id(node.outputs[0])] = node.module
            case Op(name=name) if name in FLAT:
                return
            case _:
                pass
        paths = () if isinstance(node.action, Functional) else tuple(uses(node))
        self._paths.update(dict.fromkeys(paths))
        given = node.inputs
        if isinstance(node.action, Call | Functional):
            reached = self._reached(node.action.graph)
            for operand, results in zip(given, reached, strict=False):
                yield from ((source, id(node.outputs[place])) for source in _floats([operand]) for place in results)
            given = given[len(reached) :]
        sources: list[_Key] = [*_floats(given), *paths]
        yield from ((source, target) for target in _floats(node.outputs) for source in sources)

    def _reached(self, graph: Graph) -> _Reached:
        """Of each input of a block, the places of the results that have a derivative by it."""
        if id(graph) not in self._called:
            inside = Differentiation(graph, called=self._called)
            below = [inside._from([id(value)], inside._forward) for value in graph.inputs.values()]
            outputs = [place for place, output in enumerate(graph.outputs) if output.type.dtype.is_float]
            self._called[id(graph)] = [
                [place for place in outputs if id(graph.outputs[place]) in found] for found in below
            ]
        return self._called[id(graph)]

    def _gradient(self, node: Node) -> Differentiated:
        loss, by = node.inputs
        assert isinstance(loss, Value)
        assert isinstance(by, Value)
        path = self._reads.get(id(by))
        fresh = path is not None and id(by) not in self._from([id(loss)], self._backward)
        return Differentiated(loss, (path if fresh and path is not None else id(by),), node)

    def _from(self, starts: Iterable[_Key], edges: Mapping[_Key, Mapping[_Key, None]]) -> set[_Key]:
        found = set(starts)
        pending = list(found)
        while pending:
            new = edges.get(pending.pop(), {}).keys() - found
            found |= new
            pending += new
        return found

    def _starts(self, loss: Differentiated) -> list[_Key]:
        """The variables of a loss as places in the flow: for a module's weights, every part of it that is used."""
        return [
            key
            for variable in loss.variables
            for key in (
                [variable] if isinstance(variable, int) else [path for path in self._paths if overlap(path, variable)]
            )
        ]

    # --- what follows ---

    def by_weights(self, node: Node) -> str | None:
        """The path of the model or the weight that a `grad` is by, where it is no value that its scalar came from."""
        (variable,) = self.gradients[id(node)].variables
        return variable if isinstance(variable, str) else None

    def leaves(self) -> dict[int, bool]:
        """The values that a `grad` is by, by their ids, with whether what they were computed from matters: whether
        anything but that `grad` differentiates through them."""
        return {
            variable: self._joins(variable, gradient, by_itself=False)
            for gradient in self.gradients.values()
            for variable in gradient.variables
            if isinstance(variable, int)
        }

    def may_be_untracked(self, value: Value) -> bool:
        """Whether a value may be without a history: it is computed from nothing but what the caller of a block gives,
        or, where it is carried through a loop, starts as such a value or as one without a history."""
        first = self._starts_at.get(id(value))
        if first is not None and (self.may_be_untracked(first) or not self.is_tracked(first)):
            return True
        above = self._from([id(value)], self._backward)
        return any(isinstance(key, int) and key < 0 for key in above) and not any(isinstance(key, str) for key in above)

    def is_tracked(self, value: Value) -> bool:
        """Whether a value is computed from weights, or from what a `grad` is by, so that PyTorch keeps its history."""
        above = self._from([id(value)], self._backward) - {id(value)}
        starts = {variable for gradient in self.gradients.values() for variable in gradient.variables}
        return any(isinstance(key, str) or key < 0 or key in starts for key in above)

    def is_differentiated(self, node: Node) -> bool:
        """Whether a `grad` is to be differentiated in its turn."""
        return self._joins(id(node.outputs[0]), self.gradients[id(node)], by_itself=True)

    def _joins(self, key: _Key, but: Differentiated, *, by_itself: bool) -> bool:
        """Whether a scalar other than this one depends on a value, which depends on what that is differentiated by.

        by_itself: whether to be differentiated by the value itself counts.
        """
        above, below = self._from([key], self._backward), self._from([key], self._forward)
        return any(
            id(other.loss) in below
            and any(start in above for start in self._starts(other) if by_itself or start != key)
            for other in self.losses
            if other is not but
        )

    def is_passed_again(self, node: Node) -> bool:
        """Whether something else that is differentiated passes what a `grad` passes, so that it must be kept."""
        gradient = self.gradients[id(node)]
        mine = self._passed(gradient)
        return any(mine & self._passed(other) for other in self.losses if other is not gradient)

    def _passed(self, loss: Differentiated) -> frozenset[_Key]:
        """The values between the variables of a scalar and itself."""
        if id(loss) not in self._passes:
            below = self._from(self._starts(loss), self._forward) - set(self._starts(loss))
            self._passes[id(loss)] = frozenset(below & self._from([id(loss.loss)], self._backward))
        return self._passes[id(loss)]


def _before(value: Value) -> int:
    """What an input was computed from, by its caller."""
    return -id(value)


def _floats(operands: Iterable[Operand]) -> list[int]:
    return [id(operand) for operand in operands if isinstance(operand, Value) and operand.type.dtype.is_float]


def _through(node: Node, loop: Loop) -> Iterator[tuple[_Key, _Key]]:
    """What flows into a loop, from turn to turn, and out of it."""
    parameters = list(loop.body.inputs.values())[int(loop.indexed) :]
    for outside, inside in zip(node.inputs, parameters, strict=False):
        if isinstance(outside, Value):
            yield id(outside), id(inside)
    first = node.inputs[loop.sequences : loop.sequences + loop.carried]
    for before, inside, after, result in zip(
        first, parameters[loop.sequences :], loop.body.outputs, node.outputs, strict=False
    ):
        yield id(after), id(inside)
        if isinstance(before, Value):
            yield id(before), id(result)
    for after, result in zip(loop.body.outputs, node.outputs, strict=True):
        yield id(after), id(result)


def _firsts(node: Node, loop: Loop) -> Iterator[tuple[int, Value]]:
    """The values that a loop carries, by their ids within it, with what they are before its first turn."""
    first = node.inputs[loop.sequences : loop.sequences + loop.carried]
    inside = list(loop.body.inputs.values())[int(loop.indexed) + loop.sequences :]
    yield from ((id(value), before) for before, value in zip(first, inside, strict=False) if isinstance(before, Value))
