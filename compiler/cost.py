"""What a network costs: learned numbers and multiply-adds, counted once for each graph however often it is called."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from dlc.compiler.calls import callees_first, steps
from dlc.compiler.dim import Dim
from dlc.compiler.graph import (
    Assign,
    BlockModule,
    Call,
    Functional,
    Gradient,
    Graph,
    ListModule,
    Loop,
    ModelRef,
    Module,
    Node,
    OpModule,
    ReadModel,
    ReadWeight,
    WeightModule,
    find_module,
)
from dlc.compiler.op import Op, Weight
from dlc.compiler.types import Tensor, product

_ZERO = Dim.of(0)


@dataclass(frozen=True, slots=True)
class Learned:
    """How many numbers are learned, those of biases (weights whose name starts with `bias`) apart from the others."""

    weights: Dim = _ZERO
    biases: Dim = _ZERO

    def __add__(self, other: Learned) -> Learned:
        return Learned(self.weights + other.weights, self.biases + other.biases)

    def __sub__(self, other: Learned) -> Learned:
        return Learned(self.weights - other.weights, self.biases - other.biases)

    @property
    def total(self) -> Dim:
        return self.weights + self.biases


@dataclass(frozen=True, slots=True)
class Layer:
    """One step of a model as its summary shows it.

    path: of its module, or, where it owns no weights, its operation's name, numbered from the second use on.
    Weights that several layers share are counted for the first of them. macs: multiply-adds. trail: the calls that lead
    to it, and its node.
    """

    path: str
    op: str
    outputs: tuple[Tensor, ...]
    learned: Learned
    macs: Dim
    trail: tuple[Node, ...]


class Costs:
    """Counts for graphs and modules. Sizes that are symbolic give symbolic counts."""

    def __init__(self) -> None:
        self._learned: dict[Graph, Learned] = {}
        self._macs: dict[Graph, Dim] = {}

    def learned(self, module: Module | Graph) -> Learned:
        """What one instance of a module, or of a graph, learns."""
        root = module if isinstance(module, Graph) else None
        for graph in callees_first([root] if root else _graphs_within([module]), _owned):
            if graph not in self._learned:
                self._learned[graph] = self._sum(graph.modules.items())
        return self._learned[root] if root else self._sum([("", module)])

    def _sum(self, modules: Iterable[tuple[str, Module | Graph]]) -> Learned:
        total = Learned()
        pending = list(modules)
        while pending:
            name, module = pending.pop()
            match module:
                case WeightModule(weight=weight):
                    total += _count(name, weight)
                case OpModule(weights=weights):
                    for own, weight in weights.items():
                        total += _count(own, weight)
                case BlockModule(graph=graph):
                    total += self._learned[graph]
                case ListModule(items=items):
                    pending.extend((name, item) for item in items if item is not None)
                case Graph():
                    total += self._learned[module]
        return total

    def macs(self, graph: Graph) -> Dim:
        """The multiply-adds of one call of a graph."""
        for callee in callees_first([graph]):
            if callee not in self._macs:
                self._macs[callee] = sum((times * self._node_macs(node) for node, times in steps(callee)), _ZERO)
        return self._macs[graph]

    def _node_macs(self, node: Node) -> Dim:
        match node.action:
            case Call(graph=graph) | Functional(graph=graph):
                return self._macs[graph]
            case Op() as op:
                return op.macs(*node.operand_types)
            case ReadWeight() | ReadModel() | Assign() | Gradient() | Loop():
                return _ZERO

    def layers(self, model: Graph, depth: int = 1) -> Iterator[Layer]:
        """The layers of a model in the order in which they run, blocks opened down to `depth` levels.

        Operators and indexing are left out where they cost no multiply-adds, since they are no layers to a reader. What
        a loop runs stands once, with the multiply-adds of all turns.
        """
        self.macs(model)
        tally = _Tally(self)
        pending = list(_walk(model, "", {}, depth, Dim.of(1), ()))[::-1]
        while pending:
            step = pending.pop()
            node = step.node
            if isinstance(node.action, Call) and step.depth > 1:
                below = (f"{step.path}.", step.lent, step.depth - 1, step.times, step.trail)
                inner = _walk(node.action.graph, *below)
                pending.extend(list(inner)[::-1])
                continue
            macs = step.times * self._node_macs(node)
            if isinstance(node.action, Op) and node.action.hidden and macs == 0:
                continue
            learned = sum((tally.count(path, module) for path, module in step.owned), Learned())
            if isinstance(node.action, ReadWeight) and learned.total == 0:
                continue
            outputs = tuple(value.type for value in node.outputs)
            yield Layer(step.path, _title(node), outputs, learned, macs, step.trail)


class _Tally:
    """Which weights have been counted: those of a module that was met before, as a whole or in part, are not again."""

    def __init__(self, costs: Costs) -> None:
        self._costs = costs
        self._seen: set[str] = set()
        self._beneath: dict[str, Learned] = {}

    def count(self, path: str, module: Module) -> Learned:
        above = list(_ancestors(path))
        if path in self._seen or not self._seen.isdisjoint(above):
            return Learned()
        learned = self._costs.learned(module) - self._beneath.get(path, Learned())
        self._seen.add(path)
        for ancestor in above:
            self._beneath[ancestor] = self._beneath.get(ancestor, Learned()) + learned
        return learned


def _ancestors(path: str) -> Iterator[str]:
    """The modules around the one at `path`, the nearest first."""
    while "." in path:
        path = path.rpartition(".")[0]
        yield path


@dataclass(frozen=True, slots=True)
class _Step:
    """A node on the way through a model.

    path: what it is shown under. owned: the modules that it uses, by their paths seen from the model. lent: where the
    instances that a call passes in are, by the callee's names for them. depth: how many levels it may be opened by.
    times: how often it runs. trail: the calls that lead to it, and it.
    """

    node: Node
    path: str
    owned: tuple[tuple[str, Module], ...]
    lent: Mapping[str, str]
    depth: int
    times: Dim
    trail: tuple[Node, ...]


def _walk(
    graph: Graph, prefix: str, lent: Mapping[str, str], depth: int, times: Dim, trail: tuple[Node, ...]
) -> Iterator[_Step]:
    taken: dict[str, int] = {}
    reachable = graph.modules | graph.borrowed

    def place(path: str) -> str:
        first, dot, rest = path.partition(".")
        return f"{lent[first]}{dot}{rest}" if first in lent and first not in graph.modules else prefix + path

    for node, turns in steps(graph):
        passed = _passed(node)
        used = [*([node.module] if node.module is not None else []), *passed.values()]
        owned = tuple((place(path), find_module(reachable, path)) for path in used)
        if node.module is not None:
            path = place(node.module)
        else:
            name = _title(node)
            taken[name] = taken.get(name, 0) + 1
            path = prefix + (name if taken[name] == 1 else f"{name}_{taken[name]}")
        lending = {name: place(at) for name, at in passed.items()}
        yield _Step(node, path, owned, lending, depth, times * turns, (*trail, node))


def _passed(node: Node) -> dict[str, str]:
    """The instances that a call passes to the callee: its name for each, and the path here."""
    if not isinstance(node.action, Call):
        return {}
    callee = node.action.graph
    refs = [operand for operand in node.inputs if isinstance(operand, ModelRef)]
    return {name: ref.path for name, ref in zip(callee.borrowed, refs, strict=True)}


def _title(node: Node) -> str:
    match node.action:
        case Call(graph=graph) | Functional(graph=graph):
            return graph.name
        case Op() as op:
            return op.name
        case ReadWeight() | ReadModel():
            return "weight"
        case Assign():
            return "assign"
        case Gradient():
            return "grad"
        case Loop():
            return "loop"


def _count(name: str, weight: Weight) -> Learned:
    if not weight.trainable:
        return Learned()
    count = product(weight.shape)
    return Learned(biases=count) if name.startswith("bias") else Learned(weights=count)


def _owned(graph: Graph) -> Iterator[Graph]:
    return _graphs_within(graph.modules.values())


def _graphs_within(modules: Iterable[Module | Graph]) -> Iterator[Graph]:
    pending = list(modules)
    while pending:
        match pending.pop():
            case BlockModule(graph=graph) | (Graph() as graph):
                yield graph
            case ListModule(items=items):
                pending.extend(item for item in items if item is not None)
            case _:
                continue
