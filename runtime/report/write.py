"""A run's report, from what the run holds: its metrics, its spec, its weights, and examples of its data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from dlc.compiler.cost import Costs
from dlc.compiler.graph import BlockModule, Graph
from dlc.compiler.program import TrainSpec
from dlc.grammar.diagnostics import Refusal
from dlc.runtime.files import replace_file
from dlc.runtime.report.attention import looks
from dlc.runtime.report.charts import curves
from dlc.runtime.report.confusion import confusion, matrix
from dlc.runtime.report.drawing import drawing
from dlc.runtime.report.neighbours import neighbours
from dlc.runtime.report.page import code, folded, page, paragraph, section, table
from dlc.runtime.report.pixels import picture
from dlc.runtime.report.samples import filters, samples
from dlc.runtime.show.summary import number
from dlc.runtime.train.run import Run

if TYPE_CHECKING:
    from dlc.runtime.train.session import Result

Array = np.ndarray[Any, Any]
Parts = Mapping[str, Mapping[str, Array]]

FILE = "report.html"
_ROWS = 12  # of the table of metrics that are shown at once


def write_report(run: Run, spec: TrainSpec, result: Result, parts: Parts, device: str | None = None) -> None:
    """Writes `report.html` into a run that was trained to its end. OSError where that fails.

    parts: the data's fields by part, as arrays.
    """
    part = "valid" if "valid" in parts else "train"
    sections = [
        section("Curves", _charts(run, result)),
        section(f"Confusion, {part}", _confusion(run, spec, parts[part], device)),
        section(f"Attention, first example of {part}", _attention(run, spec, parts[part], device)),
        section("Words and those nearest to them", *_neighbours(run, spec)),
        section("Procedures", *samples(run, spec, parts[part], device)),
        *_networks(run, spec),
        section("Metrics", _metrics(run)),
        section("Spec", folded("spec.dl", code((run.folder / "spec.dl").read_text("utf-8")))),
    ]
    replace_file(run.folder / FILE, page(run.folder.name, _told(run, spec), _facts(spec, result), sections).encode())


def _told(run: Run, spec: TrainSpec) -> str:
    doc = " ".join(spec.doc.split())
    return f"{spec.name} on {spec.data.name}, from {run.folder / 'spec.dl'}" + (f". {doc}" if doc else "")


def _facts(spec: TrainSpec, result: Result) -> list[tuple[str, str]]:
    costs = Costs()
    learned = sum(int(costs.learned(module).total) for module in spec.instances.values())
    facts = [("epochs", f"{result.epochs:,}"), ("steps", f"{result.steps:,}"), ("seconds", f"{result.seconds:,.1f}")]
    facts.append(("learned numbers", f"{learned:,}"))
    if result.best not in (None, result.epochs):
        facts.append(("epoch whose weights are kept", str(result.best)))
    part = "valid" if "valid" in result.parts else "train"
    ended = result.parts.get(part, {})
    return facts + [
        (f"{name}, {part}, at the end", f"{value:.4g}") for name, value in ended.items() if value is not None
    ]


# --- curves and numbers -----------------------------------------------------------------------------------------


def _charts(run: Run, result: Result) -> str:
    """A drawing for each metric with a line for each part, and one of the learning rate."""
    metrics: dict[str, dict[str, list[tuple[float, float]]]] = {}
    rates: list[tuple[float, float]] = []
    for line in run.metrics():
        rates.append((line["epoch"], line["lr"]))
        for part, means in _measured(line).items():
            for name, value in means.items():
                points = metrics.setdefault(name, {}).setdefault(part, [])
                points.append((line["epoch"], float("nan") if value is None else value))
    drawn = [curves(name, series, over="epoch", marked=result.best) for name, series in metrics.items()]
    if len({rate for _, rate in rates}) > 1:
        drawn.append(curves("learning rate", {"lr": rates}, over="epoch"))
    return f'<div class="grid">{"".join(drawn)}</div>' if any(drawn) else ""


def _measured(line: Mapping[str, Any]) -> dict[str, dict[str, float | None]]:
    return {part: means for part, means in line.items() if isinstance(means, dict)}


def _metrics(run: Run) -> str:
    """A line an epoch: the last ones, and behind a fold all."""
    lines = run.metrics()
    columns = list(dict.fromkeys((p, name) for line in lines for p, means in _measured(line).items() for name in means))
    head = ["epoch", "step", "lr", *(f"{name}, {part}" for part, name in columns)]

    def cells(line: Mapping[str, Any]) -> list[str]:
        values = [_measured(line).get(part, {}).get(name) for part, name in columns]
        numbers = ["" if value is None else f"{value:.5g}" for value in values]
        return [f"{line['epoch']:,}", f"{line['step']:,}", f"{line['lr']:.3g}", *numbers]

    rows = [cells(line) for line in lines]
    places = range(len(head))
    shown = table(head, rows[-_ROWS:], numbers=places)
    return shown if len(rows) <= _ROWS else shown + folded(f"all {len(rows)}", table(head, rows, numbers=places))


# --- the network and what it does -------------------------------------------------------------------------------


def _confusion(run: Run, spec: TrainSpec, fields: Mapping[str, Array], device: str | None) -> str:
    try:
        counts = confusion(run, spec, fields, device)
    except Refusal as refusal:
        return "".join(paragraph(f"failed: {diagnostic.message}") for diagnostic in refusal.diagnostics)
    if counts is None:
        return ""
    total, right = int(counts.sum()), int(counts.trace())
    wrong = [(int(counts[a, b]), a, b) for a, b in np.argwhere(counts) if a != b]
    pairs = [(f"{a}", f"{b}", f"{count:,}") for count, a, b in sorted(wrong, key=lambda pair: -pair[0])[:8]]
    told = paragraph(f"{right:,} of {total:,} are right, {right / total:.2%}")
    often = table(["is", "taken for", "times"], pairs, numbers=[2]) if pairs else ""
    return f'<div class="grid"><div>{matrix(counts)}</div><div>{told}{often}</div></div>'


def _attention(run: Run, spec: TrainSpec, fields: Mapping[str, Array], device: str | None) -> str:
    """A picture for each use: its heads side by side, a row for each position that looks, white where it looks most."""
    try:
        found = looks(run, spec, fields, device)
    except Refusal as refusal:
        return "".join(paragraph(f"failed: {diagnostic.message}") for diagnostic in refusal.diagnostics)
    if not found:
        return ""
    told = paragraph("A head a square: each row is a position that looks, each column one that it looks at.")
    pictures = [
        f"<div><h3>{escape(look.path)}</h3>{picture(look.weights[:, None] / look.weights.max(), look.path)}</div>"
        for look in found
    ]
    return f'{told}<div class="grid">{"".join(pictures)}</div>'


def _neighbours(run: Run, spec: TrainSpec) -> Iterator[str]:
    try:
        for path, rows in neighbours(run, spec):
            yield f"<h3>{escape(path)}</h3>{table(['word', 'nearest'], rows)}"
    except Refusal as refusal:
        yield from (paragraph(f"failed: {diagnostic.message}") for diagnostic in refusal.diagnostics)


def _networks(run: Run, spec: TrainSpec) -> Iterator[str]:
    shown = dict(filters(run, spec))
    for name, module in spec.instances.items():
        if not isinstance(module, BlockModule):
            continue
        pictures = [
            f"<h3>filters of {path}</h3>{image}" for path, image in shown.items() if path.startswith(f"{name}.")
        ]
        title = f"{name}: {spec.models.get(name, module.graph.name)}"
        yield section(
            title,
            f'<div class="grid"><div>{drawing(module.graph)}</div><div>',
            *pictures,
            "</div></div>",
            folded("layers", _layers(module.graph)),
        )


def _layers(graph: Graph) -> str:
    costs = Costs()
    rows = [
        (
            layer.path,
            layer.op,
            ", ".join(map(str, layer.outputs)),
            number(layer.learned.total, blank_zero=True),
            number(layer.macs, blank_zero=True),
        )
        for layer in costs.layers(graph, 2)
    ]
    learned, macs = costs.learned(graph).total, costs.macs(graph)
    rows.append(("total", "", "", number(learned), number(macs)))
    return table(["layer", "operation", "gives", "learned", "multiply-adds"], rows, numbers=[3, 4])
