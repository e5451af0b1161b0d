"""Batches in slices: every way gives what the whole batch gives, and the fastest is found."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnxruntime as ort
import pytest
from click.testing import CliRunner

from dlc.compiler.onnx.emit import build_model, save_model
from dlc.compiler.onnx.metadata import EXAMPLES
from dlc.compiler.program import Model
from dlc.compiler.weights import draw_weights
from dlc.grammar.diagnostics import Refusal
from dlc.runtime.cli.group import commands
from dlc.runtime.infer import slices
from dlc.runtime.infer.session import Session
from dlc.runtime.infer.slices import Slices, Trials, Tuning, Way

Read = Callable[..., Model]

NET = """
model Net(x: float[N, T, 6], gain: float[6]) -> (scores: float[N, 3], best: int[N], high: bool[N, T]):
    hs, last = x * gain -> gru(8)
    scores = last -> linear(3)
    return scores, argmax(scores, axis=1), hs[:, :, 0] > 0
"""
SUMS = "model Net(x: float[N, 4]) -> (y: float[N]):\n    return sum(x, axis=1)\n"
TIED = "model Net(x: float[N, 4]) -> (y: float[N, 4]):\n    return x - mean(x, axis=0)\n"


def batch(count: int, turns: int = 5) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    x = random.standard_normal((count, turns, 12)).astype(np.float32)[:, :, ::2]  # not contiguous
    return {"x": x, "gain": np.linspace(0.5, 2, 6, dtype=np.float32)}


@pytest.mark.parametrize(
    "way", [Way(), Way(1), Way(3), Way(4), Way(11), Way(1, 2), Way(3, 2), Way(6, 2), Way(2, 3)], ids=str
)
def test_each_way_gives_what_the_batch_gives(way: Way, export: Callable[[str], Path]) -> None:
    path = str(export(NET))
    session = ort.InferenceSession(path)
    cut = Slices(session, ["scores", "best", "high"], lambda: ort.InferenceSession(path), 2)
    arrays = batch(11)
    cut.tune(arrays, ["x"])
    found = cut.by(way, arrays)
    for name, expected in zip(found, session.run(None, arrays), strict=True):
        assert found[name].dtype == expected.dtype
        np.testing.assert_allclose(found[name], expected, atol=1e-6)


@pytest.mark.parametrize("trusted", [True, False])
def test_a_tuned_session_gives_what_it_gave(trusted: bool, export: Callable[[str], Path]) -> None:
    with Session(export(NET), trusted=trusted, threads=2) as session:
        before = session.call(batch(16)), session.call(batch(5))
        tuning = session.tune(batch(16))
        assert tuning.ways[0] == Way()
        assert {way.abreast for way in tuning.ways} == {1, 2}
        assert tuning.chosen in tuning.ways
        assert all(way.seconds > 0 for way in tuning.ways)
        assert tuning.gain >= 1
        for count, expected in zip((16, 5), before, strict=True):
            found = session.call(batch(count))
            for name in expected:
                np.testing.assert_allclose(found[name], expected[name], atol=1e-6)


def test_tuning_checks_what_it_is_given(export: Callable[[str], Path]) -> None:
    with Session(export(NET)) as session, pytest.raises(Refusal, match="has no input `y`"):
        session.tune({**batch(4), "y": 1})


def test_a_model_of_examples_that_meet_runs_at_once(export: Callable[[str], Path]) -> None:
    with Session(export(TIED), trusted=True) as session:
        tuning = session.tune({"x": np.ones((8, 4), np.float32)})
        assert [str(way) for way in tuning.ways] == ["all at once"]


def tried(seconds: dict[Way, float], monkeypatch: pytest.MonkeyPatch) -> Tuning:
    """What is found where calls take so long, by a clock that nothing else moves."""
    now = 0.0

    def call(way: Way) -> None:
        nonlocal now
        now += seconds[way]

    monkeypatch.setattr(slices, "time", SimpleNamespace(perf_counter=lambda: now))
    trials = Trials(call)
    trials.measure(Way())
    trials.descend([way for way in seconds if way != Way()])
    return trials.finish()


def test_the_fastest_way_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    tuning = tried({Way(): 4e-3, Way(8): 3e-3, Way(4): 1e-3, Way(2): 2e-3, Way(1): 8e-3}, monkeypatch)
    assert tuning.chosen == Way(4)
    assert tuning.gain == pytest.approx(4)
    assert Way(1) not in tuning.ways  # half of what took far longer than the best


@pytest.mark.parametrize(("gained", "chosen"), [(0.95, Way(8)), (0.98, Way()), (1.5, Way())])
def test_what_gains_little_is_left(gained: float, chosen: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    tuning = tried({Way(): 2e-3, Way(8): gained * 2e-3, Way(4): 2.2e-3}, monkeypatch)
    assert tuning.chosen == chosen
    assert tuning.gain == pytest.approx(1 if chosen == Way() else 1 / gained)


@pytest.mark.parametrize("said", ["T", "K"])
def test_a_file_that_lies_about_its_examples_is_refused(said: str, model: Read, tmp_path: Path) -> None:
    spec = model(NET)
    built = build_model(spec.graph, draw_weights(spec.graph.weights(), 0))
    built.metadata[EXAMPLES] = said
    save_model(built, tmp_path / "model.onnx")
    with pytest.raises(Refusal, match="does not describe itself"):
        Session(tmp_path / "model.onnx")


def test_the_commands_tune(export: Callable[[str], Path], tmp_path: Path) -> None:
    path = str(export(NET))
    how = ["--trust", "--for", "0.05", "--warm-up", "0", "--size", "T=5", "--json"]
    result = CliRunner().invoke(commands, ["bench", path, "--batch", "1,16", "--tuned", *how], catch_exceptions=False)
    one, many = json.loads(result.stdout)
    assert one["way"] == "all at once"
    assert many["way"] == "all at once" or "at a time" in many["way"]


def test_a_file_is_run_in_batches_that_are_tuned(export: Callable[[str], Path], tmp_path: Path) -> None:
    path, x = str(export(SUMS)), np.arange(120, dtype=np.float32).reshape(30, 4)
    np.save(tmp_path / "x.npy", x)
    how = ["run", path, "--trust", "--in", f"x={tmp_path / 'x.npy'}", "--tuned"]
    refused = CliRunner().invoke(commands, how)
    assert refused.exit_code == 2
    assert "say how many examples" in refused.stderr
    result = CliRunner().invoke(commands, [*how, "--batch", "8", "-o", str(tmp_path / "y.npy")], catch_exceptions=False)
    assert result.exit_code == 0
    np.testing.assert_allclose(np.load(tmp_path / "y.npy"), x.sum(1))
