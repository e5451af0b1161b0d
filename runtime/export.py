"""A model as an ONNX file that was compared with PyTorch before it took its place."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlc.compiler.onnx import metadata
from dlc.compiler.onnx.save import staged

if TYPE_CHECKING:
    import numpy as np

    from dlc.compiler.onnx import model as onnx
    from dlc.compiler.program import Model
    from dlc.runtime.infer.verify import Report

    Array = np.ndarray[Any, Any]


def write_export(
    model: Model, weights: Mapping[str, Array] | None, built: onnx.Model, output: Path, *, verify: bool
) -> Report | None:
    """Writes a model as it was built with its weights, at once or not at all, and says in it whether it was compared.

    It is written beside its place, compared there if `verify`, and then renamed. Raises Refusal where onnxruntime and
    PyTorch differ, and OSError where it cannot be written.
    """
    with staged(built, output) as part:
        report = _compared(model, weights, part.path) if verify and weights is not None else None
        part.tell(_told(report))
        part.publish()
    return report


def _compared(model: Model, weights: Mapping[str, Array], path: Path) -> Report:
    from dlc.runtime.infer.verify import verify

    return verify(model, weights, path)


def _told(report: Report | None) -> dict[str, str]:
    if report is None:
        return metadata.unverified()
    return metadata.verified(report.tolerance, tuple(dict.fromkeys(row.sizes for row in report.rows)), report.random)
