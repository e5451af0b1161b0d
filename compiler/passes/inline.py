"""Replaces calls by the bodies of the graphs that they call, until only operations and weights are left."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from dlc.compiler.graph import Call, Check, Graph, ModelRef, Node, Operand, Value
from dlc.compiler.naming import Names
from dlc.compiler.op import Op


def inline(graph: Graph) -> Graph:
    """The graph without calls.

    Paths of modules are seen from the whole graph, modules that a call passed in included. Every value has a name
    that no other has: those of a called graph follow the path of the instance or the name of the block
    (`layers.3/h`), a value without a name is called by its module or its operation, and the results by the names
    of the outputs. Spans stay those of the lines that the nodes were written on.
    """
    flat = replace(graph, inputs=dict(graph.inputs), outputs=(), nodes=[], checks=[])
    top = _Body.whole(graph)
    _Inliner(flat, top).run()
    flat.outputs = tuple(top.values[output] for output in graph.outputs)
    return flat


class _Body:
    """The body of a graph at one place where it is called.

    prefix: what precedes the names of its values. owner: what precedes the paths of its own modules. borrowed: the
    paths of the modules that were passed in. values: what its values are in the flat graph. named: its values whose
    names are settled by the caller. call: the node that it replaces, none for the whole graph.
    """

    def __init__(
        self,
        graph: Graph,
        prefix: str,
        owner: str,
        borrowed: Mapping[str, str],
        values: dict[Value, Value],
        call: Node | None = None,
    ) -> None:
        self.graph = graph
        self.prefix = prefix
        self.owner = owner
        self.borrowed = borrowed
        self.values = values
        self.named: dict[Value, str] = {}
        self.call = call
        self.pending: Iterator[Node] = iter(graph.nodes)

    @staticmethod
    def whole(graph: Graph) -> _Body:
        inputs = {value: value for value in graph.inputs.values()}
        body = _Body(graph, "", "", {name: name for name in graph.borrowed}, inputs)
        for value, name in zip(graph.outputs, graph.output_names, strict=True):
            body.named.setdefault(value, name)
        return body

    def path(self, module: str) -> str:
        """The path of one of its modules as seen from the whole graph."""
        first, dot, rest = module.partition(".")
        return self.borrowed.get(first, self.owner + first) + dot + rest

    def operand(self, operand: Operand) -> Operand:
        match operand:
            case Value():
                return self.values[operand]
            case ModelRef(path=path):
                return ModelRef(self.path(path))
            case _:
                return operand

    def name(self, value: Value) -> str | None:
        if value in self.named:
            return self.named[value]
        return self.prefix + value.name if value.name else None


class _Inliner:
    def __init__(self, flat: Graph, top: _Body) -> None:
        self._flat = flat
        self._stack = [top]
        self._names = Names(flat.inputs)
        self._prefixes = Names()
        self._checks: dict[Check, None] = {}

    def run(self) -> None:
        self._checks.update(dict.fromkeys(self._stack[0].graph.checks))
        while self._stack:
            body = self._stack[-1]
            node = next(body.pending, None)
            if node is None:
                self._stack.pop()
                self._leave(body)
            elif isinstance(node.action, Call):
                self._stack.append(self._enter(body, node, node.action.graph))
            else:
                self._copy(body, node)
        self._flat.checks = list(self._checks)

    def _copy(self, body: _Body, node: Node) -> None:
        module = None if node.module is None else body.path(node.module)
        kind = node.action.name if isinstance(node.action, Op) else "weight"
        outputs: list[Value] = []
        for output in node.outputs:
            name = body.name(output) or module or body.prefix + kind
            outputs.append(Value(output.type, output.span, self._names.claim(name)))
            body.values[output] = outputs[-1]
        inputs = tuple(body.operand(operand) for operand in node.inputs)
        self._flat.nodes.append(replace(node, inputs=inputs, outputs=tuple(outputs), module=module))

    def _enter(self, body: _Body, node: Node, callee: Graph) -> _Body:
        module = None if node.module is None else body.path(node.module)
        prefix = self._prefixes.claim(body.prefix + callee.name if module is None else module)
        models = [body.path(operand.path) for operand in node.inputs if isinstance(operand, ModelRef)]
        tensors = [body.values[operand] for operand in node.values]
        inner = _Body(
            callee,
            f"{prefix}/",
            "" if module is None else f"{module}.",
            dict(zip(callee.borrowed, models, strict=True)),
            dict(zip(callee.inputs.values(), tensors, strict=True)),
            node,
        )
        for result, output in zip(callee.outputs, node.outputs, strict=True):
            name = body.name(output)
            if name is not None:
                inner.named.setdefault(result, name)
        self._checks.update(dict.fromkeys(callee.checks))
        return inner

    def _leave(self, body: _Body) -> None:
        """Makes the results of a called body those of the call."""
        if body.call is None:
            return
        caller = self._stack[-1]
        for result, output in zip(body.graph.outputs, body.call.outputs, strict=True):
            caller.values[output] = body.values[result]
