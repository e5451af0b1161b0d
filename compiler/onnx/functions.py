"""Blocks as functions of a model: nodes that came from one instance of a block become a call.

A flat model says the same; this one is read block by block. Instances that come to the same nodes share a function.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby

from dlc.compiler.graph import Instance
from dlc.compiler.naming import Names
from dlc.compiler.onnx.metadata import LINE, place
from dlc.compiler.onnx.model import Attribute, AttributeType, Function, Graph, Model, Node, Value
from dlc.compiler.onnx.wire import function_bytes

DOMAIN = "dlc.blocks"


def with_functions(model: Model) -> Model:
    """The model with a function for each block, called where an instance of it was applied.

    What computes sizes from the inputs' shapes stays outside. Weights and constants are inputs of the functions, which
    can hold none. Bodies of loops stay as they are.
    """
    outliner = _Outliner(model)
    sizes = [node for node in model.graph.nodes if node.size]
    others = [node for node in model.graph.nodes if not node.size]
    nodes = sizes + outliner.outline(others, 0, model.graph.outputs)
    opsets = {**model.opsets, DOMAIN: 1} if outliner.functions else model.opsets
    return replace(model, graph=replace(model.graph, nodes=nodes), functions=outliner.functions, opsets=opsets)


class _Outliner:
    def __init__(self, model: Model) -> None:
        self.functions: list[Function] = []
        self._opsets = model.opsets
        self._names = Names()
        self._known: dict[tuple[str, bytes], Function] = {}

    def outline(self, nodes: Sequence[Node], depth: int, needed: Iterable[Value]) -> list[Node]:
        """The nodes with calls in place of those that lie in an instance at this depth. needed: what is read later."""
        scopes = _scopes(nodes, depth)
        runs = [
            (instance, [node for _, node in group])
            for instance, group in groupby(zip(scopes, nodes, strict=True), key=lambda pair: pair[0])
        ]
        written: list[Node] = []
        for number, (instance, run) in enumerate(runs):
            if instance is None:
                written += run
                continue
            later = {id(value) for value in needed}
            later.update(id(value) for _, rest in runs[number + 1 :] for node in rest for value in _read(node))
            outputs = [value for node in run for value in node.outputs if id(value) in later]
            written.append(self._call(instance, self.outline(run, depth + 1, outputs), outputs))
        return written

    def _call(self, instance: Instance, nodes: list[Node], outputs: Sequence[Value]) -> Node:
        made = {id(value) for node in nodes for value in node.outputs}
        inputs = list({id(value): value for node in nodes for value in _read(node) if id(value) not in made}.values())
        function = self._shared(instance.block, _Copy(instance.path, self._opsets).function(nodes, inputs, outputs))
        called = Node(DOMAIN, function.name, [*inputs], {}, [*outputs], instance.path, {LINE: place(instance.span)})
        for value in outputs:
            value.node = called
        return called

    def _shared(self, block: str, function: Function) -> Function:
        key = (block, function_bytes(function))
        if key not in self._known:
            self._known[key] = replace(function, name=self._names.claim(block))
            self.functions.append(self._known[key])
        return self._known[key]


class _Copy:
    """Copies nodes into a function, under names as they are within the instance."""

    def __init__(self, path: str, opsets: Mapping[str, int]) -> None:
        self._path = path
        self._opsets = opsets
        self._values: dict[int, Value] = {}
        self._names = Names()
        self._node_names = Names()

    def function(self, nodes: Sequence[Node], inputs: Sequence[Value], outputs: Sequence[Value]) -> Function:
        given = [self._value(value, "input" if value.tensor is None else "constant") for value in inputs]
        for value in outputs:
            self._value(value, "output")
        copied = [self._node(node) for node in nodes]
        opsets = {**self._opsets, **({DOMAIN: 1} if any(node.domain == DOMAIN for node in copied) else {})}
        return Function(DOMAIN, "", given, [self._value(value) for value in outputs], copied, opsets)

    def _node(self, node: Node) -> Node:
        return replace(
            node,
            inputs=[None if value is None else self._value(value) for value in node.inputs],
            outputs=[self._value(value) for value in node.outputs],
            attributes={name: self._attribute(each) for name, each in node.attributes.items()},
            name=self._node_names.claim(self._inside(node.name or "", node.op_type)),
        )

    def _attribute(self, attribute: Attribute) -> Attribute:
        if attribute.type is not AttributeType.GRAPH:
            return attribute
        graph: Graph = attribute.value
        inputs = [self._value(value) for value in graph.inputs]
        nodes = [self._node(node) for node in graph.nodes]
        name = self._inside(graph.name, "body")
        return Attribute(attribute.type, Graph(name, inputs, [self._value(value) for value in graph.outputs], nodes))

    def _value(self, value: Value, role: str = "value") -> Value:
        if id(value) not in self._values:
            name = self._names.claim(self._inside(value.name or "", role))
            self._values[id(value)] = Value(name, value.dtype, value.shape)
        return self._values[id(value)]

    def _inside(self, name: str, role: str) -> str:
        """A name as the instance sees it: `layers.1/h` is `h` in `layers.1`, and what is named outside has a role."""
        inside = name.removeprefix(self._path)
        return inside[1:] if inside != name and inside[:1] in ("/", ".") else role


def _scopes(nodes: Sequence[Node], depth: int) -> list[Instance | None]:
    """The instance of each node at a depth. What a pass has put between two nodes of one instance belongs to it."""
    scopes = [node.scope[depth] if len(node.scope) > depth else None for node in nodes]
    current: Instance | None = None
    for number, scope in enumerate(scopes):
        if scope is not None:
            current = scope
        elif next((each for each in scopes[number:] if each is not None), None) == current:
            scopes[number] = current
    return scopes


def _read(node: Node) -> Iterator[Value]:
    """What a node reads, what the graphs within it read from outside included."""
    yield from (value for value in node.inputs if value is not None)
    for graph in node.graphs:
        inside = {id(value) for value in graph.inputs}
        for inner in graph.nodes:
            yield from (value for value in _read(inner) if id(value) not in inside)
            inside.update(id(value) for value in inner.outputs)
        yield from (value for value in graph.outputs if id(value) not in inside)
