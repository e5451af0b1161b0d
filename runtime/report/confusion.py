"""What a classifier takes for what: its predictions over a part of the data, as a table of counts and as a picture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from html import escape
from typing import Any

import numpy as np

from dlc.compiler.graph import Node, Value
from dlc.compiler.op import Op
from dlc.compiler.passes.prune import prune
from dlc.compiler.program import Procedure, Step, TrainSpec
from dlc.runtime.procedures import Chosen, call
from dlc.runtime.train.run import Run

Array = np.ndarray[Any, Any]

NAME = "predictions"
_JUDGES = ("accuracy", "cross_entropy")  # operations that hold logits against labels, the plainest first
_MOST = 40  # classes that are drawn
_BATCH = 256
_CELL = 34


def confusion(run: Run, spec: TrainSpec, fields: Mapping[str, Array], device: str | None) -> Array | None:
    """How often each class, by row, was taken for each, by column: int64[classes, classes]. None: no classifier.

    fields: of the examples, each with axis 0. Raises Refusal.
    """
    procedure = _predictions(spec)
    if procedure is None:
        return None
    chosen = Chosen(run, replace(spec, procedures={**spec.procedures, NAME: procedure}), procedure)
    classes = int(procedure.graph.outputs[0].type.shape[-1])
    counts = np.zeros((classes, classes), np.int64)
    total = len(next(iter(fields.values())))
    for start in range(0, total, _BATCH):
        batch = {name: fields[name][start : start + _BATCH] for name in procedure.graph.inputs}
        found = call(chosen, batch, device=device)
        np.add.at(counts, (found["label"].reshape(-1), found["logits"].reshape(-1, classes).argmax(-1)), 1)
    return counts


def _predictions(spec: TrainSpec) -> Procedure | None:
    """What the step computes up to the logits and labels that it compares, if it does."""
    step = spec.evaluate or spec.step
    judged = _judged(step)
    if judged is None:
        return None
    logits, label = judged
    outputs = {"outputs": (logits, label), "output_names": ("logits", "label")}
    graph = prune(replace(step.graph, name=NAME, **outputs))
    read = {value for node in graph.nodes for value in node.values} | set(graph.outputs)
    inputs = {name: value for name, value in graph.inputs.items() if value in read}
    if not inputs.keys() <= spec.data.fields.keys():  # it asks something of the data as a whole
        return None
    return Procedure(NAME, replace(graph, inputs=inputs), step.graph.span)


def _judged(step: Step) -> tuple[Value, Value] | None:
    for name in _JUDGES:
        for node in step.graph.nodes:
            if isinstance(node.action, Op) and node.action.name == name:
                found = _compared(node)
                if found is not None:
                    return found
    return None


def _compared(node: Node) -> tuple[Value, Value] | None:
    """Logits float[..., classes] and the labels int[...] that they are held against."""
    logits, label = [*node.values, None, None][:2]
    if logits is None or label is None or not logits.type.dtype.is_float or label.type.dtype.is_float:
        return None
    classes = logits.type.shape[-1] if logits.type.rank else None
    fits = label.type.shape == logits.type.shape[:-1] and classes is not None and classes.is_constant
    return (logits, label) if fits else None


def matrix(counts: Array) -> str:
    """The counts as an `svg` element: rows are what is true, columns what it was taken for, darker where more of a row
    is. Empty where there are too many classes to be read."""
    classes = len(counts)
    if classes > _MOST:
        return ""
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    size = 34 + classes * _CELL
    parts = [f'<text class="tick" x="{34 + classes * _CELL / 2}" y="10" text-anchor="middle">taken for</text>']
    middle = 34 + classes * _CELL / 2
    parts.append(f'<text class="tick" transform="translate(10,{middle}) rotate(-90)" text-anchor="middle">is</text>')
    for row in range(classes):
        centre = 34 + row * _CELL + _CELL / 2
        parts.append(f'<text class="tick" x="{centre}" y="26" text-anchor="middle">{row}</text>')
        parts.append(f'<text class="tick" x="28" y="{centre + 4}" text-anchor="end">{row}</text>')
        for column in range(classes):
            parts.append(_cell(row, column, int(counts[row, column]), float(shares[row, column])))
    style = f'viewBox="0 0 {size} {size}" style="max-width:{size}px"'
    return f'<svg class="confusion" {style} role="img" aria-label="confusion of classes">{"".join(parts)}</svg>'


def _cell(row: int, column: int, count: int, share: float) -> str:
    x, y = 34 + column * _CELL, 34 + row * _CELL
    kind = "right" if row == column else "wrong"
    told = escape(f"{row} taken for {column}: {count} times, {share:.1%}")
    shade = 0.0 if not count else 0.12 + 0.88 * share
    text = f'<text x="{x + _CELL / 2}" y="{y + _CELL / 2 + 4}" class="{"on" if shade > 0.55 else ""}">{count}</text>'
    back = f'<rect class="cell" x="{x}" y="{y}" width="{_CELL - 2}" height="{_CELL - 2}" rx="4"/>'
    front = (
        f'<rect class="{kind}" x="{x}" y="{y}" width="{_CELL - 2}" height="{_CELL - 2}" rx="4" opacity="{shade:.2f}"/>'
    )
    return f"<g>{back}{front}{text if count else ''}<title>{told}</title></g>"
