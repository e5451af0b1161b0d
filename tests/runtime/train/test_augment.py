"""`augment:` binds fields anew in the training part alone, as the same code by hand would."""

from pathlib import Path

import pytest
import torch

import dlc
from dlc.compiler.torch.emit import emit_training
from dlc.runtime.emitted import load_module
from dlc.runtime.spec import read_checked
from dlc.runtime.train.run import Run

SPEC = """
model Line(x: float[N, 2]) -> (y: float[N]):
    return x -> linear(1) -> squeeze(1)

data Points:
    source = generate(64)
    x: float[2] = normal(2)
    y: float[] = sum(x)
    split = (train=0.5, valid=0.5)
{augment}
train Fit on Points:
    net = Line()
    settings:
        batch = 8
        epochs = 2
        optimizer = sgd(lr=0.1)
    step:
        minimize mse(net(x), y)
        report size = mean(abs(x))
"""
AUGMENT = """    augment:
        x = 3 * x + 0.0 * normal_like(x)
"""


def run(tmp_path: Path, name: str, augment: str) -> Run:
    path = tmp_path / f"{name}.dl"
    path.write_text(SPEC.format(augment=augment))
    dlc.train(path, output=tmp_path / name)
    return Run.open(tmp_path / name)


def test_the_training_part_alone_is_augmented(tmp_path: Path) -> None:
    plain, augmented = run(tmp_path, "plain", "").metrics(), run(tmp_path, "augmented", AUGMENT).metrics()
    for before, after in zip(plain, augmented, strict=True):
        assert after["train"]["size"] == pytest.approx(3 * before["train"]["size"], rel=1e-5)
        assert after["valid"]["size"] == before["valid"]["size"]


def test_it_is_what_the_step_by_hand_does(tmp_path: Path) -> None:
    path = tmp_path / "spec.dl"
    path.write_text(SPEC.format(augment=AUGMENT))
    module = load_module("spec", emit_training(read_checked(path).trains["Fit"]))
    net = module.build()["net"]
    x, y = torch.randn(8, 2), torch.randn(8)
    losses: list[torch.Tensor] = []
    module.step(net, losses.append, x, y)
    module.step(net.eval(), losses.append, x, y)
    assert torch.allclose(losses[0], ((net(3 * x) - y) ** 2).mean())
    assert torch.allclose(losses[1], ((net(x) - y) ** 2).mean())


def test_what_is_not_augmented_is_not_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "spec.dl"
    path.write_text(SPEC.format(augment=AUGMENT))
    assert "def augment(x: Tensor) -> Tensor:" in emit_training(read_checked(path).trains["Fit"])
