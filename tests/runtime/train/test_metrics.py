"""Reports over a whole part whose examples do not divide into batches: against scikit-learn on the whole part."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import numpy as np
import pytest
import torch
from sklearn import metrics
from torch.nn.functional import cross_entropy

from dlc.compiler.program import TrainSpec
from dlc.compiler.torch.emit import emit_training
from dlc.runtime.emitted import load_module
from dlc.runtime.seeds import seed_torch
from dlc.runtime.spec import read_spec
from dlc.runtime.train.metrics import Averages, UndefinedError
from dlc.runtime.train.task import StepError, Task, measure

COUNT, CLASSES = 61, 5  # in batches of 16: 16, 16, 16, 13

REPORTS: dict[str, tuple[str, Callable[..., float]]] = {
    "accuracy": ("accuracy(logits, kind)", lambda z, k, g: metrics.accuracy_score(k, z.argmax(1))),
    "top": ("accuracy(logits, kind, k=2)", lambda z, k, g: metrics.top_k_accuracy_score(k, z, k=2, labels=range(5))),
    "precision": ("precision(logits, kind)", lambda z, k, g: metrics.precision_score(k, z.argmax(1), **MACRO)),
    "recall": ("recall(logits, kind)", lambda z, k, g: metrics.recall_score(k, z.argmax(1), **MACRO)),
    "f1": ("f1(logits, kind)", lambda z, k, g: metrics.f1_score(k, z.argmax(1), **MACRO)),
    "f1_of_two": ("f1(logits[:, 0], kind == 1)", lambda z, k, g: metrics.f1_score(k == 1, z[:, 0] > 0)),
    "iou": ("iou(logits, kind)", lambda z, k, g: metrics.jaccard_score(k, z.argmax(1), **MACRO)),
    "auroc": ("auroc(logits[:, 0], kind == 1)", lambda z, k, g: metrics.roc_auc_score(k == 1, z[:, 0])),
    "tied": ("auroc(round(logits[:, 0]), kind == 1)", lambda z, k, g: metrics.roc_auc_score(k == 1, z[:, 0].round())),
    "confused": ("confusion(logits, kind)[1, 2]", lambda z, k, g: metrics.confusion_matrix(k, z.argmax(1))[1, 2]),
    "right": (
        "trace(confusion(logits, kind)) / sum(confusion(logits, kind))",
        lambda z, k, g: metrics.accuracy_score(k, z.argmax(1)),
    ),
    "rmse": ("rmse(logits[:, 0], goal)", lambda z, k, g: metrics.root_mean_squared_error(g, z[:, 0])),
    "root": ("sqrt(mse(logits[:, 0], goal))", lambda z, k, g: metrics.root_mean_squared_error(g, z[:, 0])),
    "r2": ("r2(logits[:, 0], goal)", lambda z, k, g: metrics.r2_score(g, z[:, 0])),
    "r2_far": (
        "r2(logits[:, :2] + 1000, logits[:, 1:3] + 1000)",
        lambda z, k, g: metrics.r2_score(z[:, 1:3], z[:, :2]),
    ),
    "psnr": ("psnr(logits[:, 0], goal)", lambda z, k, g: -10 * np.log10(metrics.mean_squared_error(g, z[:, 0]))),
    "mae": ("mae(logits[:, 0], goal)", lambda z, k, g: metrics.mean_absolute_error(g, z[:, 0])),
    "perplexity": (
        "perplexity(logits, kind)",
        lambda z, k, g: np.exp(metrics.log_loss(k, softmax(z), labels=range(5))),
    ),
    "but_3": (
        "perplexity(logits, kind, ignore=3)",
        lambda z, k, g: np.exp(metrics.log_loss(k[k != 3], softmax(z)[k != 3], labels=range(5))),
    ),
    "some": (
        "cross_entropy(logits, kind, ignore=3)",
        lambda z, k, g: metrics.log_loss(k[k != 3], softmax(z)[k != 3], labels=range(5)),
    ),
    "weighted": (
        "cross_entropy(logits, kind, cast(arange(1, 6), \"float\"), ignore=3, smoothing=0.1)",
        lambda z, k, g: cross_entropy(*map(torch.tensor, (z, k)), torch.arange(1.0, 6).double(), ignore_index=3,
                                      label_smoothing=0.1).item(),
    ),
    "gap": (
        "precision(logits, kind) * recall(logits, kind) - 0.5 * mae(logits[:, 0], goal)",
        lambda z, k, g: metrics.precision_score(k, z.argmax(1), **MACRO) * metrics.recall_score(k, z.argmax(1), **MACRO)
        - metrics.mean_absolute_error(g, z[:, 0]) / 2,
    ),
    "mixed": (
        "mean(stack(f1(logits, kind), iou(logits, kind)))",
        lambda z, k, g: metrics.f1_score(k, z.argmax(1), **MACRO) / 2
        + metrics.jaccard_score(k, z.argmax(1), **MACRO) / 2,
    ),
}  # fmt: skip
MACRO: dict[str, Any] = {"average": "macro", "zero_division": 0}


def softmax(logits: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return torch.tensor(logits).softmax(1).numpy()


def spec(folder: Path, reports: dict[str, str], count: int = COUNT, kinds: int = CLASSES - 1) -> TrainSpec:
    """A training that reports of logits that are the data themselves. No example is of the last class."""
    random = np.random.default_rng(7)
    arrays = {
        "x": random.normal(size=(count, CLASSES)).astype(np.float32),
        "kind": random.integers(0, kinds, count),
        "goal": random.normal(size=count).astype(np.float32),
    }
    np.savez(folder / "data.npz", **arrays)
    lines = "".join(f"        report {name} = {text}\n" for name, text in reports.items())
    (folder / "spec.dl").write_text(
        dedent("""
        model Net(x: float[N, 5]) -> (logits: float[N, 5]):
            weight scale: float[] = 1
            return scale * x

        data D:
            source = npz("data.npz")
            x: float[5] = x
            kind: int[] < 5 = kind
            goal: float[] = goal

        train T on D:
            net = Net()
            settings:
                batch = 16
                epochs = 1
            step:
                logits = net(x)
                minimize cross_entropy(logits, kind)
        """)
        + lines
    )
    program, sink = read_spec(folder / "spec.dl")
    assert program is not None, [problem.message for problem in sink]
    return program.trains["T"]


def task(train: TrainSpec, folder: Path) -> Task:
    module = load_module("T", emit_training(train))
    seed_torch(0)
    fields = {name: torch.from_numpy(array) for name, array in np.load(folder / "data.npz").items()}
    return Task(module.build(), module.step, {"valid": fields}, getattr(module, "finish", None))


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[dict[str, float], dict[str, Any]]]:
    folder = tmp_path_factory.mktemp("metrics")
    train = spec(folder, {name: text for name, (text, _) in REPORTS.items()})
    with np.load(folder / "data.npz") as data:
        yield measure(task(train, folder), "valid", train.settings), dict(data)


@pytest.mark.parametrize("name", REPORTS)
def test_is_exact_over_a_part(name: str, measured: tuple[dict[str, float], dict[str, Any]]) -> None:
    reports, data = measured
    expected = REPORTS[name][1](data["x"].astype(np.float64), data["kind"], data["goal"].astype(np.float64))
    assert reports[name] == pytest.approx(expected, rel=1e-4 if name == "r2_far" else 1e-6)


def test_reports_stand_in_the_order_of_the_spec(measured: tuple[dict[str, float], dict[str, Any]]) -> None:
    assert list(measured[0]) == ["loss", *REPORTS]


def test_a_plain_report_needs_no_finish(tmp_path: Path) -> None:
    train = spec(tmp_path, {"accuracy": "accuracy(logits, kind)", "half": "0.5 * mse(x, x) - 2 * mean(x) + 1"})
    source = emit_training(train)
    assert "def finish" not in source
    assert '"half": ' in source


@pytest.mark.parametrize(
    ("report", "kinds"), [("auroc(logits[:, 0], kind == 1)", 1), ("perplexity(logits, kind, ignore=0)", 1)]
)
def test_what_has_no_value_is_an_error(tmp_path: Path, report: str, kinds: int) -> None:
    """One class is absent; all targets are ignored."""
    train = spec(tmp_path, {"score": report}, kinds=kinds)
    with pytest.raises(StepError, match="`score` has no value for these 61 examples"):
        measure(task(train, tmp_path), "valid", train.settings)


def test_nothing_to_measure_is_an_error() -> None:
    with pytest.raises(UndefinedError, match="no examples"):
        Averages().means()


def test_a_state_goes_on_to_the_last_bit(tmp_path: Path) -> None:
    train = spec(tmp_path, {name: text for name, (text, _) in REPORTS.items()})
    made = task(train, tmp_path)
    batches = [[field[start : start + 16] for field in made.parts["valid"].values()] for start in range(0, COUNT, 16)]
    whole, first = Averages(made.finish), Averages(made.finish)
    for place, batch in enumerate(batches):
        values = made.step(*made.instances.values(), lambda loss: None, *batch)
        whole.add(values, len(batch[0]))
        if place < 2:
            first.add(values, len(batch[0]))
        else:
            first = Averages.restored(json.loads(json.dumps(first.state())), made.finish)
            first.add(values, len(batch[0]))
    assert first.means() == whole.means()
