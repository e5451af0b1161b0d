"""A small training: a net with dropout and batch normalisation, so that all kinds of state take part."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from dlc.compiler.optimizers import AdamW
from dlc.compiler.schedules import Cosine
from dlc.compiler.settings import Settings
from dlc.runtime.emitted import load_module
from dlc.runtime.seeds import seed_torch
from dlc.runtime.train.task import Task

TEXT = """
from torch import nn


class Line(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden = nn.Linear(3, 8)
        self.batch_norm = nn.BatchNorm1d(8)
        self.out = nn.Linear(8, 1)

    def forward(self, x):
        h = nn.functional.dropout(self.batch_norm(self.hidden(x)).relu(), 0.2, self.training)
        return self.out(h).squeeze(1)


def build():
    return {"net": Line()}


def step(net, minimize, x, y):
    guess = net(x)
    minimize(((guess - y) ** 2).mean())
    return {"error": (guess - y).abs().mean()}
"""

SETTINGS = Settings(batch=8, epochs=4, optimizer=AdamW(lr=0.01), schedule=Cosine(warmup=3), seed=5)


def make_task(examples: int = 30) -> Task:
    """A task with fresh weights, the same each time."""
    seed_torch(0)
    x = torch.randn(examples + 10, 3)
    y = x @ torch.tensor([1.0, -2.0, 0.5]) + 0.1 * torch.randn(examples + 10)
    fields = {"x": x, "y": y}
    parts = {
        "train": {name: value[:examples] for name, value in fields.items()},
        "valid": {name: value[examples:] for name, value in fields.items()},
    }
    module = load_module("Line", TEXT)
    return Task(module.build(), module.step, parts)


@pytest.fixture
def task() -> Task:
    return make_task()


@pytest.fixture
def fresh() -> Callable[..., Task]:
    return make_task


@pytest.fixture
def settings() -> Settings:
    return SETTINGS


SPEC = """# A line with a bend, and where it is learned from.
from .parts import Hidden

let width = 8

model Net(x: float[N, 3]) -> (y: float[N]):
    return x -> Hidden(width) -> linear(1) -> squeeze(1)

data Points:
    source = csv("points.csv")
    x: float[3] = concat(reshape(a, 1), reshape(b, 1), reshape(c, 1), axis=0)
    y: float[] = y
    split = (train=0.8, valid=0.1, test=0.1)

train Fit on Points:
    net = Net()
    settings:
        batch = 16
        epochs = 4
        optimizer = adamw(lr=1e-2)
        schedule = cosine(warmup=5)
    step:
        guess = net(x)
        minimize mean((guess - y) ** 2)
        report error = mean(abs(guess - y))

train Blow on Points:
    net = Net()
    settings:
        epochs = 1
        batch = 8
    step:
        minimize mean(log(net(x) - 1000))
"""

PARTS = """block Hidden(x: float[N, d], width: int) -> float[N, width]:
    return x -> linear(width) -> batch_norm -> relu -> dropout(0.1)
"""


def write_spec(folder: Path) -> Path:
    """A spec with a file that it imports and one of data, in that folder."""
    (folder / "parts.dl").write_text(PARTS)
    (folder / "line.dl").write_text(SPEC)
    random = np.random.default_rng(0)
    points = random.normal(size=(200, 3))
    rows = np.column_stack([points, np.abs(points @ [1.0, -2.0, 0.5])])
    np.savetxt(folder / "points.csv", rows, delimiter=",", header="a,b,c,y", comments="")
    return folder / "line.dl"


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    """A spec in a folder of its own."""
    folder = tmp_path / "specs"
    folder.mkdir()
    return write_spec(folder)


@pytest.fixture(scope="module")
def another_spec(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, once for all tests of a module."""
    return write_spec(tmp_path_factory.mktemp("specs"))
