"""Replaces calls by the bodies of the graphs that they call, until only operations and weights are left."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import dataclass, field, replace

from dlc.compiler.graph import Call, Check, Graph, Instance, Loop, ModelRef, Node, Operand, Value
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
    taken = _Taken(Names(flat.inputs))
    _Inliner(flat, top, taken).run()
    flat.checks = list(taken.checks)
    return flat


@dataclass(slots=True)
class _Taken:
    """What is gathered over the whole graph: the names of values, what precedes them, the checks."""

    names: Names
    prefixes: Names = field(default_factory=Names)
    checks: dict[Check, None] = field(default_factory=dict[Check, None])


class _Body:
    """The body of a graph at one place where it is called.

    prefix: what precedes the names of its values. owner: what precedes the paths of its own modules. borrowed: the
    paths of the modules that were passed in. values: what its values are in the flat graph. named: its values whose
    names are settled by the caller. call: the node that it replaces, none for the whole graph. scope: the calls that
    lead to it.
    """

    def __init__(
        self,
        graph: Graph,
        prefix: str,
        owner: str,
        borrowed: Mapping[str, str],
        values: MutableMapping[Value, Value],
        call: Node | None = None,
        scope: tuple[Instance, ...] = (),
    ) -> None:
        self.graph = graph
        self.prefix = prefix
        self.owner = owner
        self.borrowed = borrowed
        self.values = values
        self.named: dict[Value, str] = {}
        self.call = call
        self.scope = scope
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
    """Writes one body, and all that it calls, into a flat graph."""

    def __init__(self, flat: Graph, top: _Body, taken: _Taken) -> None:
        self._flat = flat
        self._top = top
        self._stack = [top]
        self._taken = taken

    def run(self) -> None:
        self._taken.checks.update(dict.fromkeys(self._top.graph.checks))
        while self._stack:
            body = self._stack[-1]
            node = next(body.pending, None)
            if node is None:
                self._stack.pop()
                self._leave(body)
            elif isinstance(node.action, Call):
                self._stack.append(self._enter(body, node, node.action.graph))
            elif isinstance(node.action, Loop):
                self._copy(body, replace(node, action=self._loop(body, node.action)))
            else:
                self._copy(body, node)
        self._flat.outputs = tuple(self._top.values[output] for output in self._top.graph.outputs)

    def _loop(self, body: _Body, loop: Loop) -> Loop:
        """The loop with a flat body, which goes on to see what is around it."""
        own: dict[Value, Value] = {}
        inner = _Body(loop.body, body.prefix, body.owner, body.borrowed, ChainMap(own, body.values), scope=body.scope)
        flat = replace(loop.body, inputs={}, outputs=(), nodes=[], checks=[])
        for name, value in loop.body.inputs.items():
            unique = self._taken.names.claim(body.prefix + name)
            own[value] = flat.inputs[unique] = Value(value.type, value.span, unique)
        _Inliner(flat, inner, self._taken).run()
        return replace(loop, body=flat)

    def _copy(self, body: _Body, node: Node) -> None:
        module = None if node.module is None else body.path(node.module)
        kind = node.action.name if isinstance(node.action, Op) else type(node.action).__name__.lower()
        outputs: list[Value] = []
        for output in node.outputs:
            name = body.name(output) or module or body.prefix + kind
            outputs.append(Value(output.type, output.span, self._taken.names.claim(name)))
            body.values[output] = outputs[-1]
        inputs = tuple(body.operand(operand) for operand in node.inputs)
        self._flat.nodes.append(replace(node, inputs=inputs, outputs=tuple(outputs), module=module, scope=body.scope))

    def _enter(self, body: _Body, node: Node, callee: Graph) -> _Body:
        module = None if node.module is None else body.path(node.module)
        prefix = self._taken.prefixes.claim(body.prefix + callee.name if module is None else module)
        models = [body.path(operand.path) for operand in node.inputs if isinstance(operand, ModelRef)]
        tensors = [body.values[operand] for operand in node.values]
        inner = _Body(
            callee,
            f"{prefix}/",
            "" if module is None else f"{module}.",
            dict(zip(callee.borrowed, models, strict=True)),
            dict(zip(callee.inputs.values(), tensors, strict=True)),
            node,
            (*body.scope, Instance(prefix, callee.name, node.span)),
        )
        for result, output in zip(callee.outputs, node.outputs, strict=True):
            name = body.name(output)
            if name is not None:
                inner.named.setdefault(result, name)
        self._taken.checks.update(dict.fromkeys(callee.checks))
        return inner

    def _leave(self, body: _Body) -> None:
        """Makes the results of a called body those of the call."""
        if body.call is None:
            return
        caller = self._stack[-1]
        for result, output in zip(body.graph.outputs, body.call.outputs, strict=True):
            caller.values[output] = body.values[result]
