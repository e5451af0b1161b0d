"""Loops at run time, as a person writes them: names that each turn binds again, lists that results go to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from dlc.compiler.dim import Dim
from dlc.compiler.graph import Graph, Loop, Node, Operand, Value
from dlc.compiler.ops.indexing import Index
from dlc.compiler.ops.making import Arange
from dlc.compiler.ops.operators import Add, Divide, Multiply, Subtract
from dlc.compiler.torch.body import Body
from dlc.compiler.torch.context import Code
from dlc.compiler.torch.layout import INDENT
from dlc.compiler.torch.names import identifier
from dlc.compiler.torch.rolling import rolled


@dataclass(frozen=True, slots=True)
class _Collected:
    """A value of every turn, the list that it goes to, and the loop's result."""

    name: str
    value: Value
    result: Value


@dataclass(slots=True)
class _Names:
    """The names in Python of what is carried, of what the loop goes through, and of the lists.

    counts: the loop goes through Python's own ints.
    """

    carried: list[str] = field(default_factory=list[str])
    targets: list[str] = field(default_factory=list[str])
    lists: list[str] = field(default_factory=list[str])
    counts: bool = False

    def all(self) -> list[str]:
        return [*self.carried, *self.targets, *self.lists]


def write_loop(body: Body, node: Node, loop: Loop) -> None:
    """Writes the first values of what is carried, the loop, and the stacking of what is collected."""
    sequences = node.inputs[: loop.sequences]
    firsts = node.inputs[loop.sequences : loop.sequences + loop.carried]
    body.flush_all(but=(*sequences, *firsts))
    names = _Names()
    _start(body, loop, firsts, names)
    head = _head(body, loop, sequences, names)
    collected = _lists(body, node, loop, names)
    turn = _turn(body, loop, names, collected)
    if turn:
        body.statements.append("\n".join([head, *(INDENT + line for line in "\n".join(turn).split("\n"))]))
    body.release(node.inputs[loop.sequences + loop.carried :])
    body.forget(names.targets)
    for name, result in zip(names.carried, node.outputs, strict=False):
        body.bind(name, result)
        body.start_history(name, result)
    for one in collected:
        text = _stacked(body, node, loop, one, names)
        name = body.free(identifier(one.result.name or one.name), text)
        body.statements.append(f"{name} = {text}")
        body.bind(name, one.result)


def _stacked(body: Body, node: Node, loop: Loop, one: _Collected, names: _Names) -> str:
    """What was collected as one tensor, which has its shape without turns too: PyTorch stacks no empty list."""
    type = one.value.type
    axis = min(loop.axis, type.rank)
    text = f"torch.stack({one.name}{f', dim={axis}' if axis else ''})"
    if Dim.of(1).at_most(loop.turns):
        return text
    context = body.context()
    shape = (*type.shape[:axis], Dim.of(0), *type.shape[axis:])
    place = loop.body.outputs.index(one.value)
    if place < loop.carried and body.holds(names.carried[place], node.outputs[place]):
        return f"{text} if {one.name} else {context.method(names.carried[place], 'new_zeros', *shape)}"
    return f"{text} if {one.name} else {context.factory('torch.zeros', *shape, dtype=type.dtype)}"


def _start(body: Body, loop: Loop, firsts: Sequence[Operand], names: _Names) -> None:
    """Binds what is carried to its first values, those last that are there under their names already."""
    wanted = [identifier(name) for name in loop.body.output_names[: loop.carried]]
    chosen: dict[int, str] = {}
    for place in sorted(range(loop.carried), key=lambda place: body.holds(wanted[place], firsts[place])):
        name, first = wanted[place], firsts[place]
        if body.holds(name, first) and body.uses[id(first)] == 1:
            body.release([first])
        else:
            found = body.compose([first], lambda codes: codes[0] or Code(""), nests=False, target=name)
            name = body.free(name, found.text, list(chosen.values()))
            body.put(f"{name} = {found.text}", found)
        chosen[place] = name
        body.bind(name, _carried_in(loop)[place])
    names.carried = [chosen[place] for place in range(loop.carried)]


def _carried_in(loop: Loop) -> list[Value]:
    """What a turn starts with of what is carried."""
    inputs = list(loop.body.inputs.values())
    return inputs[len(inputs) - loop.carried :]


def _walked(loop: Loop) -> dict[str, Value]:
    """The index, or the slices of the sequences, that a turn has."""
    inputs = list(loop.body.inputs.items())
    return dict(inputs[: len(inputs) - loop.carried])


