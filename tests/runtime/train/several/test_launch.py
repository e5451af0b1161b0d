"""`dlc train --devices` and torchrun: one run whatever trained it, and the error of the process that failed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner

from dlc.runtime.cli.group import commands
from dlc.runtime.train.run import Run
from dlc.runtime.train.trainer import evaluate
from tests.runtime.train.several.specs import fit

LONG = bool(os.environ.get("DLC_LONG"))
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}
STEP = "guess = net(x)\n        minimize mse(guess, y)\n        report error = mean(abs(guess - y))"


def dlc(*arguments: str | Path, expects: int = 0, under: Sequence[str] = (), **more: str) -> tuple[str, str]:
    """What it wrote to stdout and stderr."""
    command = [*(under or [sys.executable, "-m"]), "dlc", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT | more, timeout=120, check=False)
    assert done.returncode == expects, done.stderr
    return done.stdout, done.stderr


def measures(run: Path) -> list[dict[str, Mapping[str, float]]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("launched")
    (folder / "spec.dl").write_text(fit(STEP, net="Plain").replace("steps = 50", "epochs = 4"))
    return folder


@pytest.fixture(scope="module")
def alone(folder: Path) -> Path:
    dlc("train", folder / "spec.dl", "-o", folder / "alone", "--device", "cpu")
    return folder / "alone"


def agree(run: Path, other: Path) -> None:
    assert len(measures(run)) == len(measures(other))
    for ours, theirs in zip(measures(run), measures(other), strict=True):
        for part in ("train", "valid"):
            assert ours[part] == pytest.approx(theirs[part], rel=1e-5)


def test_a_run_is_the_same_folder_and_goes_on_by_any_number_of_processes(folder: Path, alone: Path) -> None:
    spec, run = folder / "spec.dl", folder / "two"
    out, _ = dlc("train", spec, "-o", run, "--device", "cpu", "--devices", "2", "--epochs", "2")
    assert [line.split()[:2] for line in out.splitlines()[1:3]] == [["epoch", "1/2"], ["epoch", "2/2"]]
    assert Run.open(run).config.processes == 2
    _, told = dlc("train", spec, "-o", run, "--device", "cpu", "--resume", "--epochs", "3")
    assert "processes: 2 in the run, 1 now: the last bits may differ" in told
    _, told = dlc("train", spec, "-o", run, "--device", "cpu", "--resume", "--epochs", "4", "--devices", "2")
    assert "processes: 1 in the run, 2 now: the last bits may differ" in told
    agree(run, alone)
    names = {path.name.split(".")[0] for path in run.iterdir()}
    assert names == {path.name.split(".")[0] for path in alone.iterdir()}
    assert evaluate(Run.open(run), "valid", device="cpu") == pytest.approx(measures(run)[-1]["valid"])
    if LONG:
        dlc("export", run, "-o", folder / "two.onnx")


@pytest.mark.skipif(not LONG, reason="three processes more")
def test_torchrun_starts_the_same(folder: Path, alone: Path) -> None:
    under = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone", "-m"]
    out, _ = dlc("train", folder / "spec.dl", "-o", folder / "run", "--device", "cpu", "--json", under=under)
    assert json.loads(out)["finished"]
    agree(folder / "run", alone)


@pytest.mark.parametrize("options", [["--shard"], ["--devices", "2", "--verify-resume"], ["--devices", "0"]])
def test_options_that_make_no_sense(options: list[str], folder: Path) -> None:
    given = ["train", str(folder / "spec.dl"), "-o", str(folder / "none"), *options]
    assert CliRunner().invoke(commands, given).exit_code == 2
    assert not (folder / "none").exists()


def test_what_cannot_be_shared_is_refused_before_anything_is_trained(tmp_path: Path) -> None:
    (tmp_path / "spec.dl").write_text(fit("minimize sqrt(mse(net(x), y))", net="Plain"))
    arguments = ["train", tmp_path / "spec.dl", "-o", tmp_path / "run", "--device", "cpu"]
    _, told = dlc(*arguments, "--devices", "2", expects=1)
    assert told.count("error[DL8023]") == 1
    assert "here one example's result comes to depend on others" in told


def test_a_process_with_other_data_ends_the_training(folder: Path, tmp_path: Path) -> None:
    text = fit(STEP, net="Plain").replace("generate(150)", 'csv("points.csv")')
    text = text.replace(
        "x: float[3] = normal(3)", "x: float[3] = concat(reshape(a, 1), reshape(b, 1), reshape(c, 1), axis=0)"
    )
    for place, last in (("one", 4), ("two", 5)):
        (tmp_path / place).mkdir()
        (tmp_path / place / "spec.dl").write_text(text)
        rows = [f"{n},{n * n % 7},{last * n % 5}" for n in range(60)]
        (tmp_path / place / "points.csv").write_text("\n".join(["a,b,c", *rows]))
    more = {"WORLD_SIZE": "2", "DLC_STORE": str(tmp_path / "store"), "GLOO_SOCKET_IFNAME": "lo"}
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "dlc", "train", "spec.dl", "-o", str(tmp_path / "run"), "--device", "cpu"],
            cwd=tmp_path / place,
            env={**ENVIRONMENT, **more, "RANK": str(rank)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank, place in enumerate(("one", "two"))
    ]
    told = [process.communicate(timeout=60)[1] for process in started]
    assert [process.returncode for process in started] == [1, 1]
    assert all("DL8019" in each or "DL6017" in each for each in told), told


@pytest.mark.parametrize("rank", [0, 1] if LONG else [1])
def test_a_killed_process_ends_the_training_and_it_goes_on(rank: int, folder: Path, tmp_path: Path) -> None:
    spec = tmp_path / "spec.dl"
    spec.write_text(fit(STEP, net="Plain", settings="checkpoint = (steps=20)").replace("steps = 50", "steps = 100000"))
    command = [sys.executable, "-m", "dlc", "train", str(spec), "-o", str(tmp_path / "run"), "--devices", "2"]
    launched = subprocess.Popen(
        [*command, "--device", "cpu"], env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    until = time.monotonic() + 60
    while not (tmp_path / "run" / "state.json").exists():
        assert time.monotonic() < until
        assert launched.poll() is None, launched.communicate()
        time.sleep(0.05)
    os.kill(child(launched.pid, rank), signal.SIGKILL)
    died = time.monotonic()
    _, told = launched.communicate(timeout=40)
    assert time.monotonic() - died < 30
    assert launched.returncode == 1
    assert f"process {rank} of 2 was killed by SIGKILL" in told
    assert told.count("error[DL8024]") == told.count("error[") == 1, told
    assert "Traceback" not in told
    assert Run.open(tmp_path / "run").checkpoints.last() is not None


def child(launcher: int, rank: int) -> int:
    """The process that is number `rank` of those that another one started."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            except (FileNotFoundError, ProcessLookupError):
                continue
            if parent == launcher and f"RANK={rank}".encode() in (entry / "environ").read_bytes().split(b"\0"):
                return int(entry.name)
    raise AssertionError(f"no process is number {rank}")


def test_an_interrupt_stops_all_between_two_steps(tmp_path: Path) -> None:
    spec = tmp_path / "spec.dl"
    spec.write_text(fit(STEP, net="Plain", settings="checkpoint = (steps=20)").replace("steps = 50", "steps = 100000"))
    command = [sys.executable, "-m", "dlc", "train", str(spec), "-o", str(tmp_path / "run"), "--devices", "2"]
    launched = subprocess.Popen([*command, "--device", "cpu"], env=ENVIRONMENT, stdout=subprocess.PIPE, text=True)
    while not (tmp_path / "run" / "state.json").exists():
        assert launched.poll() is None
        time.sleep(0.05)
    launched.send_signal(signal.SIGINT)
    out, _ = launched.communicate(timeout=40)
    assert launched.returncode == 130
    assert "stopped after step" in out
