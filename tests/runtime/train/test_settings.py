"""Settings at work in whole runs: two networks against each other, averages, intervals of checkpoints, other runs."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from dlc.grammar.diagnostics import Diagnostic, Refusal
from dlc.runtime.spec import read_checked
from dlc.runtime.train import trainer
from dlc.runtime.train.run import Run, weights_of_run
from dlc.runtime.train.trainer import Result, evaluate, train

SPEC = """
data Points:
    source = csv("points.csv")
    x: float[2] = stack(a, b)
    split = (train=0.8, valid=0.2)

model Generator(z: float[N, 4]) -> (x: float[N, 2]):
    return z -> linear(16) -> batch_norm -> relu -> linear(2)

model Judge(x: float[N, 2]) -> (score: float[N]):
    return x -> linear(16) -> relu -> dropout(0.1) -> linear(1) -> squeeze(1)

train Gan on Points:
    G = Generator()
    D = Judge()
    settings:
        batch = 16
        epochs = 3
        optimizer = adam(lr=2e-3, betas=(0.5, 0.999))
        accumulate = 2
        clip_norm = 1
        average = ema(0.9)
        schedule = plateau(factor=0.5, patience=0, on="valid gap")
        checkpoint = (steps=1, keep=3)
    step:
        fake = G(normal(N, 4))
        minimize mean(softplus(-D(x))) + mean(softplus(D(stop(fake)))) over D
        minimize mean(softplus(-D(fake))) over G using sgd(lr=0.05, momentum=0.5)
        report gap = mean(D(x)) - mean(D(stop(fake)))

train Judged on Points:
    D = Judge() from "ORIGIN"
    settings:
        batch = all
        epochs = 1
        optimizer = sgd(lr=1e-9)
    step:
        minimize mean(D(x) ** 2)

train Taught on Points:
    D = Judge() from "ORIGIN"
    G = Generator()
    settings:
        batch = all
        epochs = 2
        optimizer = sgd(lr=0.1)
    step:
        minimize mean(softplus(-D(G(normal(N, 4))))) over G

train Half on Points:
    D = Judge()
    settings:
        epochs = 1
        precision = "fp16"
    step:
        minimize mean(D(x) ** 2)
