"""A run and its data: the statistics that it keeps, data that changed, what a step asks of its data as a whole."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from dlc.grammar.diagnostics import Diagnostic, Refusal
from dlc.runtime.train.data import read_data
from dlc.runtime.train.run import Run
from dlc.runtime.train.start import start
from dlc.runtime.train.trainer import evaluate, train

SPEC = """model Net(x: float[N]) -> (y: float[N]):
    return x -> unsqueeze(1) -> linear(1) -> squeeze(1)

data Points:
    source = csv("points.csv")
    x: float[] = standardize(a)
    y: float[] = standardize(b)
    split = (train=0.8, test=0.2)

train Fit on Points:
    net = Net()
    settings:
        epochs = 1
    step:
        minimize mean((net(x) - y) ** 2)
"""


def write(folder: Path, rows: np.ndarray) -> None:
    np.savetxt(folder / "points.csv", rows, delimiter=",", header="a,b", comments="")


@pytest.fixture
def rows() -> np.ndarray:
    return np.random.default_rng(0).normal(5, 3, size=(50, 2))


@pytest.fixture
def run(tmp_path: Path, rows: np.ndarray) -> Run:
    """A run that was trained for an epoch."""
    write(tmp_path, rows)
    (tmp_path / "spec.dl").write_text(SPEC)
    return go_on(tmp_path)


def go_on(folder: Path, *, epochs: int = 1, resume: bool = False) -> Run:
    program, spec, run = start(
        folder / "spec.dl", lambda program: next(iter(program.trains.values())), folder / "run", {}, resume=resume
    )
    train(spec, program, run, epochs=epochs, resume=resume, quiet=True, device="cpu")
    return Run.open(folder / "run")


def refusal(caught: pytest.ExceptionInfo[Refusal]) -> Diagnostic:
    (diagnostic,) = caught.value.diagnostics
    return diagnostic


def test_a_run_keeps_its_statistics_and_shows_them(run: Run) -> None:
    kept = load_file(run.folder / "statistics.safetensors")
    told = json.loads((run.folder / "config.json").read_text())["data"]
    assert told["examples"] == {"train": 40, "test": 10}
    assert told["statistics"] == {name: pytest.approx(float(value)) for name, value in kept.items()}
    assert set(kept) == {"x.mean", "x.std", "y.mean", "y.std"}


def test_what_is_measured_is_scaled_as_what_was_learned(run: Run) -> None:
    kept = load_file(run.folder / "statistics.safetensors")
    before = evaluate(run, "test", device="cpu")
    save_file({**kept, "y.mean": np.array(kept["y.mean"] + 100)}, run.folder / "statistics.safetensors")
    after = evaluate(Run.open(run.folder), "test", device="cpu")
    assert after["loss"] > before["loss"] + 500


def test_other_data_is_refused(run: Run, rows: np.ndarray) -> None:
    write(run.folder.parent, np.vstack([rows, rows[:1]]))
    with pytest.raises(Refusal) as caught:
        evaluate(run, "test", device="cpu")
    assert refusal(caught).code == "DL6017"
    assert refusal(caught).notes == ("it had 50 examples, and has 51",)
    with pytest.raises(Refusal) as caught:
        go_on(run.folder.parent, epochs=2, resume=True)
    assert refusal(caught).code == "DL6017"


def test_the_same_data_goes_on(run: Run, rows: np.ndarray) -> None:
    write(run.folder.parent, rows)
    kept = (run.folder / "statistics.safetensors").read_bytes()
    assert len(go_on(run.folder.parent, epochs=2, resume=True).metrics()) == 2
    assert (run.folder / "statistics.safetensors").read_bytes() == kept


def test_statistics_that_are_missing_or_of_another_shape(run: Run) -> None:
    for action in (
        lambda path: path.write_bytes(b"no"),
        lambda path: save_file({"x.mean": np.zeros(3, np.float32)}, path),
        lambda path: path.unlink(),
    ):
        action(run.folder / "statistics.safetensors")
        with pytest.raises(Refusal) as caught:
            evaluate(run, "test", device="cpu")
        assert refusal(caught).code == "DL8009"


TEXT = """data Windows:
    source = text("t.txt", tokenizer=chars(), window=2)
    tokens: int[2] < 3
    split = (train=0.5, test=0.5)

model Net(x: float[N]) -> (y: float[N]):
    return x -> unsqueeze(1) -> linear(1) -> squeeze(1)

train Fit on Windows:
    net = Net()
    settings:
        epochs = 1
    step:
        minimize mean(net(cast(tokens[:, 0], "float")) ** 2)
        report first = Windows.frequencies[0]
        report whole = sum(Windows.frequencies)
"""


def test_a_step_is_given_the_frequencies_of_its_text(tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text("aabaaabaaaab" + "c" * 20)
    (tmp_path / "spec.dl").write_text(TEXT)
    run = go_on(tmp_path)
    data = read_data(run, run.spec)
    tokens = data.parts["train"]["tokens"]
    for part in ("train", "test"):
        measured = evaluate(run, part, device="cpu")
        assert measured["first"] == pytest.approx(float((tokens == 0).double().mean()))
        assert measured["whole"] == pytest.approx(1)
    assert data.frequencies is not None
    assert torch.equal(data.frequencies > 0, torch.tensor([True, True, True]))
