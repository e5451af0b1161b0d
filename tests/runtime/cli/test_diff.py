import json
from pathlib import Path

import pytest

from .conftest import TRAINED as BEFORE


def told(dlc, tmp_path: Path, before: str, after: str) -> list[str]:
    (tmp_path / "a.dl").write_text(before)
    (tmp_path / "b.dl").write_text(after)
    result = dlc("diff", "a.dl", "b.dl")
    assert result.exit_code == (1 if result.stdout else 0)
    return result.stdout.splitlines()


def test_the_same_spec_in_other_words(dlc, tmp_path: Path) -> None:
    other = BEFORE.replace("h = x ->", "hidden = x ->").replace("return h", "# The end.\n    return hidden")
    assert told(dlc, tmp_path, BEFORE, other) == []


@pytest.mark.parametrize(
    ("old", "new", "lines"),
    [
        ("let width = 16", "let width = 32", [
            "structure", "  let width: 16 -> 32", "  model Narrow: linear(out=16) -> linear(out=32)",
            "shapes", "  model Narrow, linear gives: float[N, 16] -> float[N, 32]",
            "weights",
            "  model Narrow, linear.weight: [16, 8] -> [32, 8]",
            "  model Narrow, linear.bias: [16] -> [32]",
            "  model Narrow, Half.linear.weight: [4, 16] -> [4, 32]",
            "costs", "  model Narrow, learned numbers: 222 -> 430",
            "  model Narrow, multiply-adds: 200*N -> 392*N",
            "  model Narrow, bytes of activations in training: 88*N -> 152*N",
        ]),
        ("-> relu", "-> gelu -> dropout(0.5)", [
            "structure", "  block Half: - relu()", "  block Half: + gelu()", "  block Half: + dropout(p=0.5)",
            "costs", "  model Narrow, bytes of activations in training: 88*N -> 110*N",
        ]),
        ("train=0.5, valid=0.5", "train=0.75, valid=0.25", [
            "data", "  data Made, share of train: 0.5 -> 0.75", "  data Made, share of valid: 0.5 -> 0.25",
        ]),
        ("sgd(lr=0.1)", "sgd(lr=0.2)", [
            "objective", "  train Fit, setting optimizer: sgd(lr=0.1) -> sgd(lr=0.2)",
        ]),
        ("minimize mse(net(x), y)", "minimize mae(net(x), y)", [
            "objective", "  train Fit, loss: minimize mse(net(x), y) -> minimize mae(net(x), y)",
            "  train Fit, step: - mse()", "  train Fit, step: + mae()",
        ]),
    ],
)  # fmt: skip
def test_what_changed(dlc, tmp_path: Path, old: str, new: str, lines: list[str]) -> None:
    assert told(dlc, tmp_path, BEFORE, BEFORE.replace(old, new)) == lines


def test_json(dlc, tmp_path: Path) -> None:
    (tmp_path / "a.dl").write_text(BEFORE)
    (tmp_path / "b.dl").write_text(BEFORE.replace("lr=0.1", "lr=0.2"))
    assert json.loads(dlc("diff", "a.dl", "a.dl", "--json").stdout) == {"same": True, "changes": []}
    assert json.loads(dlc("diff", "a.dl", "b.dl", "--json").stdout) == {
        "same": False,
        "changes": [{
            "area": "objective", "what": "train Fit, setting optimizer",
            "before": "sgd(lr=0.1)", "after": "sgd(lr=0.2)",
        }],
    }  # fmt: skip


def test_what_cannot_be_read_is_trouble(dlc, tmp_path: Path) -> None:
    (tmp_path / "a.dl").write_text(BEFORE)
    result = dlc("diff", "a.dl", "b.dl")
    assert result.exit_code == 2
    assert "error[DL8001]" in result.stderr


def test_two_runs(dlc, tmp_path: Path) -> None:
    (tmp_path / "a.dl").write_text(BEFORE)
    for name, more in (("a", ()), ("b", ("--set", "settings.seed=1")), ("c", ())):
        assert dlc("train", "a.dl", "-o", name, "-q", *more).exit_code == 0
    assert dlc("diff", "a", "c").exit_code == 0
    lines = dlc("diff", "a", "b").stdout.splitlines()
    assert any(line.startswith("  linear.weight: its numbers -> moved by ") for line in lines)
    assert any(line.startswith("  loss, valid: ") for line in lines)
    assert "  train Fit, setting seed: 0 -> 1" in lines
