"""Whether the step of a spec can be shared by several processes, and what becomes of what it computes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dlc.compiler.flow.sharding import Joined, Part, Sharding, State
from dlc.compiler.graph import Assign, Call, Functional, Graph, ModelRef, Node
from dlc.compiler.measuring import Measuring
from dlc.compiler.program import Minimize, Step, TrainSpec
from dlc.grammar.diagnostics import Label, Refusal
from dlc.grammar.source import Span
from dlc.runtime.errors import CannotShare


@dataclass(frozen=True, slots=True)
class Sharing:
    """How a step's results are put together from those of the processes.

    losses: the numbers of the losses that are sums over examples. measures: the names of the measures that are, in
    `step`, and `evaluated` those in what replaces it. averaged: the paths of the weights, or modules, that are assigned
    means over the batch.
    """

    losses: frozenset[int]
    measures: frozenset[str]
    evaluated: frozenset[str]
    averaged: tuple[str, ...]


def sharing_of(spec: TrainSpec) -> Sharing:
    """How the processes share the step of a spec. Raises Refusal where it needs a whole batch in one place."""
    _require_augment(spec.data.augment)
    sharding = Sharding(spec.step.graph)
    minimized = [effect for _, effect in spec.step.effects if isinstance(effect, Minimize)]
    losses: set[int] = set()
    for number, effect in enumerate(minimized):
        if _sums("this loss", sharding.of(effect.value), effect.span):
            losses.add(number)
    named = ["loss"] if len(minimized) == 1 else [f"loss_{number}" for number in range(1, len(minimized) + 1)]
    measures = _measures(spec.step, sharding) | {named[number] for number in losses}
    evaluated = _measures(spec.evaluate, Sharding(spec.evaluate.graph)) if spec.evaluate is not None else measures
    return Sharing(frozenset(losses), frozenset(measures), frozenset(evaluated), tuple(_averaged(spec, sharding)))


def _require_augment(augment: Graph | None) -> None:
    if augment is None:
        return
    sharding = Sharding(augment)
    for name, value in zip(augment.output_names, augment.outputs, strict=True):
        state = sharding.of(value)
        if isinstance(state, Joined):
            raise Refusal(_cannot(f"`{name}` of augment", value.span, state))


def _measures(step: Step, sharding: Sharding) -> set[str]:
    """The names of the measures of a step that are sums over the batch."""
    measuring = Measuring(step)
    found: set[str] = set()
    for report in step.reports:
        for measure in measuring.of[report.name]:
            if measure.tallied is None:
                if _sums(f"`report {report.name}`", sharding.of(measure.value), report.span):
                    found.add(measure.name)
                continue
            for value in measure.tallied.values:
                state = sharding.of(value)
                if isinstance(state, Joined | Part):
                    raise Refusal(_cannot(f"`report {report.name}`", report.span, state))
    return found


def _sums(what: str, state: State, span: Span) -> bool:
    """Whether it is a sum over the batch. Raises Refusal where it is neither that nor a mean nor of no batch."""
    if state is None or isinstance(state, Part):
        return state is Part.SUM
    raise Refusal(_cannot(what, span, state))


def _averaged(spec: TrainSpec, sharding: Sharding) -> Iterator[str]:
    nodes = spec.step.graph.nodes
    for node, state in sharding.assigned:
        if state is None:
            continue
        path = node.module or ""
        later = nodes[nodes.index(node) + 1 :] if node in nodes else None
        if state is not Part.MEAN or later is None or any(_uses(each, path) for each in later):
            raise Refusal(_cannot(f"what `{path}` becomes", node.span, state))
        yield path


def _uses(node: Node, path: str) -> bool:
    """Whether a node reads weights that were assigned at a path."""
    read = [node.module] if node.module is not None and not isinstance(node.action, Assign) else []
    if isinstance(node.action, Call | Functional):
        read += [operand.path for operand in node.inputs if isinstance(operand, ModelRef)]
    return any(_within(path, each) or _within(each, path) for each in read)


def _within(path: str, whole: str) -> bool:
    return path == whole or path.startswith(f"{whole}.")


def _cannot(what: str, span: Span, state: State) -> CannotShare:
    labels: Sequence[Label] = ()
    if isinstance(state, Joined):
        labels = (Label(state.node.span, "here one example's result comes to depend on others, or on their number"),)
    return CannotShare(
        f"{what} is neither a mean nor a sum over the examples, so that no process can compute its part of it",
        span,
        labels=tuple(labels),
        notes=("of a batch each process has some examples, and what they compute is added up",),
        help="train it in one process, or write it as a mean of what each example gives",
    )
