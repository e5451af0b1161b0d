"""Tests whether a graph keeps what every stage relies on. What it finds is a fault of the compiler, not of a spec."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from dlc.compiler.calls import captured
from dlc.compiler.dim import Dim
from dlc.compiler.graph import (
    Assign,
    BlockModule,
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
    children,
    weights_of,
)
from dlc.compiler.op import Op
from dlc.compiler.types import DType, Tensor, product


class BrokenGraph(AssertionError):
    """A graph breaks one of its invariants."""


def verify(graph: Graph) -> None:
    """Raises BrokenGraph unless the graph, and every graph that it calls or owns, is sound.

    Values are made before they are used and once; names of inputs and outputs are unique; every path leads to a
    module of the right kind; the types of results are those that the shape rules give; calls fit what they call.
    """
    pending, seen = [graph], {id(graph)}
    while pending:
        current = pending.pop()
        for other in _Verification(current).run():
            if id(other) not in seen:
                seen.add(id(other))
                pending.append(other)


class _Verification:
    """One graph; the body of a loop sees the values and the modules of the graph around it."""

    def __init__(self, graph: Graph, around: _Verification | None = None) -> None:
        self._graph = graph
        self._modules = _index({**graph.modules, **graph.borrowed})
        self._made: set[Value] = set()
        if around is not None:
            self._modules |= around._modules
            self._made |= around._made

    def run(self) -> Iterator[Graph]:
        """Gives the graphs that this one refers to, and so asks for their verification."""
        graph = self._graph
        for name, value in graph.inputs.items():
            self._require(value.name == name, f"input {name} is called {value.name}")
            self._make(value)
        self._require(not graph.modules.keys() & graph.borrowed.keys(), "a module is owned and borrowed alike")
        for node in graph.nodes:
            yield from self._node(node)
        self._require(len(graph.outputs) == len(graph.output_names), "outputs and their names differ in number")
        self._require(len(set(graph.output_names)) == len(graph.output_names), "two outputs have the same name")
        for output in graph.outputs:
            self._require(output in self._made, f"the output {_show(output)} is made nowhere")
        yield from (module.graph for module in self._modules.values() if isinstance(module, BlockModule))

    def _node(self, node: Node) -> Iterator[Graph]:
        for value in node.values:
            self._require(value in self._made, f"{_show(value)} is used before it is made", node)
        for operand in node.inputs:
            if isinstance(operand, ModelRef):
                self._require(operand.path in self._modules, f"there is no module {operand.path}", node)
        match node.action:
            case Op():
                self._op(node, node.action)
            case Call(graph=callee):
                self._call(node, callee)
                yield callee
            case Loop() as loop:
                self._loop(node, loop)
                yield from _Verification(loop.body, self).run()
            case ReadWeight():
                self._types(node, (self._weight(node),))
            case Assign():
                due, given = self._weight(node), next(node.values).type
                self._require(_alike([given], [due]), f"{node.module} is {due}, and {given} is assigned", node)
            case ReadModel():
                self._types(node, (self._vector(node),))
            case Functional(graph=callee):
                *_, weights = node.values
                self._require(_alike([weights.type], [self._vector(node)]), f"{weights.type} is no vector of it", node)
                yield callee
            case Gradient():
                loss, by = node.values
                self._require(not loss.type.rank, f"the gradient is of {loss.type}", node)
                self._types(node, (by.type,))
        for output in node.outputs:
            self._make(output, node)

    def _vector(self, node: Node) -> Tensor:
        """The type of all learned weights of a node's module as one vector."""
        learned = [weight for _, weight in weights_of({"": self._module(node)}) if weight.trainable]
        return Tensor(DType.FLOAT, (sum((product(weight.shape) for weight in learned), Dim.of(0)),))

    def _op(self, node: Node, op: Op) -> None:
        weights = op.weights(*node.operand_types)
        if weights:
            module = self._module(node)
            self._require(isinstance(module, OpModule), f"{node.module} is no module of an operation", node)
            assert isinstance(module, OpModule)
            self._require(module.weights == weights, f"{node.module} has other weights than {op.name} needs", node)
        self._types(node, op.results(*node.operand_types))

    def _call(self, node: Node, callee: Graph) -> None:
        tensors = [value.type for value in node.values]
        declared = [value.type for value in callee.inputs.values()]
        self._require(tensors == declared, f"{callee.name} takes {_list(declared)}, not {_list(tensors)}", node)
        models = [operand for operand in node.inputs if isinstance(operand, ModelRef)]
        self._require(len(models) == len(callee.borrowed), f"{callee.name} borrows other modules", node)
        if node.module is not None:
            module = self._module(node)
            self._require(
                isinstance(module, BlockModule) and module.graph.modules.keys() == callee.modules.keys(),
                f"{node.module} is no instance of {callee.name}",
                node,
            )
        else:
            self._require(not callee.modules, f"{callee.name} has weights, and the call says not whose", node)
        self._types(node, tuple(value.type for value in callee.outputs))

    def _loop(self, node: Node, loop: Loop) -> None:
        body = loop.body
        parameters = [value.type for value in body.inputs.values()]
        index = parameters[: int(loop.indexed)]
        slices = parameters[len(index) : len(index) + loop.sequences]
        given = parameters[len(index) + loop.sequences :]
        operands = list(node.values)
        walked, first = operands[: loop.sequences], operands[loop.sequences : loop.sequences + loop.carried]
        left = [value.type for value in body.outputs]
        results = [value.type for value in node.outputs]
        self._require(_alike(index, [Tensor(DType.INT, ())][: len(index)]), "the index is no whole number", node)
        due = [_without(value.type, loop.axis) for value in walked]
        self._require(_alike(slices, due), f"the loop walks {_list(due)} as {_list(slices)}", node)
        lengths = [value.type.shape[loop.axis] for value in walked]
        self._require(all(length == loop.turns for length in lengths), f"the loop has not {loop.turns} turns", node)
        self._require(
            given == left[: loop.carried] == results[: loop.carried],
            f"the loop carries {_list(given)} and leaves {_list(left[: loop.carried])}",
            node,
        )
        self._require(_alike([value.type for value in first], given), "the loop starts otherwise", node)
        due = [_stacked(type, loop) for type in left[loop.carried :]]
        self._require(
            results[loop.carried :] == due,
            f"the loop collects {_list(due)}, not {_list(results[loop.carried :])}",
            node,
        )
        unknown = [value for value in captured(body) if value not in operands]
        self._require(not unknown, f"the loop reads {', '.join(map(_show, unknown))}, which is no input of it", node)

    def _weight(self, node: Node) -> Tensor:
        module = self._module(node)
        self._require(isinstance(module, WeightModule), f"{node.module} is not a weight", node)
        assert isinstance(module, WeightModule)
        return Tensor(module.weight.dtype, module.weight.shape)

    def _module(self, node: Node) -> Module:
        self._require(node.module in self._modules, f"there is no module {node.module}", node)
        assert node.module is not None
        return self._modules[node.module]

    def _types(self, node: Node, due: tuple[Tensor, ...]) -> None:
        found = tuple(output.type for output in node.outputs)
        self._require(found == due, f"the results are {_list(found)}, and {_list(due)} are due", node)

    def _make(self, value: Value, node: Node | None = None) -> None:
        self._require(value not in self._made, f"{_show(value)} is made twice", node)
        self._made.add(value)

    def _require(self, sound: bool, message: str, node: Node | None = None) -> None:
        if not sound:
            action = "" if node is None else f" at {_action(node)} (line {node.span.line})"
            raise BrokenGraph(f"{self._graph.name}{action}: {message}")


