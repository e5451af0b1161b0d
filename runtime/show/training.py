"""Which loss of a step reaches which weights, and updates which, as a table and as JSON."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from dlc.compiler.calls import every_node
from dlc.compiler.elaborate.reach import differentiated, overlap, uses
from dlc.compiler.graph import Assign, weights_of
from dlc.compiler.op import Weight
from dlc.compiler.program import Minimize, TrainSpec
from dlc.runtime.show.columns import columns

_UPDATES, _REACHES = "updates", "reaches"


@dataclass(frozen=True, slots=True)
class Change:
    """What can change weights: a `minimize`, or all assignments. cells: what it does to each weight, by path."""

    head: str
    text: str
    line: int | None
    cells: dict[str, str]


def table(train: TrainSpec) -> str:
    """A line a weight, a column for each `minimize` and one for the assignments, told below."""
    weights = _weights(train)
    found = list(changes(train))
    rows = [
        (path, str(list(map(int, weight.shape))), *(change.cells.get(path, "") for change in found))
        for path, weight in weights.items()
    ]
    head = ("weight", "shape", *(change.head for change in found))
    first, *body = columns([head, *rows])
    rule = "-" * max(map(len, (first, *body)))
    legend = [f"{change.head}: {change.text}" for change in found if change.line is not None]
    return "\n".join([f"{train.name} on {train.data.name}", "", first, rule, *body, rule, *legend])


def document(train: TrainSpec) -> dict[str, Any]:
    """The same for `--json`."""
    return {
        "name": train.name,
        "data": train.data.name,
        "weights": [
            {"path": path, "shape": [int(size) for size in weight.shape]} for path, weight in _weights(train).items()
        ],
        "changes": [
            {"name": change.head, "line": change.line, "text": change.text, "weights": change.cells}
            for change in changes(train)
        ],
    }


def changes(train: TrainSpec) -> Iterable[Change]:
    """What changes weights in a step, in order, and the assignments last."""
    weights = _weights(train)
    minimized = [effect for _, effect in train.step.effects if isinstance(effect, Minimize)]
    for number, effect in enumerate(minimized, 1):
        passed = differentiated(train.step, effect, tuple(train.instances))
        reached = {path for _, node in passed for path in uses(node)}
        cells = {
            path: _UPDATES if _within(path, effect.over or train.instances) else _REACHES
            for path in weights
            if _within(path, reached)
        }
        head = "loss" if len(minimized) == 1 else f"loss {number}"
        yield Change(head, f"{_line(effect.span.text)}, line {effect.span.line}", effect.span.line, cells)
    assigned = {
        node.module: node.span.line
        for node in every_node(train.step.graph)
        if isinstance(node.action, Assign) and node.module is not None
    }
    if assigned:
        cells = {path: f"line {line}" for path in weights for place, line in assigned.items() if _within(path, [place])}
        yield Change("assigned", "", None, cells)


def _weights(train: TrainSpec) -> dict[str, Weight]:
    return {path: weight for path, weight in weights_of(train.instances) if weight.trainable}


def _within(path: str, others: Iterable[str]) -> bool:
    return any(overlap(path, other) for other in others)


def _line(text: str) -> str:
    return " ".join(text.split())
