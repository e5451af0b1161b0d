"""What a model in lower precision loses: in the run's own metrics, and in its outputs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from dlc.compiler.graph import Graph
from dlc.compiler.op import Op
from dlc.compiler.program import Minimize, TrainSpec
from dlc.runtime.infer.reference import distance
from dlc.runtime.infer.session import Session
from dlc.runtime.infer.trials import LARGER, draw_inputs, sizes_to_try

Array = np.ndarray[Any, Any]
Better = Literal["less", "more"]

_MORE = {"accuracy", "auroc", "bleu", "f1", "iou", "precision", "psnr", "r2", "recall"}
_LESS = {"bce", "cross_entropy", "ctc", "hinge", "huber", "mae", "mse", "nll", "perplexity", "rmse", "smooth_l1"}


@dataclass(frozen=True, slots=True)
class Drop:
    """A metric in single precision, computed by PyTorch, and as the lowered model has it.

    better: which of it is better, none where nobody knows.
    """

    metric: str
    before: float
    after: float
    better: Better | None

    @property
    def drop(self) -> float:
        """How much worse it became, as a part of what it was; of a metric without direction, how much it changed."""
        change = self.after - self.before
        worse = abs(change) if self.better is None else change if self.better == "less" else -change
        if math.isnan(worse):
            return 0.0 if math.isnan(self.before) and math.isnan(self.after) else math.inf
        if worse <= 0:
            return 0.0
        return worse / abs(self.before) if self.before else math.inf


@dataclass(frozen=True, slots=True)
class Loss:
    """How far an output is from that in single precision, where it is furthest: at some sizes, or on data.

    part: of floats the greatest difference as a part of the largest magnitude, of others the share that differ.
    """

    output: str
    part: float
    where: str
    is_float: bool


def drops(spec: TrainSpec, before: Mapping[str, float], after: Mapping[str, float]) -> list[Drop]:
    """The metrics of a run, measured twice."""
    directions = dict(_directions(spec))
    return [Drop(name, value, after[name], directions.get(name)) for name, value in before.items()]


def _directions(spec: TrainSpec) -> Iterator[tuple[str, Better]]:
    step = spec.step if spec.evaluate is None else spec.evaluate
    minimised = [effect for _, effect in step.effects if isinstance(effect, Minimize)]
    for number, effect in enumerate(minimised, 1):
        yield "loss" if len(minimised) == 1 else f"loss_{number}", "less" if effect.sign > 0 else "more"
    made = {output: node.action for node in step.graph.nodes for output in node.outputs}
    for report in step.reports:
        action = made.get(report.value)
        kind = action.name if isinstance(action, Op) else None
        if kind in _MORE:
            yield report.name, "more"
        elif kind in _LESS:
            yield report.name, "less"


def losses(before: Path, after: Path, inputs: Iterable[tuple[str, Mapping[str, Array]]], provider: str) -> list[Loss]:
    """The outputs of a lowered model beside those of the same in single precision, an output where it is furthest.

    inputs: with the words for them. Raises Refusal where onnxruntime stops.
    """
    found: dict[str, Loss] = {}
    with Session(before) as single, Session(after, provider=provider) as lowered:
        for words, arrays in inputs:
            expected, actual = single.call(arrays), lowered.call(arrays)
            for name, array in expected.items():
                loss = _loss(name, actual[name], array, words)
                if name not in found or loss.part > found[name].part:
                    found[name] = loss
    return list(found.values())


def drawn(graph: Graph, seed: int = 0) -> Iterator[tuple[str, Mapping[str, Array]]]:
    """Random inputs of a graph at several sizes."""
    for wanted in (None, *LARGER):
        if found := list(sizes_to_try(graph) if wanted is None else sizes_to_try(graph, (wanted,), None)):
            yield from ((f"at {sizes}", draw_inputs(graph, sizes, seed)) for sizes in found)
            return


def _loss(name: str, actual: Array, expected: Array, words: str) -> Loss:
    if expected.dtype.kind == "f" or expected.dtype.name == "bfloat16":
        return Loss(name, distance(actual, expected)[1], words, True)
    if actual.shape != expected.shape or actual.dtype != expected.dtype:
        return Loss(name, math.inf, words, False)
    differing = np.count_nonzero(np.not_equal(actual, expected))
    share = differing / expected.size if expected.size else 0.0
    return Loss(name, share, words, False)