def _index(modules: Mapping[str, Module]) -> dict[str, Module]:
    """Every module by its path, parts of parts included."""
    index: dict[str, Module] = {}
    pending = list(modules.items())
    while pending:
        path, module = pending.pop()
        index[path] = module
        pending += [(f"{path}.{name}", part) for name, part in children(module)]
    return index


def _action(node: Node) -> str:
    match node.action:
        case Op():
            return node.action.name
        case Call(graph=callee):
            return f"the call of {callee.name}"
        case ReadWeight():
            return f"the weight {node.module}"
        case _:
            return f"the {type(node.action).__name__.lower()}"


def _without(type: Tensor, axis: int) -> Tensor:
    return Tensor(type.dtype, (*type.shape[:axis], *type.shape[axis + 1 :]))


def _stacked(type: Tensor, loop: Loop) -> Tensor:
    return type.reshaped((*type.shape[: loop.axis], loop.turns, *type.shape[loop.axis :]))


def _alike(left: Sequence[Tensor], right: Sequence[Tensor]) -> bool:
    """Whether types agree but for the ranges that they promise."""
    return [(type.dtype, type.shape) for type in left] == [(type.dtype, type.shape) for type in right]


def _show(value: Value) -> str:
    return f"{value.name or 'a value without a name'}: {value.type}"


def _list(types: Sequence[Tensor]) -> str:
    return f"({', '.join(map(str, types))})"
