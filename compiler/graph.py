"""The computation graph: nodes in the order in which they were written, the values between them, and who owns weights.

There is one graph for each block and signature. Its nodes apply an operation or call another graph; its modules are
the parts that own weights, in a tree whose paths are the keys of a checkpoint. The order of the nodes is always
topological, since a node can only be added after its inputs; `Graph.dag` gives the same as a networkx graph, for
whoever asks about reachability.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from dlc.compiler.dim import Dim, Symbol
from dlc.compiler.op import Op, Weight
from dlc.compiler.types import Scalar, Tensor
from dlc.grammar.source import Span

if TYPE_CHECKING:
    import networkx


@dataclass(eq=False, slots=True)
class Value:
    """A tensor that flows: its type, its name in the spec (if it has one), and where it was written."""

    type: Tensor
    span: Span
    name: str | None = None


@dataclass(frozen=True)
class ModelRef:
    """A whole model as an operand: the vector of its weights. `path` is the module's, seen from the graph."""

    path: str


@dataclass(frozen=True)
class Call:
    """The application of a block's graph.

    The node's inputs are one operand for each of the graph's `inputs`, then a `ModelRef` for each module that it
    has `borrowed`. The node's module is the instance whose weights are used; none where the block owns neither
    weights nor layers that behave otherwise in training.
    """

    graph: Graph


@dataclass(frozen=True)
class ReadWeight:
    """A weight as a value: `embed.weight`, or the name of a `weight` statement. `Node.module` is its path."""


