"""Calls in other ways: every one gives what a call of the whole batch gives, and the fastest is found."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from weakref import WeakSet

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
model Net(x: float[N, T, 6], gain: float[6], shift: float[]) -> (scores: float[N, 3], best: int[N], high: bool[N, T]):
    hs, last = x * gain + shift[none, none, none] -> gru(8)
    scores = last -> linear(3)
    return scores, argmax(scores, axis=1), hs[:, :, 0] > 0
"""
SUMS = "model Net(x: float[N, 4]) -> (y: float[N]):\n    return sum(x, axis=1)\n"
TIED = "model Net(x: float[N, 4]) -> (y: float[N, 4]):\n    return x - mean(x, axis=0)\n"


def batch(count: int, turns: int = 5) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    x = random.standard_normal((count, turns, 12)).astype(np.float32)[:, :, ::2]  # not contiguous
    return {"x": x, "gain": np.linspace(0.5, 2, 6, dtype=np.float32), "shift": np.array(0.5, np.float32)}


class Opened:
    """A model's sessions, and how they were opened."""

    def __init__(self, path: Path) -> None:
        self._path = str(path)
        self.how: list[tuple[bool, Mapping[str, int]]] = []

    def __call__(self, *, alone: bool = False, sizes: Mapping[str, int]) -> ort.InferenceSession:
        self.how.append((alone, sizes))
        options = ort.SessionOptions()
        for name, size in sizes.items():
            options.add_free_dimension_override_by_name(name, size)
        return ort.InferenceSession(self._path, options)


def sliced(opened: Opened) -> tuple[ort.InferenceSession, Slices]:
    session = opened(sizes={})
    shapes = {given.name: given.shape for given in session.get_inputs()}
    return session, Slices(opened, shapes, [made.name for made in session.get_outputs()], 2)


WAYS = [
    *(Way(), Way(1), Way(3), Way(4), Way(11), Way(1, 2), Way(3, 2), Way(6, 2), Way(2, 3)),
    *(Way(fixed=True), Way(4, fixed=True), Way(3, 2, fixed=True)),
]


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_each_way_gives_what_the_batch_gives(way: Way, export: Callable[[str], Path]) -> None:
    opened = Opened(export(NET))
    session, cut = sliced(opened)
    arrays = batch(11)
    cut.tune(arrays, ["x"])
    opened.how.clear()
    found = cut.by(way, arrays)
    assert all(how == (way.abreast > 1, {"T": 5} if way.fixed else {}) for how in opened.how)
    for name, expected in zip(found, session.run(None, arrays), strict=True):
        assert found[name].dtype == expected.dtype
        np.testing.assert_allclose(found[name], expected, atol=1e-6)


class Timed:
    """Sessions whose calls take so long by a clock that nothing else moves."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, free: float = 1e-3, fixed: float = 1e-3) -> None:
        self._free, self._fixed, self._now = free, fixed, 0.0
        self.sizes: list[Mapping[str, int]] = []
        self.alive: WeakSet[Timed.Session] = WeakSet()
        monkeypatch.setattr(slices, "time", SimpleNamespace(perf_counter=lambda: self._now))

    class Session:
        def __init__(self, run: Callable[..., list[np.ndarray]]) -> None:
            self.run = run

    def __call__(self, *, alone: bool = False, sizes: Mapping[str, int]) -> Session:
        def run(*_: object) -> list[np.ndarray]:
            self._now += self._fixed if sizes else self._free
            return [np.full(2, float(len(sizes)))]

        self.sizes.append(sizes)
        session = Timed.Session(run)
        self.alive.add(session)
        return session


@pytest.mark.parametrize(("cut", "fixed"), [([], {"N": 1, "T": 3, "K": 7}), (["x"], {"T": 3, "K": 7})])
def test_the_sizes_that_may_be_fixed(cut: list[str], fixed: dict[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    axes = {"x": ("N", "T", 6), "y": ("M", "T"), "z": ("K", ""), "both": ("M", 4)}
    shapes = {"x": (1, 3, 6), "y": (5, 3), "z": (7, 8), "both": (9, 4), "unknown": (1,)}
    timed = Timed(monkeypatch)
    calls = Slices(timed, axes, ["out"], 1)
    calls.tune({name: np.zeros(shape, np.float32) for name, shape in shapes.items()}, cut)
    assert timed.sizes == [{}, fixed]


@pytest.mark.parametrize(("fixed", "chosen"), [(0.9e-3, Way(fixed=True)), (0.99e-3, Way()), (2e-3, Way())])
def test_sizes_are_fixed_where_it_gains(fixed: float, chosen: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    timed = Timed(monkeypatch, fixed=fixed)
    calls = Slices(timed, {"x": ("N", 4)}, ["out"], 1)
    given, other = {"x": np.zeros((3, 4), np.float32)}, {"x": np.zeros((2, 4), np.float32)}
    assert calls.tune(given, []).chosen == chosen
    assert len(timed.alive) == 1 + chosen.fixed  # what is not used is not kept
    assert calls.run(given)["out"][0] == chosen.fixed
    assert calls.run(other)["out"][0] == 0


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
        assert {way.examples for way in tuning.ways} == {None}


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


@pytest.mark.parametrize(("gained", "chosen"), [(0.97, Way(8)), (0.99, Way()), (1.5, Way())])
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
    assert one["way"] in ("all at once", "all at once, sizes fixed")
    assert many["way"].startswith("all at once") or "at a time" in many["way"]


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


def test_what_is_faster_by_chance_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ways take the same, but the whole batch is held up in five of seven rounds."""
    now, calls = 0.0, 0

    def call(way: Way) -> None:
        nonlocal now, calls
        calls += way == Way()
        now += 0.2 if way == Way() and calls % 3 else 0.1

    monkeypatch.setattr(slices, "time", SimpleNamespace(perf_counter=lambda: now))
    trials = Trials(call)
    for way in (Way(), Way(4)):
        trials.measure(way)
    assert trials.finish().chosen == Way()
