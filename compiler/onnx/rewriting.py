"""A built model while it is being rewritten: new values and nodes under free names, and what is no longer used left."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dlc.compiler.naming import Names
from dlc.compiler.onnx.elements import numpy_type
from dlc.compiler.onnx.model import Graph, Model, Node, Tensor, Value
from dlc.compiler.onnx.results import attributes_of, result_types
from dlc.compiler.types import DType

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]


class Rewriting:
    """The names, the initialisers and the opsets of a model whose nodes are replaced. The model itself is used up."""

    def __init__(self, model: Model) -> None:
        self._model = model
        nodes = list(every_node(model.graph))
        values = [value for node in nodes for value in node.outputs]
        inner = [value for node in nodes for graph in node.graphs for value in graph.inputs]
        known = [*values, *inner, *model.graph.inputs, *model.graph.initializers]
        self._values = Names(value.name for value in known if value.name is not None)
        self._nodes = Names(node.name for node in nodes if node.name is not None)
        self._initializers = list(model.graph.initializers)
        self._domains: set[str] = set()
        self._constants: dict[tuple[DType, tuple[int, ...], bytes], Value] = {}

    @property
    def graph(self) -> Graph:
        return self._model.graph

    def value(self, base: str, dtype: DType, shape: tuple[int | str, ...] | None = None) -> Value:
        """A new value under a name like this one."""
        return Value(self._values.claim(base), dtype, shape)

    def node(
        self,
        kind: str,
        inputs: Sequence[Value | None],
        outputs: Sequence[Value],
        like: Node,
        domain: str = "",
        **attributes: Any,
    ) -> Node:
        """A new node, called by its first result, of the same line and block as another."""
        for output in outputs:
            assert output.name is not None
        made = Node(domain, kind, list(inputs), attributes_of(kind, domain, attributes), list(outputs))
        made.name = self._nodes.claim(str(outputs[0].name))
        made.metadata = dict(like.metadata)
        made.scope = like.scope
        for output in outputs:
            output.node = made
        if domain:
            self._domains.add(domain)
        return made

    def stored(self, base: str, dtype: DType, shape: tuple[int, ...], load: Callable[[], Array]) -> Value:
        """A new initialiser, whose numbers are computed when they are written."""
        value = Value(self._values.claim(base), dtype, shape, tensor=Tensor(dtype, shape, load))
        self._initializers.append(value)
        return value

    def constant(self, number: Any, dtype: DType) -> Value:
        """An initialiser of a number or some, one however often it is asked for."""
        import numpy as np

        array = np.asarray(number, numpy_type(dtype))
        key = dtype, array.shape, array.tobytes()
        if key not in self._constants:
            self._constants[key] = self.stored("constant", dtype, array.shape, lambda: array)
        return self._constants[key]

    def finish(self, nodes: list[Node]) -> Model:
        """The model with these nodes, without those nodes and initialisers that nothing needs any longer."""
        graph = self._model.graph
        graph.nodes, needed = used(nodes, graph.outputs)
        graph.initializers = [value for value in self._initializers if value in needed]
        opsets = {**self._model.opsets, **dict.fromkeys(sorted(self._domains), 1)}
        return replace(self._model, opsets=opsets)


def every_node(graph: Graph) -> Iterator[Node]:
    """The nodes of a graph and of the graphs within it, each before those within it."""
    for node in graph.nodes:
        yield node
        for inner in node.graphs:
            yield from every_node(inner)


def used(nodes: Sequence[Node], outputs: Iterable[Value]) -> tuple[list[Node], set[Value]]:
    """Those nodes that the outputs need, and all values that are read."""
    needed = set(outputs)
    kept: list[Node] = []
    for node in reversed(nodes):
        if not needed.isdisjoint(node.outputs):
            kept.append(node)
            needed.update(_read(node))
    return kept[::-1], needed


def uses(graph: Graph) -> Mapping[Value, int]:
    """How often each value is read: by nodes, also those of inner graphs, and as a result of a graph."""
    counts: dict[Value, int] = {}
    for value in _results(graph):
        counts[value] = counts.get(value, 0) + 1
    for node in every_node(graph):
        for value in node.inputs:
            if value is not None:
                counts[value] = counts.get(value, 0) + 1
    return counts


def _results(graph: Graph) -> Iterable[Value]:
    yield from graph.outputs
    for node in every_node(graph):
        for inner in node.graphs:
            yield from inner.outputs


def _read(node: Node) -> Iterator[Value]:
    """What a node needs, and what the graphs within it need of outside, among more."""
    yield from (value for value in node.inputs if value is not None)
    for graph in node.graphs:
        yield from graph.outputs
        for inner in graph.nodes:
            yield from _read(inner)


def complete_types(graph: Graph) -> None:
    """Sets the element types that were not known when their nodes were made, but follow from those before them."""
    for node in graph.nodes:
        for inner in node.graphs:
            complete_types(inner)
        if not node.domain and not node.graphs:
            found = result_types(node.op_type, node.inputs, node.attributes, len(node.outputs))
            for output, type in zip(node.outputs, found, strict=True):
                output.dtype = output.dtype or type or _default(node)
        elif node.graphs:
            results = list(node.graphs[0].outputs)[-len(node.outputs) :]
            for output, result in zip(node.outputs, results, strict=True):
                output.dtype = output.dtype or result.dtype


def _default(node: Node) -> DType | None:
    """The element type of a result where an attribute may tell it and does not."""
    match node.op_type:
        case "RandomNormalLike" | "RandomUniformLike":
            (given,) = node.inputs
            return None if given is None else given.dtype
        case "RandomNormal" | "RandomUniform":
            return DType.FLOAT
        case "ConstantOfShape":
            value = node.attributes.get("value")
            return DType.FLOAT if value is None else value.value.dtype
        case _:
            return None
