"""Takes out of loops what their turns need not compute one after the other."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from dlc.compiler.calls import captured, every_node
from dlc.compiler.graph import Graph, Loop, Module, Node, Operand, Value
from dlc.compiler.naming import Names
from dlc.compiler.op import Op
from dlc.compiler.ops.indexing import At, Index, SwapLast
from dlc.compiler.ops.shape import Unsqueeze
from dlc.compiler.passes.batching import stacked
from dlc.compiler.passes.substitution import substituted
from dlc.compiler.passes.turns import Turn, Turns, rewritable


def hoist(graph: Graph) -> Graph:
    """The graph whose loops compute in turns only what depends on what they carry.

    What is the same in every turn is computed once, before the loop; what a turn makes of its slices alone, for all
    turns at once, and the loop walks the result. Loops within loops come first. What draws at random, changes what is
    stored, or needs the number of the turn stays. A graph that assigns weights or takes gradients is left as it is.
    """
    if not rewritable(graph) or not any(isinstance(node.action, Loop) for node in graph.nodes):
        return graph
    names = Names(name for node in every_node(graph) for name in _names(node))
    for name in (*graph.inputs, *graph.output_names):
        names.claim(name)
    return replace(graph, nodes=list(_hoisted(graph.nodes, {**graph.modules, **graph.borrowed}, names)))


def _names(node: Node) -> Iterator[str]:
    bodies = node.action.body.inputs.values() if isinstance(node.action, Loop) else ()
    return (value.name for value in (*node.outputs, *bodies) if value.name)


def _hoisted(nodes: Iterable[Node], modules: dict[str, Module], names: Names) -> Iterator[Node]:
    for node in nodes:
        if isinstance(node.action, Loop):
            inner = replace(node.action.body, nodes=list(_hoisted(node.action.body.nodes, modules, names)))
            yield from _Hoisting(node, replace(node.action, body=inner), modules, names).nodes()
        else:
            yield node


@dataclass(eq=False)
class _Hoisting:
    """One loop on its way. whole: the values of single turns for all of them at once. outside: what was the same in
    every turn, as it is called outside. known: the results of such nodes by what they do."""

    node: Node
    loop: Loop
    modules: dict[str, Module]
    names: Names
    whole: dict[Value, Value] = field(default_factory=dict[Value, Value])
    outside: dict[Value, Value] = field(default_factory=dict[Value, Value])
    known: dict[object, tuple[Value, ...]] = field(default_factory=dict[object, tuple[Value, ...]])

    def nodes(self) -> Iterator[Node]:
        """What is done before the loop, then what is left of it."""
        turns = Turns(self.loop, self.modules)
        staying = [node for node in self.loop.body.nodes if turns.of(node, self.loop) is Turn.STATE]
        moving = [node for node in self.loop.body.nodes if node not in staying]
        collected = self._collected(turns)
        self.whole = dict(zip(self._slices(), self._walked(), strict=True)) | collected
        read = self._read(staying, set(collected))
        made = {output: node for node in moving if id(node) in turns.batched for output in node.outputs}
        crossing = {value: _called(value, node) for value, node in made.items() if value in read}
        for node in moving:
            if id(node) in turns.batched:
                yield from self._batched(node, turns, crossing)
            else:
                yield from self._once(node, read)
        yield from self._left(staying, crossing, collected)

    def _once(self, node: Node, read: Container[Value]) -> Iterator[Node]:
        """A node that is the same in every turn, unless another one is like it already, with names for those of its
        results that the loop reads."""
        node = substituted(node, self.outside)
        key = (node.action, node.inputs, node.module)
        if key in self.known:
            self.outside |= dict(zip(node.outputs, self.known[key], strict=True))
            return
        for output in node.outputs if isinstance(node.action, Op) else ():
            if output.name is None and output in read:
                self.outside[output] = replace(output, name=self.names.claim(_called(output, node)))
        self.known[key] = tuple(self.outside.get(output, output) for output in node.outputs)
        yield replace(node, outputs=self.known[key])

    def _slices(self) -> list[Value]:
        inputs = list(self.loop.body.inputs.values())
        return inputs[int(self.loop.indexed) : int(self.loop.indexed) + self.loop.sequences]

    def _walked(self) -> list[Value]:
        return list(self.node.values)[: self.loop.sequences]

    def _collected(self, turns: Turns) -> dict[Value, Value]:
        """What is collected and made for all turns at once, each with the loop's result."""
        count = self.loop.carried
        made = {output for node in self.loop.body.nodes if id(node) in turns.batched for output in node.outputs}
        found: dict[Value, Value] = {}
        for value, result in zip(self.loop.body.outputs[count:], self.node.outputs[count:], strict=True):
            if value in made and value not in found:
                found[value] = result
        return found

    def _read(self, staying: Sequence[Node], collected: Container[Value]) -> set[Value]:
        """What the loop goes on to read."""
        count = self.loop.carried
        read = {value for node in staying for value in node.values} | set(self.loop.body.outputs[:count])
        return read | {value for value in self.loop.body.outputs[count:] if value not in collected}

    def _batched(self, node: Node, turns: Turns, crossing: dict[Value, str]) -> Iterator[Node]:
        found = turns.batched[id(node)]
        inputs: list[Operand] = []
        for operand, lift in zip(node.inputs, found.lifts, strict=True):
            if lift is not None and isinstance(operand, Value):
                op = Unsqueeze(axis=lift)
                given = self._of_all(operand)
                lifted = Value(op.results(given.type)[0], given.span)
                yield Node(op, (given,), (lifted,), node.span)
                inputs.append(lifted)
            else:
                inputs.append(self._of_all(operand) if isinstance(operand, Value) else operand)
        for output in node.outputs:
            if output not in self.whole:
                type = stacked(output.type, self.loop)
                assert type is not None
                self.whole[output] = Value(type, output.span, self._name(output, crossing.get(output)))
        outputs = tuple(self.whole[output] for output in node.outputs)
        yield replace(node, action=found.op, inputs=tuple(inputs), outputs=outputs)

    def _of_all(self, value: Value) -> Value:
        return self.whole.get(value, self.outside.get(value, value))

    def _name(self, value: Value, called: str | None) -> str | None:
        """The name of a value for all turns at once. called: what the loop's slice of it is called by."""
        if called is None or (value.name and not value.name.endswith("_t")):
            return value.name
        return self.names.claim(called.removesuffix("_t"))

    def _left(
        self, staying: Sequence[Node], crossing: dict[Value, str], collected: dict[Value, Value]
    ) -> Iterator[Node]:
        """The loop with what stays, if it does anything still."""
        loop, body = self.loop, self.loop.body
        renamed = dict(self.outside)
        for value, called in crossing.items():
            base = str(self.whole[value].name or called).removesuffix("_t")
            kept = value.name is not None and value.name.endswith("_t")
            renamed[value] = Value(value.type, value.span, value.name if kept else self.names.claim(f"{base}_t"))
        nodes = [substituted(node, renamed) for node in staying]
        places = [
            place
            for place, value in enumerate(body.outputs)
            if place < loop.carried or self.node.outputs[place] is not collected.get(value)
        ]
        outputs = tuple(renamed.get(body.outputs[place], body.outputs[place]) for place in places)
        if not nodes and not loop.carried and not outputs:
            return
        read = {value for node in nodes for value in node.values} | set(outputs)
        parameters = list(body.inputs.values())
        index, states = parameters[: int(loop.indexed)], parameters[int(loop.indexed) + loop.sequences :]
        walked = {value: whole for value, whole in zip(self._slices(), self._walked(), strict=True) if value in read}
        walked |= {renamed[value]: self.whole[value] for value in crossing}
        if loop.sequences and not walked:  # which tell the number of turns
            walked = {self._slices()[0]: self._walked()[0]}
        made = replace(
            body,
            inputs={str(value.name): value for value in (*index, *walked, *states)},
            nodes=nodes,
            outputs=outputs,
            output_names=tuple(body.output_names[place] for place in places),
        )
        firsts = self.node.inputs[loop.sequences : loop.sequences + loop.carried]
        yield replace(
            self.node,
            action=replace(loop, body=made, sequences=len(walked)),
            inputs=(*walked.values(), *firsts, *captured(made)),
            outputs=tuple(self.node.outputs[place] for place in places),
        )


def _called(value: Value, node: Node) -> str:
    """What a value without a name is called by: the module it comes from, or the operation."""
    if value.name:
        return value.name
    if node.module is not None:
        return node.module.rpartition(".")[2]
    named = next((operand.name for operand in node.values if operand.name), None)
    match node.action:
        case SwapLast() if named:
            return f"{named}_T"
        case Index(items=(At(position), *_)) if named and position.is_constant:
            return f"{named}_{position}"
        case Op() as op:
            return op.name
        case _:
            return "value"
