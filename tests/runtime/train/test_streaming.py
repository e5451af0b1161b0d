"""A training on data in files: the very same run as on data in memory, and as exactly gone on with."""

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import dlc
from dlc.grammar.diagnostics import Refusal
from dlc.runtime.data.streamed import Stored
from dlc.runtime.errors import UnreadableData
from dlc.runtime.train.checkpoint import Checkpoints
from dlc.runtime.train.rehearsal import hashes, rehearse
from dlc.runtime.train.run import Run
from dlc.runtime.train.trainer import evaluate

SPEC = """
model Line(x: float[N, 3], length: int[N]) -> (y: float[N]):
    size = reshape(cast(length, "float"), [N, 1]) / 50
    return concat(x, size, axis=1) -> linear(8) -> relu -> linear(1) -> squeeze(1)

data Points:
    source = npz("points.npz")
    x: float[3] = standardize(x)
    y: float[] = y
    length: int[] < 50
    split = (train=0.7, valid=0.3)
    augment:
        x = x + 0.1 * normal_like(x)

train Fit on Points:
    net = Line()
    settings:
        batch = 16
        epochs = 3
        plan = "plain"
        checkpoint = (steps=7)
        {setting}
    step:
        guess = net(x, length)
        minimize mse(guess, y)
        report error = mean(abs(guess - y))
"""
TEXT = """
model Next(tokens: int[N, T] < 256) -> (logits: float[N, T, 256]):
    return tokens -> embedding(256, 16) -> linear(256)

data Words:
    source = text("words.txt", tokenizer=bytes(), window=17, stride=3)
    tokens: int[17] < 256
    split = (train=0.8, valid=0.2)

train Fit on Words:
    net = Next()
    settings:
        batch = 32
        epochs = 2
        plan = "plain"
        {setting}
    step:
        minimize cross_entropy(net(tokens[:, :-1]), tokens[:, 1:])
"""


@pytest.fixture
def spec(tmp_path: Path) -> Callable[..., Path]:
    """A spec with its data, and a setting."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 3)) * 7 + 3
    np.savez(tmp_path / "points.npz", x=x, y=np.abs(x @ [1.0, -2.0, 0.5]), length=rng.integers(1, 50, 400))
    (tmp_path / "words.txt").write_text("the cat saw the dog, and the dog did not see the cat\n" * 60)

    def make(text: str = SPEC, setting: str = "seed = 1") -> Path:
        (tmp_path / "spec.dl").write_text(text.format(setting=setting))
        return tmp_path / "spec.dl"

    return make


def in_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DLC_DATA_MEMORY", "0")


SETTINGS = ("seed = 1", "bucket = length", "shuffle = false", "average = ema(0.9)", "batch = all")


@pytest.mark.parametrize("setting", SETTINGS)
def test_it_is_the_same_run(
    spec: Callable[..., Path], setting: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = spec(setting=setting)
    if setting.startswith("batch"):
        path.write_text(path.read_text().replace("        batch = 16\n", ""))
    dlc.train(path, output=tmp_path / "held", quiet=True)
    in_files(monkeypatch)
    dlc.train(path, output=tmp_path / "streamed", quiet=True)
    assert hashes(tmp_path / "held") == hashes(tmp_path / "streamed")
    ours, theirs = (Run.open(tmp_path / name).config.data for name in ("held", "streamed"))
    assert ours == theirs
    assert evaluate(Run.open(tmp_path / "held"), "valid") == Run.open(tmp_path / "held").metrics()[-1]["valid"]


def test_a_text_as_well(spec: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = spec(TEXT)
    dlc.train(path, output=tmp_path / "held", quiet=True)
    in_files(monkeypatch)
    dlc.train(path, output=tmp_path / "streamed", quiet=True)
    assert hashes(tmp_path / "held") == hashes(tmp_path / "streamed")
    assert (tmp_path / "streamed" / "report.html").is_file()


@pytest.mark.parametrize("setting", ["seed = 1", "bucket = length"])
def test_killed_and_gone_on_with(
    spec: Callable[..., Path], setting: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_files(monkeypatch)
    dlc.train(spec(setting=setting), output=tmp_path / "run", quiet=True)
    assert rehearse(Run.open(tmp_path / "run")).hashes == hashes(tmp_path / "run")


def test_begun_in_memory_and_gone_on_with_in_files(
    spec: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = spec()
    dlc.train(path, output=tmp_path / "whole", quiet=True)
    left = [3]
    save = Checkpoints.save

    def dies(self: Checkpoints, *given: object) -> None:
        save(self, *given)  # pyright: ignore[reportArgumentType]
        left[0] -= 1
        if not left[0]:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "save", dies)
        with pytest.raises(KeyboardInterrupt):
            dlc.train(path, output=tmp_path / "run", quiet=True)
    in_files(monkeypatch)
    dlc.train(path, output=tmp_path / "run", resume=True, quiet=True)
    assert hashes(tmp_path / "run") == hashes(tmp_path / "whole")


def test_data_that_was_changed_in_between(
    spec: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_files(monkeypatch)
    path = spec()
    dlc.train(path, output=tmp_path / "run", quiet=True)
    with np.load(tmp_path / "points.npz") as arrays:
        other = {name: array.copy() for name, array in arrays.items()}
    other["y"][17] += 1e-9
    np.savez(tmp_path / "points.npz", **other)
    with pytest.raises(Refusal) as caught:
        dlc.train(path, output=tmp_path / "run", resume=True, epochs=5, quiet=True)
    assert type(caught.value.diagnostics[0]).__name__ == "AnotherData"


def test_an_error_while_batches_are_fetched(
    spec: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told as it is, and the thread is gone."""
    in_files(monkeypatch)
    fetch, left = Stored.fetch, [60]

    def fails(self: Stored, rows: object, looked: object) -> object:
        if threading.current_thread() is not threading.main_thread():
            left[0] -= 1
            if left[0] < 0:
                raise Refusal(UnreadableData("points.npz cannot be read any more", None))
        return fetch(self, rows, looked)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(Stored, "fetch", fails)
    with pytest.raises(Refusal, match="cannot be read any more"):
        dlc.train(spec(), output=tmp_path / "run", quiet=True)
    assert not any(thread.name == "batches" for thread in threading.enumerate())
