"""An export in a precision that was asked for: verified, lowered, measured, and written if little enough is lost."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from dlc.compiler.onnx import metadata
from dlc.compiler.onnx import model as onnx
from dlc.compiler.onnx.errors import PrecisionLost
from dlc.compiler.onnx.save import save_model, staged
from dlc.grammar.diagnostics import Refusal
from dlc.runtime.build import onnx_model
from dlc.runtime.infer.calibration import Measured, calibrate, measured
from dlc.runtime.infer.losses import Drop, Loss, drops
from dlc.runtime.infer.precision import MAX_DROP, TOLERANCES, Lowered, compare, lower, require_kernels
from dlc.runtime.infer.verify import Report, verify
from dlc.runtime.measure import measure_run
from dlc.runtime.train.run import Run
from dlc.runtime.trained import Trained


@dataclass(frozen=True, slots=True)
class Wanted:
    """An export's precision. calibrated: the part of the data whose ranges int8 takes, none for ranges that are found
    when the model runs. max_drop: none for the usual one. provider: what computes it when it is measured."""

    precision: str
    calibrated: str | None = None
    max_drop: float | None = None
    provider: str = "CPU"


def write_lowered(
    run: Run,
    trained: Trained,
    output: Path,
    wanted: Wanted,
    *,
    part: str | None,
    finish: Callable[[onnx.Model], onnx.Model],
    newest: int,
) -> tuple[Report, Lowered]:
    """Writes what was trained in a precision, at once or not at all.

    In single precision it is first compared with PyTorch, so that what differs then is a matter of rounding.

    part: of the data, over which the run's metrics are measured; none for what they are not about, a procedure.
    finish: what becomes of the model before it is written. newest: the newest opset that it may need. Raises Refusal
    where PyTorch and onnxruntime differ, where the provider has no kernels, and where more is lost than may be; and
    OSError where it cannot be written.
    """
    with TemporaryDirectory(prefix="dlc-") as folder:
        single = Path(folder) / "single.onnx"
        save_model(onnx_model(trained.model, trained.weights, newest=newest), single)
        report = verify(trained.model, trained.weights, single)
        size_before = _size(single)
    seen = None if part is None else measured(run, trained, part)
    if seen is not None and not seen.inputs:  # the step never applies the network, so its metrics tell nothing of it
        seen = None
    ranges = None if wanted.calibrated is None else calibrate(run, trained, wanted.calibrated, newest)

    def lowering(model: onnx.Model) -> onnx.Model:
        return lower(model, wanted.precision, ranges)

    built = finish(lowering(onnx_model(trained.model, trained.weights, newest=newest)))
    with staged(built, output) as made:
        require_kernels(built, made.path, wanted.precision, wanted.provider)
        metrics = None if seen is None else _drops(run, trained, str(part), seen, made.path, wanted.provider)
        lowered = Lowered(
            wanted.precision,
            wanted.calibrated,
            wanted.provider,
            None if metrics is None else part,
            tuple(metrics or ()),
            tuple(_compared(trained, made.path, lowering, wanted.provider, seen)),
            _limit(wanted, metrics is not None),
            size_before,
            _size(made.path),
        )
        _refuse_losses(lowered, trained)
        sizes = tuple(dict.fromkeys(row.sizes for row in report.rows))
        made.tell({**metadata.verified(report.tolerance, sizes, report.random), **_told(lowered)})
        made.publish()
    return report, lowered


def _compared(
    trained: Trained, path: Path, lowering: Callable[[onnx.Model], onnx.Model], provider: str, seen: Measured | None
) -> list[Loss]:
    inputs = None if seen is None else seen.inputs
    return compare(trained.model.graph, trained.weights, path, lowering, provider, inputs)


def document(lowered: Lowered) -> dict[str, Any]:
    """What is told of an export's precision, as JSON has it."""
    return {
        "precision": lowered.precision,
        "calibrated": lowered.calibrated,
        "provider": lowered.provider,
        "max_drop": _number(lowered.max_drop),
        "part": lowered.part,
        "metrics": [
            {
                "metric": each.metric,
                "fp32": _number(each.before),
                lowered.precision: _number(each.after),
                "drop": _number(each.drop),
            }
            for each in lowered.drops
        ],
        "outputs": [
            {"output": each.output, "where": each.where, "differs": _number(each.part)} for each in lowered.losses
        ],
        "bytes": {"fp32": lowered.size_before, lowered.precision: lowered.size},
    }


def _number(value: float) -> float | None:
    """JSON has no infinities, and nothing that is no number."""
    return value if math.isfinite(value) else None


def _told(lowered: Lowered) -> dict[str, str]:
    """The metadata of the file."""
    told = document(lowered)
    kept = {name: told[name] for name in ("precision", "calibrated", "part", "max_drop", "metrics", "outputs")}
    return {metadata.PRECISION: json.dumps(kept, ensure_ascii=False)}


def _drops(run: Run, trained: Trained, part: str, seen: Measured, path: Path, provider: str) -> list[Drop]:
    """The run's metrics by PyTorch and by the file."""
    after = measure_run(run, part, onnx=str(path), name=trained.instance, provider=provider)
    return drops(run.spec, seen.metrics, after)


def _limit(wanted: Wanted, by_metrics: bool) -> float:
    if wanted.max_drop is not None:
        return wanted.max_drop
    return MAX_DROP if by_metrics else TOLERANCES[wanted.precision]


def _refuse_losses(lowered: Lowered, trained: Trained) -> None:
    """Refuses what loses more than it may: in a metric, or where there are none, in an output.

    Where there are metrics, outputs that are floats must still be within what rounding explains, or within the drop
    that is allowed, if that is more.
    """
    limit, span = lowered.max_drop, trained.model.graph.span
    notes = tuple(
        f"{each.metric}: {each.before:.6g} in fp32, {each.after:.6g} in {lowered.precision}, worse by {each.drop:.2%}"
        for each in lowered.drops
    )
    better = "" if lowered.precision == "fp16" else "; fp16 loses least"
    help = f"--max-drop {lowered.worst * 1.1:.2g} lets it pass{better}"
    if lowered.worst > limit:
        if lowered.drops:
            worst = max(lowered.drops, key=lambda each: each.drop)
            told = f"`{worst.metric}` over {lowered.part} becomes worse by {worst.drop:.2%} in {lowered.precision}"
        else:
            most = max(lowered.losses, key=lambda each: each.part)
            told = f"`{most.output}` differs by {most.part:.2%} in {lowered.precision}"
        message = f"{told}, and {limit:.2%} is allowed"
        raise Refusal(PrecisionLost(message, span, notes=notes, help=help))
    tolerance = max(TOLERANCES[lowered.precision], limit)
    for each in lowered.losses:
        if lowered.drops and each.is_float and each.part > tolerance:
            message = f"`{each.output}` differs by {each.part:.2%} of its largest value {each.where}"
            allowed = f"{message} in {lowered.precision}, which rounding does not explain: {tolerance:.0%} is allowed"
            raise Refusal(PrecisionLost(allowed, span, notes=notes))


def _size(path: Path) -> int:
    """The bytes of a model's file and of the one with its weights."""
    beside = path.with_name(f"{path.name}.data")
    return path.stat().st_size + (beside.stat().st_size if beside.exists() else 0)
