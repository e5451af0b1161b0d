"""What a step measures for its reports: means over examples, and what does not average.

The mean of the F1 scores of two batches is not the F1 score of both, nor is the root of a mean the mean of roots. So a
report that is such a measure, or is computed from scalars by more than sums and multiples, is taken apart: a step
gives what its measures add, and the report is computed once, when all batches have been seen.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from dlc.compiler.graph import Call, Gradient, Graph, Loop, ModelRef, Node, Value
from dlc.compiler.op import Op
from dlc.compiler.program import Report, Step
from dlc.compiler.types import Scalar

_LINEAR = frozenset({"add", "subtract", "negate", "multiply", "divide"})


@dataclass(frozen=True, slots=True)
class Measure:
    """One thing that a step measures, under a name of its own.

    tallied: the operation whose `tally` is what a batch adds; none where the value is averaged over examples.
    """

    name: str
    value: Value
    tallied: Node | None

    @property
    def reads(self) -> tuple[Value, ...]:
        """What a step needs for it."""
        return (self.value,) if self.tallied is None else tuple(self.tallied.values)


class Measuring:
    """The measures behind the reports of a step. `finishes`: whether reports are more than these, averaged."""

    def __init__(self, step: Step) -> None:
        self._producers = _producers(step.graph)
        self.reports = step.reports
        self.measures: list[Measure] = []
        self.of: dict[str, tuple[Measure, ...]] = {}
        for report in step.reports:
            self.of[report.name] = tuple(self._measures(report))
            self.measures += self.of[report.name]
        self.finishes = any(not self.averages(report) for report in step.reports)

    def averages(self, report: Report) -> bool:
        """Whether the report is measured as it is, by the mean over examples."""
        measures = self.of[report.name]
        return len(measures) == 1 and measures[0].value is report.value and measures[0].tallied is None

    def node(self, value: Value) -> Node:
        """The operation that a report computes this value by, of measures."""
        return self._producers[id(value)]

    def _measures(self, report: Report) -> Iterator[Measure]:
        if self._is_linear(report.value):
            yield Measure(report.name, report.value, None)
            return
        found = {id(value): value for value in self._leaves(report.value)}
        for number, value in enumerate(found.values(), 1):
            name = report.name if len(found) == 1 else f"{report.name}.{number}"
            yield Measure(name, value, _splitting(self._producers.get(id(value))))

    def _leaves(self, value: Value) -> Iterator[Value]:
        node = self._producers.get(id(value))
        if node is None or _splitting(node) or not self._combines(node):
            yield value
            return
        for operand in node.values:
            yield from self._leaves(operand)

    def _is_linear(self, value: Value) -> bool:
        """Whether the value is a sum of multiples of means over examples, and so is one itself."""
        node = self._producers.get(id(value))
        if node is None or not (_splitting(node) or self._combines(node)):
            return True
        if not isinstance(node.action, Op) or node.action.name not in _LINEAR:
            return False
        values = list(node.values)
        if node.action.name == "divide" and isinstance(node.inputs[0], Scalar):
            return False
        if node.action.name in ("multiply", "divide") and len(values) > 1:
            return False
        return all(map(self._is_linear, values))

    def _combines(self, node: Node) -> bool:
        """Whether it computes with measures alone: scalars, and what comes of those that split."""
        if not isinstance(node.action, Op) or node.action.random or node.module or len(node.outputs) != 1:
            return False
        if any(isinstance(operand, ModelRef) for operand in node.inputs) or not any(True for _ in node.values):
            return False
        return all(value.type.rank == 0 or self._is_late(value) for value in node.values)

    def _is_late(self, value: Value) -> bool:
        """Whether the value is there only when all batches have been seen."""
        node = self._producers.get(id(value))
        if node is None:
            return False
        return _splitting(node) is not None or (self._combines(node) and any(map(self._is_late, node.values)))

    # --- what cannot be measured ---

    def hidden(self, report: Report) -> Op | None:
        """An operation that would be averaged though it does not average: it stands in a block, a loop, a tensor."""
        for measure in self.of[report.name]:
            starts = [measure.value] if measure.tallied is None else list(measure.tallied.values)
            found = _reached(starts, self._producers, set())
            if found is not None:
                return found
        return None


def _producers(graph: Graph) -> dict[int, Node]:
    return {id(output): node for node in graph.nodes for output in node.outputs}


def _splitting(node: Node | None) -> Node | None:
    """The node, if it is a measure of which the mean over batches is not that of the whole."""
    if node is None or not isinstance(node.action, Op):
        return None
    return node if node.action.splits(*node.operand_types) else None


def _reached(starts: Sequence[Value], producers: Mapping[int, Node], seen: set[int]) -> Op | None:
    """The first such operation that these values are computed by, but for those behind a gradient."""
    pending = list(starts)
    while pending:
        value = pending.pop()
        node = producers.get(id(value))
        if node is None or id(node) in seen:
            continue
        seen.add(id(node))
        if _splitting(node) and isinstance(node.action, Op):
            return node.action
        inner = node.action.graph if isinstance(node.action, Call) else None
        inner = node.action.body if isinstance(node.action, Loop) else inner
        if inner is not None:
            found = _reached(inner.outputs, _producers(inner) | dict(producers), seen)
            if found is not None:
                return found
        if not isinstance(node.action, Gradient):
            pending += node.values
    return None