"""


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    return written(tmp_path)


def written(folder: Path) -> Path:
    points = np.random.default_rng(0).normal(size=(120, 2))
    np.savetxt(folder / "points.csv", points, delimiter=",", header="a,b", comments="")
    (folder / "gan.dl").write_text(SPEC.replace("ORIGIN", str(folder / "base")))
    return folder / "gan.dl"


def trained(spec: Path, folder: Path, name: str = "Gan", **named: Any) -> Result:
    program = read_checked(spec)
    run = Run.open(folder) if (folder / "config.json").exists() else Run.create(folder, program, program.trains[name])
    return train(program.trains[name], program, run, **{"quiet": True, "device": "cpu", **named})


def refusal(caught: pytest.ExceptionInfo[Refusal]) -> Diagnostic:
    (diagnostic,) = caught.value.diagnostics
    return diagnostic


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("whole")
    trained(written(folder), folder / "run")
    return outcome(folder / "run")


def outcome(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in ("model.safetensors", "state.safetensors", "metrics.jsonl")}


def test_averages_are_saved_and_measured_and_the_weights_are_kept(spec: Path, tmp_path: Path) -> None:
    result = trained(spec, tmp_path / "run")
    model, state = load_file(tmp_path / "run/model.safetensors"), load_file(tmp_path / "run/state.safetensors")
    own = {name.removeprefix("own."): value for name, value in state.items() if name.startswith("own.")}
    assert own.keys() == model.keys()
    assert not torch.equal(own["G.linear.weight"], model["G.linear.weight"])
    run = Run.open(tmp_path / "run")
    assert evaluate(run, "valid", device="cpu") == result.parts["valid"]
    assert (weights_of_run(run, "G")["linear.weight"] == model["G.linear.weight"].numpy()).all()


def test_checkpoints_come_and_go_as_the_settings_say(spec: Path, tmp_path: Path) -> None:
    trained(spec, tmp_path / "run", epochs=1)
    kept = sorted(int(entry.name) for entry in (tmp_path / "run/checkpoints").iterdir())
    assert kept == [5, 6, 7]  # six steps, and the end of the epoch


@pytest.mark.parametrize("interval", ["(epochs=2, keep=9)", "(steps=5, keep=9)", "(minutes=10, keep=9)", "(keep=9)"])
def test_intervals(spec: Path, tmp_path: Path, interval: str) -> None:
    spec.write_text(spec.read_text().replace("(steps=1, keep=3)", interval))
    trained(spec, tmp_path / "run", epochs=4)
    due = {"(epochs=2, keep=9)": 2, "(steps=5, keep=9)": 5, "(minutes=10, keep=9)": 1, "(keep=9)": 1}
    assert len(list((tmp_path / "run/checkpoints").iterdir())) == due[interval]


class Death(BaseException):
    """The process dies here."""


MOMENTS = range(1, 24) if os.environ.get("DLC_LONG") else (2, 3, 9, 16, 23)


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_training_that_died_ends_as_if_it_had_not(
    spec: Path, tmp_path: Path, whole: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, moment: int
) -> None:
    save, left = trainer.Run.writing, [moment]

    def dying(self: Run) -> Any:
        left[0] -= 1
        if left[0] == 0:
            raise Death
        return save(self)

    with monkeypatch.context() as patch:
        patch.setattr(trainer.Run, "writing", dying)
        with pytest.raises(Death):
            trained(spec, tmp_path / "run")
    torch.manual_seed(1234)
    assert trained(spec, tmp_path / "run", resume=True).finished
    assert outcome(tmp_path / "run") == whole


SCRIPT = """
import sys
from pathlib import Path
from dlc.runtime.spec import read_checked
from dlc.runtime.train.run import Run
from dlc.runtime.train.trainer import train
folder = Path(sys.argv[2])
program = read_checked(sys.argv[1])
spec = program.trains["Gan"]
run = Run.open(folder) if (folder / "config.json").exists() else Run.create(folder, program, spec)
train(spec, program, run, resume=True, quiet=True, device="cpu")
"""


@pytest.mark.parametrize("seed", range(20 if os.environ.get("DLC_LONG") else 1))
def test_a_killed_process_leaves_a_run_that_goes_on(
    spec: Path, tmp_path: Path, whole: dict[str, bytes], seed: int
) -> None:
    draw, folder = random.Random(seed), tmp_path / "run"
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, str(spec), str(folder)])
    due = folder / "checkpoints" / str(draw.randint(1, 15))
    deadline = time.monotonic() + 60
    while not due.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.0005)
    time.sleep(draw.uniform(0, 0.01))
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert trained(spec, folder, resume=True).finished
    assert outcome(folder) == whole


# --- other runs, other machines ---------------------------------------------------------------------------------


def test_weights_from_another_run(spec: Path, tmp_path: Path) -> None:
    with pytest.raises(Refusal) as caught:
        trained(spec, tmp_path / "tuned", "Judged")
    assert refusal(caught).code == "DL8017"
    assert refusal(caught).notes == (f"there is no folder {tmp_path / 'base'}",)
    trained(spec, tmp_path / "base", epochs=1)
    trained(spec, tmp_path / "tuned", "Judged", resume=True)
    base, tuned = load_file(tmp_path / "base/model.safetensors"), load_file(tmp_path / "tuned/model.safetensors")
    assert tuned.keys() == {name.removeprefix("D.") for name in base if name.startswith("D.")}
    for name, value in tuned.items():
        torch.testing.assert_close(value, base[f"D.{name}"])


def test_what_starts_from_a_run_may_stay_as_it_is(spec: Path, tmp_path: Path) -> None:
    trained(spec, tmp_path / "base", epochs=1)
    trained(spec, tmp_path / "taught", "Taught")
    base, taught = load_file(tmp_path / "base/model.safetensors"), load_file(tmp_path / "taught/model.safetensors")
    judge = [name for name in base if name.startswith("D.")]
    assert judge
    for name in judge:
        assert torch.equal(taught[name], base[name])


def test_fp16_needs_an_accelerator(spec: Path, tmp_path: Path) -> None:
    with pytest.raises(Refusal) as caught:
        trained(spec, tmp_path / "run", "Half")
    assert refusal(caught).code == "DL8011"
    assert refusal(caught).message == 'precision = "fp16" needs an NVIDIA or AMD GPU, and this is cpu'
