"""The way on which a dependence travels, for reports."""

from __future__ import annotations

from dataclasses import dataclass

from dlc.compiler.flow.analysis import Start, Step
from dlc.compiler.flow.dependence import SOURCE, Alternative
from dlc.compiler.flow.symmetry import Symmetry
from dlc.compiler.graph import Call, Functional, Gradient, Loop, Node, Value
from dlc.compiler.op import Op


@dataclass(frozen=True)
class Stage:
    """One value on the way. node: what made it, none for the source. text: on what it depends, in words.

    calls: those within which it is, the outermost first. seen: whether the node says how it reads its inputs.
    """

    value: Value
    node: Node | None
    text: str
    after: Alternative | None = None
    broken: bool = False
    calls: tuple[Node, ...] = ()

    @property
    def seen(self) -> bool:
        node = self.node
        if node is None or isinstance(node.action, Call | Loop):
            return True
        if not isinstance(node.action, Op):
            return False
        flows = node.action.flow(tuple(value.type for value in node.outputs), *node.operand_types)
        return all(flow.known for flow in (flows if isinstance(flows, tuple) else (flows,)))

    @property
    def name(self) -> str:
        """What is done here."""
        if self.node is None:
            return self.value.name or "the source"
        match self.node.action:
            case Op() as op:
                return op.name
            case Call(graph=graph) | Functional(graph=graph):
                return graph.name
            case Loop():
                return "loop"
            case Gradient():
                return "grad"
            case _:
                return "weights"


def way(source: Value, last: Alternative) -> list[Stage]:
    """The stages from the source to an alternative of what depends on it, those within calls and loops too."""
    stages: list[Stage] = []
    _walk(last, stages, ())
    return [Stage(source, None, "each position itself"), *stages[::-1]]


def _walk(last: Alternative, stages: list[Stage], calls: tuple[Node, ...]) -> None:
    each = last
    while not isinstance(each.origin, Start):
        step = each.origin
        assert isinstance(step, Step)
        if step.inner is not None:
            _walk(step.inner, stages, (*calls, step.node))
            stages.append(Stage(step.result, step.node, describe(step.before), None, calls=calls))
        elif not isinstance(step.node.action, Loop):
            stages.append(Stage(step.result, step.node, describe(each), each, calls=calls))
        each = step.before


def single(each: Alternative) -> bool:
    """Whether each element depends on one position of the source at most."""
    for form, most in each.system.items():
        if (SOURCE, 1) in form:
            other = each.system.get(frozenset((variable, -factor) for variable, factor in form))
            if other is not None and other == -most:
                return True
    return False


def describe(each: Alternative) -> str:
    """The positions of the source that an element depends on, as seen from the axis that tells most of them."""
    found: list[str] = []
    for variable in [(axis, place) for axis, sizes in enumerate(each.layout) for place in range(len(sizes))]:
        high = each.system.get(frozenset({(SOURCE, 1), (variable, -1)}))
        low = each.system.get(frozenset({(SOURCE, -1), (variable, 1)}))
        if high is None and low is None:
            continue
        if high is None or low is None:
            way, by = ("up to", high) if high is not None else ("from", -low if low is not None else None)
            found.append(f"positions {way} {_place(by)}")
        elif high == -low:
            found.append("each position itself" if high == 0 else f"the position {_place(high)}")
        else:
            found.append(f"positions from {_place(-low)} to {_place(high)}")
    if found:
        return min(found, key=len) if "each position itself" not in found else "each position itself"
    if single(each):
        return "one position"
    told = any(variable is SOURCE for form in each.system for variable, _ in form)
    return "several positions" if told else "any position"


def _place(by: object) -> str:
    text = str(by)
    if text == "0":
        return "its own"
    return f"{text.removeprefix('-')} before its own" if text.startswith("-") else f"{text} after its own"


def moved_way(symmetry: Symmetry, last: Value) -> list[Stage]:
    """The stages from an input that is permuted to a value that is not as it should be."""
    stages: list[Stage] = []
    _follow(symmetry, last, stages, ())
    return stages[::-1]


def _follow(symmetry: Symmetry, value: Value, stages: list[Stage], calls: tuple[Node, ...]) -> Value:
    while value in symmetry.passages:
        passage = symmetry.passages[value]
        pose = symmetry.poses[value]
        operand = symmetry.poses[passage.operand]
        inner = passage.inner
        if inner is not None and isinstance(passage.node.action, Call):
            graph = passage.node.action.graph
            within = graph.outputs[passage.node.outputs.index(value)]
            start = _follow(inner, within, stages, (*calls, passage.node))
            stages.append(Stage(value, passage.node, "permuted", calls=calls))
            places = {own: place for place, own in enumerate(graph.inputs.values())}
            given = passage.node.inputs[places[start]] if start in places else passage.operand
            value = given if isinstance(given, Value) else passage.operand
            continue
        if not isinstance(passage.node.action, Loop):
            text = "permuted" if not pose.broken else "not permuted"
            broken = pose.broken and not operand.broken
            stages.append(Stage(value, passage.node, text, broken=broken, calls=calls))
        value = passage.operand
    if not calls and (not stages or stages[-1].value is not value):
        stages.append(Stage(value, None, "permuted"))
    return value
