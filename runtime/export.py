"""A model as an ONNX file that was compared with PyTorch before it took its place."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from dlc.compiler.onnx import metadata
from dlc.compiler.onnx.save import staged

if TYPE_CHECKING:
    from dlc.compiler.onnx import model as onnx
    from dlc.runtime.infer.verify import Report
    from dlc.runtime.trained import Trained


def write_export(trained: Trained, built: onnx.Model, output: Path, *, verify: bool) -> Report | None:
    """Writes the built model of what was trained, at once or not at all, and says in it whether it was compared.

    It is written beside its place, compared there if `verify`, and then renamed. Raises Refusal where onnxruntime and
    PyTorch differ, and OSError where it cannot be written.
    """
    with staged(built, output) as part:
        report = _compared(trained, part.path) if verify else None
        part.tell(_told(report))
        part.publish()
    return report


def _compared(trained: Trained, path: Path) -> Report:
    from dlc.runtime.infer.verify import verify

    return verify(trained.model, trained.weights, path)


def _told(report: Report | None) -> dict[str, str]:
    if report is None:
        return metadata.unverified()
    return metadata.verified(report.tolerance, tuple(dict.fromkeys(row.sizes for row in report.rows)), report.random)
