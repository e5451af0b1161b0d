"""What a turn of a loop can compute without the turn before it."""

from __future__ import annotations

from enum import IntEnum

from dlc.compiler.calls import every_node
from dlc.compiler.graph import (
    Assign,
    Call,
    Functional,
    Gradient,
    Graph,
    Loop,
    Module,
    Node,
    ReadModel,
    ReadWeight,
    Value,
    WeightModule,
    find_module,
)
from dlc.compiler.op import Op
from dlc.compiler.passes.batching import Batched, batched


class Turn(IntEnum):
    """What a value of a loop's body needs: nothing of the turn, its slices of the sequences, or the carried values."""

    ANY = 0
    SLICE = 1
    STATE = 2


def rewritable(graph: Graph) -> bool:
    """Whether the order of its nodes is that of their operands alone: it assigns no weights and takes no gradients."""
    kinds = Assign | Functional | Gradient | ReadModel
    return not any(isinstance(node.action, kinds) for node in every_node(graph))


class Turns:
    """What each value of a loop's body needs, and how the nodes that need no state are done for all turns at once.

    batched: for each node that needs its slices alone. What has an effect, or is another in each turn by its number,
    counts as needing the state. weights: the modules of the graph around it.
    """

    def __init__(self, loop: Loop, weights: dict[str, Module]) -> None:
        self.batched: dict[int, Batched] = {}
        self._needs: dict[Value, Turn] = {}
        self._weights = weights
        inputs = list(loop.body.inputs.values())
        slices = inputs[int(loop.indexed) : int(loop.indexed) + loop.sequences]
        self._settled = not any(_changes(node) for node in loop.body.nodes)
        for value in inputs:
            self._needs[value] = Turn.SLICE if value in slices else Turn.STATE
        for node in loop.body.nodes:
            need = self.of(node, loop)
            self._needs.update((output, need) for output in node.outputs)

    def __getitem__(self, value: Value) -> Turn:
        """What a value needs; one from outside the body needs nothing."""
        return self._needs.get(value, Turn.ANY)

    def of(self, node: Node, loop: Loop) -> Turn:
        """What a node needs, by its operands."""
        if not self.moves(node):
            return Turn.STATE
        need = max((self[value] for value in node.values), default=Turn.ANY)
        if need is Turn.SLICE:
            walked = {value for value in node.values if self[value] is Turn.SLICE}
            found = batched(node, walked, loop)
            if found is None:
                return Turn.STATE
            self.batched[id(node)] = found
        return need

    def moves(self, node: Node) -> bool:
        match node.action:
            case Op() as op:
                return not op.random and not op.stateful
            case ReadWeight():
                assert node.module is not None
                module = find_module(self._weights, node.module)
                return self._settled or (isinstance(module, WeightModule) and module.weight.trainable)
            case _:
                return False


def _changes(node: Node) -> bool:
    """Whether a node may change what is stored beside learned weights."""
    match node.action:
        case Op() as op:
            return op.stateful
        case Call(graph=graph):
            return any(map(_changes, every_node(graph)))
        case Loop(body=body):
            return any(map(_changes, every_node(body)))
        case _:
            return False
