from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from dlc.runtime.cli.group import commands

RIGHT = """\
let width = 16

block Half(x: float[N, d], out: int) -> float[N, out]:
    return x -> linear(out) -> relu

# Two halves.
model Narrow(x: float[N, 8]) -> (y: float[N, 2]):
    h = x -> linear(width)
    return h -> Half(4) -> Half(2)
"""

TRAINED = (
    RIGHT
    + """
data Made:
    source = generate(20)
    x: float[8] = normal(8)
    y: float[2] = normal(2)
    split = (train=0.5, valid=0.5)

train Fit on Made:
    net = Narrow()
    settings:
        batch = 5
        epochs = 1
        optimizer = sgd(lr=0.1)
    step:
        minimize mse(net(x), y)
"""
)


@pytest.fixture
def dlc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Calls a command in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> Result:
        result = CliRunner().invoke(commands, arguments)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return call


@pytest.fixture
def narrow(tmp_path: Path) -> str:
    """A spec that is right, in that folder."""
    (tmp_path / "narrow.dl").write_text(RIGHT)
    return "narrow.dl"
