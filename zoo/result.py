"""What came of a row."""

from __future__ import annotations

import time
import traceback
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dlc.grammar.diagnostics import Refusal
from zoo.row import MissedError, Row
from zoo.workshop import Export, Workshop


@dataclass(frozen=True)
class Result:
    """What a spec reached, whether that is what it must, its learned numbers, and how its exports compare.

    difference: the largest between onnxruntime and PyTorch, as a part of an output's largest magnitude. unexported:
    what has no ONNX, with the reason.
    """

    key: str
    held: bool
    reached: str
    seconds: float
    parameters: int
    difference: float | None
    unexported: tuple[str, ...]

    @staticmethod
    def failed(key: str, reason: str) -> Result:
        return Result(key, False, reason, 0.0, 0, None, ())

    @staticmethod
    def read(document: Mapping[str, Any]) -> Result:
        return Result(**{**document, "unexported": tuple(document["unexported"])})

    def document(self) -> dict[str, Any]:
        return asdict(self)


def measured(row: Row, folder: Path) -> Result:
    """Trains a spec in a folder, and finds out what it shows."""
    workshop = Workshop(row.spec, folder)
    begun = time.perf_counter()
    try:
        reached, held = row.measure(workshop), True
    except MissedError as missed:
        reached, held = str(missed), False
    except Refusal as refusal:
        reached, held = "; ".join(str(diagnostic.message) for diagnostic in refusal.diagnostics), False
    except Exception:  # a row that fails is told, and the others go on
        reached, held = traceback.format_exc().strip().splitlines()[-1], False
    exports = [*workshop.exports(), *workshop.untrained()]
    return Result(
        row.key,
        held and not _broken(exports),
        reached + "".join(f"; {export.name}: {export.refused}" for export in _broken(exports)),
        time.perf_counter() - begun,
        _parameters(workshop),
        max((export.difference for export in exports if export.difference is not None), default=None),
        tuple(
            f"{export.name}: {export.refused}" for export in exports if export.refused and _has_no_onnx(export.refused)
        ),
    )


def _broken(exports: list[Export]) -> list[Export]:
    """Exports that failed, but for those that want an operator or gradients in ONNX: they are told as they are."""
    return [export for export in exports if export.refused and not _has_no_onnx(export.refused)]


def _has_no_onnx(reason: str) -> bool:
    return "cannot be exported to ONNX" in reason or "gradients are not taken in ONNX" in reason


def _parameters(workshop: Workshop) -> int:
    """What the first training learns, or what the largest model of the spec holds."""
    from dlc.compiler.types import product

    if workshop.trainings:
        first = workshop.trainings[0]
        return sum(int(array.size) for name in first.run.spec.instances for array in first.weights(name).values())
    models = workshop.load().program.models.values()
    totals = [product(weight.shape) for model in models for weight in model.graph.weights().values()]
    return sum(int(total) for total in totals if total.is_constant)
