"""Models from the text of a spec."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from dlc.compiler.program import Model
from dlc.runtime.spec import read_spec

Read = Callable[..., Model]


@pytest.fixture
def model(tmp_path: Path) -> Read:
    """Reads a spec's only model, sizes and parameters given by name."""

    def read(text: str, **given: int) -> Model:
        path = tmp_path / "spec.dl"
        path.write_text(text)
        program, sink = read_spec(path, {name: str(value) for name, value in given.items()})
        assert program is not None, [diagnostic.message for diagnostic in sink]
        (only,) = program.models.values()
        return only

    return read
