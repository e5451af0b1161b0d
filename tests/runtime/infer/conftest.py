"""What the tests of sessions share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from dlc.compiler.onnx.emit import build_model, save_model
from dlc.compiler.program import Model
from dlc.compiler.weights import draw_weights

Read = Callable[..., Model]


@pytest.fixture
def export(model: Read, tmp_path: Path) -> Callable[[str], Path]:
    """Writes the model of a spec as ONNX, with fresh weights."""

    def write(text: str) -> Path:
        spec = model(text)
        path = tmp_path / "model.onnx"
        save_model(build_model(spec.graph, draw_weights(spec.graph.weights(), 0)), path)
        return path

    return write
