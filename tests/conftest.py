"""Tests run beside each other, and so their threads wait as those of the command line do."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from dlc.compiler.program import Model
from dlc.runtime.cli import SPINS
from dlc.runtime.spec import read_spec

for name, value in SPINS.items():
    os.environ.setdefault(name, value)

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
