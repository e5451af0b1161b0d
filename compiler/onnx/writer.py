"""An ONNX graph while it is being written: its nodes in order, its initialisers, the names that are taken."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import copy
from typing import Any

from dlc.compiler.graph import Instance
from dlc.compiler.naming import Names
from dlc.compiler.onnx.elements import numpy_type
from dlc.compiler.onnx.metadata import LINE
from dlc.compiler.onnx.model import Graph, Node, Tensor, Value
from dlc.compiler.onnx.results import attributes_of, result_types
from dlc.compiler.types import DType


class Writer:
    """Collects nodes and initialisers.

    Nodes are added in topological order. The names of nodes and of values are two name spaces; what is added
    without a name gets one from `label`. Graphs within nodes have writers of their own, see `inner`.
    """

    def __init__(self, reserved: Iterable[str]) -> None:
        self.nodes: list[Node] = []
        self.initializers: list[Value] = []
        self.domains: set[str] = set()
        self.kinds: set[str] = set()
        self.value_names = Names(reserved)
        self.node_names = Names()
        self._constants: dict[tuple[DType, tuple[int, ...], bytes], Value] = {}

    def inner(self) -> Writer:
        """A writer for a graph within a node, which sees all that was made outside of it.

        It shares the names and the initialisers, and has its own nodes.
        """
        inner = copy(self)
        inner.nodes = []
        return inner

    def graph(self, name: str, inputs: Sequence[Value], results: Iterable[Value]) -> Graph:
        """The nodes as a graph within a node.

        A result that none of them made, or that is there twice, is passed through a node. What has no name yet is
        called `name/Kind`.
        """
        free = {id(output) for node in self.nodes for output in node.outputs}
        outputs: list[Value] = []
        for result in results:
            output = result
            if id(result) not in free:
                (output,) = self.add("Identity", (result,), {})
                output.shape = result.shape
            free.discard(id(output))
            outputs.append(output)
        for node in self.nodes:
            self.name(node, f"{name}/{node.op_type}")
        return Graph(name, inputs, outputs, self.nodes)

    def add(
        self,
        kind: str,
        inputs: Iterable[Value | None],
        attributes: Mapping[str, Any],
        results: int = 1,
        domain: str = "",
        name: str | None = None,
    ) -> tuple[Value, ...]:
        """A node and its results, whose element types are set as far as the operator's schema tells them.

        name: what the node and its first result are called; without it they wait for `label`.
        """
        given = list(inputs)
        while given and given[-1] is None:
            given.pop()
        written = attributes_of(kind, domain, attributes)
        node = Node(domain, kind, given, written, [Value() for _ in range(results)])
        for output in node.outputs:
            output.node = node
        if domain:
            self.domains.add(domain)
        else:
            self.kinds.add(kind)
            for output, type in zip(node.outputs, result_types(kind, given, written, results), strict=True):
                output.dtype = type
        if name is not None:
            node.name = self.node_names.claim(name)
            node.outputs[0].name = self.value_names.claim(name)
        self.nodes.append(node)
        return tuple(node.outputs)

    def label(self, start: int, base: str, place: str, scope: tuple[Instance, ...] = ()) -> None:
        """Names those nodes from the position `start` on that have no name yet, and their results.

        A node that is alone is called `base`, several are called `base/Kind`. place: the line of the spec that
        they come from, as `file:line`, stored with each, also with those of graphs within them that have none.
        """
        nodes = self.nodes[start:]
        for node in _within(nodes):
            node.metadata.setdefault(LINE, place)
            node.scope = scope
        alone = sum(node.name is None for node in nodes) == 1
        for node in nodes:
            self.name(node, base if alone else f"{base}/{node.op_type}")

    def name(self, node: Node, name: str) -> None:
        """Names a node that has no name yet, and its results."""
        if node.name is not None:
            return
        node.name = self.node_names.claim(name)
        for output in node.outputs:
            if output.name is None:
                output.name = self.value_names.claim(name)

    def initializer(self, name: str, tensor: Tensor) -> Value:
        """A value that is stored with the model."""
        value = Value(name, tensor.dtype, tensor.shape, tensor=tensor)
        self.initializers.append(value)
        return value

    def constant(self, value: Any, dtype: DType) -> Value:
        """A constant, one however often it is asked for."""
        import numpy as np

        array = np.ascontiguousarray(value, numpy_type(dtype)).reshape(np.shape(value))
        key = (dtype, array.shape, array.tobytes())
        if key not in self._constants:
            self._constants[key] = self.initializer(self.value_names.claim("constant"), Tensor.of(array, dtype))
        return self._constants[key]


def _within(nodes: Iterable[Node]) -> Iterator[Node]:
    """The nodes, and those of the graphs within them."""
    for node in nodes:
        yield node
        for graph in node.graphs:
            yield from _within(graph.nodes)