@dataclass(frozen=True)
class Loop:
    """A loop at run time, with one set of weights for all turns.

    The node's inputs are `sequences` tensors that are walked along `axis`, then the first values of `carried` names,
    then what the body reads from outside. The body's inputs are the index if the loop is `indexed` (it runs from
    `start` to before `stop` in steps of `step`), a slice of each sequence, and the carried values; its outputs are
    the carried values of the next turn, then the collected values. The node's results are the carried values after
    the last turn, then the collected ones, stacked along `axis`. The body's nodes use values from outside as they
    are, and modules of the graph around it.
    """

    body: Graph
    sequences: int
    carried: int
    axis: int
    start: Dim
    stop: Dim
    step: int
    indexed: bool

    @property
    def turns(self) -> Dim:
        """How often the body runs."""
        distance = self.stop - self.start if self.step > 0 else self.start - self.stop
        return Dim.maximum((distance + abs(self.step) - 1) // abs(self.step), Dim.of(0))


@dataclass(frozen=True)
class Assign:
    """`net.W := value`: the node's module is the weight's path, or a model's, whose value is the vector of its learned
    weights; its input is the new value; it has no result."""


@dataclass(frozen=True)
class ReadModel:
    """The learned weights of a whole model as one vector, in the order of PyTorch's `parameters()`: a block's own
    before those of its parts. `Node.module` is the model's path."""


@dataclass(frozen=True)
class Functional:
    """A `Call` with the learned weights of a vector, which is the last input, in place of the module's own."""

    graph: Graph


@dataclass(frozen=True)
class Gradient:
    """`grad(loss, x)`: the inputs are a scalar and the tensor that it is differentiated by; gives a tensor like it."""


@dataclass(frozen=True, slots=True)
class Instance:
    """A place where a block was called. path: what precedes the names of what is in it."""

    path: str
    block: str
    span: Span


Operand = Value | Scalar | ModelRef | None
Action = Op | Call | ReadWeight | Loop | Assign | ReadModel | Functional | Gradient


@dataclass(eq=False, slots=True)
class Node:
    """One step of the computation.

    module: the path of the module whose weights are used, seen from the graph (`layers.3`, `embed.weight`); its
    first part is a key of `Graph.modules`, or of `Graph.borrowed` where the module was passed in.
    scope: in a flat graph, the calls that the node comes from, outermost first.
    """

    action: Action
    inputs: tuple[Operand, ...]
    outputs: tuple[Value, ...]
    span: Span
    module: str | None = None
    scope: tuple[Instance, ...] = ()

    @property
    def values(self) -> Iterator[Value]:
        """The inputs that are tensors."""
        return (operand for operand in self.inputs if isinstance(operand, Value))

    @property
    def operand_types(self) -> tuple[Any, ...]:
        """The inputs as shape rules see them: types, static numbers, none."""
        return tuple(operand.type if isinstance(operand, Value) else operand for operand in self.inputs)


# --- who owns weights -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class OpModule:
    """An operation with weights, and the types that its sizes were fixed by."""

    op: Op
    inputs: tuple[Any, ...]
    weights: Mapping[str, Weight]


@dataclass(frozen=True)
class BlockModule:
    """An instance of a block, with the weights of that block's graph."""

    graph: Graph


@dataclass(frozen=True)
class ListModule:
    """Several instances under one name, numbered from 0. One that owns no weights is none."""

    items: tuple[Module | None, ...]


@dataclass(frozen=True)
class WeightModule:
    """A `weight` or `constant` statement."""

    weight: Weight


Module = OpModule | BlockModule | ListModule | WeightModule


def children(module: Module) -> Iterator[tuple[str, Module]]:
    """A module's parts by name. The weights of an operation are its parts too."""
    match module:
        case OpModule(weights=weights):
            for name, weight in weights.items():
                yield name, WeightModule(weight)
        case BlockModule(graph=graph):
            yield from graph.modules.items()
        case ListModule(items=items):
            for index, item in enumerate(items):
                if item is not None:
                    yield str(index), item
        case WeightModule():
            return


def weights_of(modules: Mapping[str, Module], prefix: str = "") -> Iterator[tuple[str, Weight]]:
    """Every weight with its path, in the order in which the spec makes them."""
    for name, module in modules.items():
        path = prefix + name
        if isinstance(module, WeightModule):
            yield path, module.weight
        else:
            yield from weights_of(dict(children(module)), f"{path}.")


def blocks_of(modules: Mapping[str, Module], prefix: str = "") -> Iterator[tuple[str, BlockModule]]:
    """Every instance of a block with its path, an outer one before those within."""
    for name, module in modules.items():
        path = prefix + name
        if isinstance(module, BlockModule):
            yield path, module
        yield from blocks_of(dict(children(module)), f"{path}.")


def find_module(modules: Mapping[str, Module], path: str) -> Module:
    """The module at a path. KeyError where there is none."""
    first, _, rest = path.partition(".")
    module = modules[first]
    return find_module(dict(children(module)), rest) if rest else module


# --- the graph --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Check:
    """A `require` on run-time dimensions, tested when the model is called: `left` `relation` `right`."""

    left: Dim
    relation: str
    right: Dim
    message: str
    span: Span


@dataclass(eq=False)
class Graph:
    """A block, or a model, or a step of training, for one signature.

    name: the block's. inputs: by the parameters' names. outputs: the results, in order, with `output_names` (a
    single unnamed result is called `output`). modules: what the graph owns, in the order of the spec.
    borrowed: modules that the caller passes in, by the names of the layer parameters. statics: the names that are
    static integers within the block, parameters and dimensions alike, for readable code.
    checks: what must hold of sizes when the graph is run. shares: dimensions that are required to be multiples of a
    number, and so stand in the types as that multiple of a share; `checks` speak of them as a whole.
    noise: the inputs that stand for random draws, see `passes.noise`, with what they follow: "normal" or "uniform".
    """

    name: str
    span: Span
    inputs: dict[str, Value] = field(default_factory=dict[str, Value])
    outputs: tuple[Value, ...] = ()
    output_names: tuple[str, ...] = ()
    nodes: list[Node] = field(default_factory=list[Node])
    modules: dict[str, Module] = field(default_factory=dict[str, Module])
    borrowed: dict[str, Module] = field(default_factory=dict[str, Module])
    statics: dict[str, Dim] = field(default_factory=dict[str, Dim])
    checks: list[Check] = field(default_factory=list[Check])
    shares: dict[Symbol, Dim] = field(default_factory=dict[Symbol, Dim])
    noise: dict[str, str] = field(default_factory=dict[str, str])
    doc: str = ""

    def add(
        self,
        action: Action,
        inputs: Sequence[Operand],
        types: Sequence[Tensor],
        span: Span,
        module: str | None = None,
    ) -> tuple[Value, ...]:
        """Appends a node and gives its results."""
        outputs = tuple(Value(type, span) for type in types)
        self.nodes.append(Node(action, tuple(inputs), outputs, span, module))
        return outputs

    def weights(self) -> dict[str, Weight]:
        """Every weight by its path."""
        return dict(weights_of(self.modules))

    @cached_property
    def dag(self) -> networkx.DiGraph[Any]:
        """The graph as networkx sees it: an edge from a node, or from an input's name, to each node that reads it.

        Built when first asked for; the graph must be finished by then.
        """
        import networkx

        dag: networkx.DiGraph[Any] = networkx.DiGraph()
        producer: dict[int, Any] = {id(value): name for name, value in self.inputs.items()}
        dag.add_nodes_from(self.inputs)
        for node in self.nodes:
            dag.add_node(node)
            dag.add_edges_from((producer[id(value)], node) for value in node.values)
            producer.update((id(output), node) for output in node.outputs)
        return dag