# --- the head ---------------------------------------------------------------------------------------------------


def _head(body: Body, loop: Loop, sequences: Sequence[Operand], names: _Names) -> str:
    """The line that the loop starts with. What a turn does not use is called `_`."""

    def over(codes: Sequence[Code | None]) -> Code:
        context = body.context()
        walked = [context.method(code or "", "unbind", loop.axis) if loop.axis else code for code in codes]
        return Code(f"zip({', '.join(map(str, walked))}, strict=True)" if len(walked) > 1 else str(walked[0]))

    if sequences:
        text = body.compose(sequences, over).text
    else:
        names.counts = all(_is_number(value, loop.body) for value in _walked(loop).values())
        text = _range(body, loop, names.counts)
    for name, value in _walked(loop).items():
        used = _is_used(value, loop.body)
        names.targets.append(body.free(identifier(name), text, names.all()) if used else "_")
    return f"for {', '.join(names.targets) or '_'} in {text}:"


def _range(body: Body, loop: Loop, counts: bool) -> Code:
    start, stop, step = loop.start, loop.stop, loop.step
    ends = [stop] if start == 0 and step == 1 else [start, stop]
    if counts:
        return body.context().call("range", *ends, *([step] if step != 1 else []))
    ends[-1] = Dim.maximum(stop, start) if step > 0 else Dim.minimum(stop, start)  # PyTorch counts no way back
    return Arange(**dict(zip("ab", ends, strict=False)), step=step).torch(body.context())


def _is_used(value: Value, graph: Graph) -> bool:
    return any(value is operand for node in graph.nodes for operand in node.values) or value in graph.outputs


def _is_number(index: Value, graph: Graph) -> bool:
    """Whether a loop's index may be one of Python's ints: all that it does is to pick elements, or to meet a tensor."""
    if index in graph.outputs:
        return False
    for node in graph.nodes:
        places = [place for place, operand in enumerate(node.inputs) if operand is index]
        match node.action:
            case Index():
                fits = 0 not in places
            case Add() | Subtract() | Multiply() | Divide():
                fits = len(places) < 2 and all(isinstance(operand, Value) for operand in node.inputs)
            case Loop() as loop:
                fits = all(place >= loop.sequences + loop.carried for place in places) and _is_number(index, loop.body)
            case _:
                fits = False
        if places and not fits:
            return False
    return True


# --- a turn -----------------------------------------------------------------------------------------------------


def _lists(body: Body, node: Node, loop: Loop, names: _Names) -> list[_Collected]:
    """Makes a list for each value that is collected and used."""
    collected: list[_Collected] = []
    for value, result in zip(loop.body.outputs[loop.carried :], node.outputs[loop.carried :], strict=True):
        if body.uses[id(result)]:
            assert result.name is not None
            collected.append(_Collected(body.free(identifier(result.name), "", names.all()), value, result))
            names.lists.append(collected[-1].name)
            body.forget([collected[-1].name])
            body.statements.append(f"{collected[-1].name} = []")
    return collected


def _turn(body: Body, loop: Loop, names: _Names, collected: Sequence[_Collected]) -> list[str]:
    """The statements of a turn, which leaves what is carried under the names that the next one finds it by."""
    after = loop.body.outputs[: loop.carried]
    outputs = [*after, *(one.value for one in collected)]
    walked = {name: value for name, value in zip(names.targets, _walked(loop).values(), strict=True) if name != "_"}
    inputs = dict(zip(names.carried, _carried_in(loop), strict=True)) | ({} if names.counts else walked)
    called = dict(zip(map(identifier, loop.body.output_names), names.carried, strict=False))
    inner = body.inside(loop.body.nodes, outputs, inputs, names.all(), called)
    for name, value in walked.items():
        inner.write_as(value, Code(name))
    for place, node in enumerate(loop.body.nodes):
        inner.run(place, node)
    for one in collected:
        found = inner.compose([one.value], lambda codes, one=one: Code(f"{one.name}.append({codes[0]})"), nests=False)
        inner.put(found.text, found)
    due = {name: value for name, value in zip(names.carried, after, strict=True) if not inner.holds(name, value)}
    if due:
        found = inner.compose(list(due.values()), lambda codes: Code(", ".join(map(str, codes))), nests=False)
        inner.put(f"{', '.join(due)} = {found.text}", found)
    return rolled(inner.statements, inner.words())
