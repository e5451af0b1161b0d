"""Training a spec in its run, dying at any moment, going on."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from dlc.grammar.diagnostics import Diagnostic, Refusal
from dlc.runtime.spec import read_checked
from dlc.runtime.train import session, trainer
from dlc.runtime.train.checkpoint import Checkpoints
from dlc.runtime.train.loop import EpochEnded, Position, Stepped
from dlc.runtime.train.plan import of_run
from dlc.runtime.train.plan.choosing import SHORT
from dlc.runtime.train.progress import Bar, describe
from dlc.runtime.train.run import Run, weights_of_run
from dlc.runtime.train.session import Result
from dlc.runtime.train.task import Task
from dlc.runtime.train.trainer import evaluate, train


def trained(spec: Path, folder: Path, name: str = "Fit", **named: Any) -> Result:
    program = read_checked(spec)
    run = Run.open(folder) if (folder / "config.json").exists() else Run.create(folder, program, program.trains[name])
    return train(program.trains[name], program, run, **{"quiet": True, "device": "cpu", **named})


def refusal(caught: pytest.ExceptionInfo[Refusal]) -> Diagnostic:
    (diagnostic,) = caught.value.diagnostics
    return diagnostic


def outcome(folder: Path) -> tuple[bytes, str]:
    return (folder / "model.safetensors").read_bytes(), (folder / "metrics.jsonl").read_text()


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint after every step."""
    monkeypatch.setattr(session, "_EPOCH_SECONDS", 0.0)
    monkeypatch.setattr(session, "_STEP_SECONDS", 0.0)


def test_a_run_is_written(spec: Path, tmp_path: Path) -> None:
    result = trained(spec, tmp_path / "run", epochs=30)
    assert (result.finished, result.epochs, result.steps) == (True, 30, 300)
    lines = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == list(range(1, 31))
    assert lines[-1]["valid"]["error"] < 0.5 * lines[0]["valid"]["error"]
    assert result.parts == {"train": lines[-1]["train"], "valid": lines[-1]["valid"]}
    assert json.loads((tmp_path / "run/environment.json").read_text())["packages"]["torch"] == torch.__version__
    assert not list((tmp_path / "run").rglob("*.pkl")) + list((tmp_path / "run").rglob("*.pt"))


def test_what_is_measured_later_is_what_was_measured_then(spec: Path, tmp_path: Path) -> None:
    result = trained(spec, tmp_path / "run")
    run = Run.open(tmp_path / "run")
    assert evaluate(run, "valid", device="cpu") == result.parts["valid"]
    assert set(evaluate(run, "test", device="cpu")) == {"loss", "error"}
    with pytest.raises(Refusal) as caught:
        evaluate(run, "tset")
    assert (refusal(caught).code, refusal(caught).help) == ("DL6014", "did you mean `test`?")


def test_weights_have_the_paths_of_the_spec(spec: Path, tmp_path: Path) -> None:
    trained(spec, tmp_path / "run", epochs=1)
    run = Run.open(tmp_path / "run")
    module: Any = run.spec.instances["net"]
    due = {path: tuple(int(size) for size in weight.shape) for path, weight in module.graph.weights().items()}
    assert {path: value.shape for path, value in weights_of_run(run, "net").items()} == due


def test_process_wide_settings_are_put_back(spec: Path, tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGINT)
    trained(spec, tmp_path / "run", epochs=1)
    assert not torch.are_deterministic_algorithms_enabled()
    assert signal.getsignal(signal.SIGINT) is before


# --- going on ---------------------------------------------------------------------------------------------------


class Death(BaseException):
    """The process dies here."""


@pytest.fixture(scope="module")
def whole(another_spec: Path) -> tuple[bytes, str]:
    """What a training gives that nothing interrupts."""
    folder = another_spec.parent / "run"
    trained(another_spec, folder)
    return outcome(folder)


@pytest.mark.parametrize("moment", [0, 1, 7, 10, 11, 25])
def test_a_training_that_died_ends_as_if_it_had_not(
    spec: Path, tmp_path: Path, whole: tuple[bytes, str], monkeypatch: pytest.MonkeyPatch, eager: None, moment: int
) -> None:
    save, left = Checkpoints.save, [moment]

    def dying(self: Checkpoints, *arguments: Any) -> None:
        if left[0] == 0:
            raise Death
        left[0] -= 1
        save(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "save", dying)
        with pytest.raises(Death):
            trained(spec, tmp_path / "run")
    torch.manual_seed(1234)
    monkeypatch.setattr(session, "_STEP_SECONDS", 30.0)
    assert trained(spec, tmp_path / "run", resume=True).finished
    assert outcome(tmp_path / "run") == whole


SCRIPT = """
import sys
from pathlib import Path
from dlc.runtime.spec import read_checked
from dlc.runtime.train import session, trainer
from dlc.runtime.train.run import Run
session._STEP_SECONDS = session._EPOCH_SECONDS = 0.0
folder = Path(sys.argv[2])
program = read_checked(sys.argv[1])
spec = program.trains["Fit"]
run = Run.open(folder) if (folder / "config.json").exists() else Run.create(folder, program, spec)
print("training", flush=True)
trainer.train(spec, program, run, resume=True, quiet=True, device="cpu")
"""


def started(spec: Path, folder: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE"}
    arguments = [sys.executable, "-c", SCRIPT, str(spec), str(folder)]
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    if process.stdout.readline() != "training\n":
        process.kill()
        process.communicate()
        pytest.fail("the training did not start")
    return process


def test_a_killed_process_leaves_a_run_that_goes_on(spec: Path, tmp_path: Path, whole: tuple[bytes, str]) -> None:
    folder = tmp_path / "run"
    process = started(spec, folder)
    try:
        deadline = time.monotonic() + 60
        while not (folder / "checkpoints/3").exists() and time.monotonic() < deadline:
            time.sleep(0.001)
        time.sleep(random.Random(0).uniform(0, 0.01))
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert trained(spec, folder, resume=True).finished
    assert outcome(folder) == whole


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_training_stops_with_a_checkpoint(
    spec: Path, tmp_path: Path, whole: tuple[bytes, str], monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    rate: Callable[..., float] = trainer.Loop._rate

    def interrupting(self: trainer.Loop, step: int) -> float:
        if step == 23:
            signal.raise_signal(number)
        return rate(self, step)

    with monkeypatch.context() as patch:
        patch.setattr(trainer.Loop, "_rate", interrupting)
        result = trained(spec, tmp_path / "run")
    assert (result.finished, result.steps) == (False, 24)
    assert trained(spec, tmp_path / "run", resume=True).finished
    assert outcome(tmp_path / "run") == whole


def test_training_outside_of_the_main_thread(spec: Path, tmp_path: Path) -> None:
    found: list[Result] = []
    thread = threading.Thread(target=lambda: found.append(trained(spec, tmp_path / "run", epochs=1)))
    thread.start()
    thread.join()
    assert found[0].finished


def test_a_finished_run_is_finished(spec: Path, tmp_path: Path) -> None:
    trained(spec, tmp_path / "run")
    with pytest.raises(Refusal) as caught:
        trained(spec, tmp_path / "run", resume=True)
    assert refusal(caught).code == "DL8007"
    assert refusal(caught).message == f"{tmp_path / 'run'} is finished: it has been trained for 4 epochs, 40 steps"
    assert trained(spec, tmp_path / "run", resume=True, epochs=6).epochs == 6


def test_a_trained_run_is_not_trained_again_by_accident(spec: Path, tmp_path: Path) -> None:
    trained(spec, tmp_path / "run", epochs=1)
    with pytest.raises(Refusal) as caught:
        trained(spec, tmp_path / "run")
    assert refusal(caught).code == "DL8005"


@pytest.mark.parametrize("name", ["model.safetensors", "state.safetensors", "state.json", "complete.json"])
@pytest.mark.parametrize("damage", ["empty", "missing", "one bit"])
def test_a_damaged_checkpoint_is_told_and_skipped(
    spec: Path, tmp_path: Path, whole: tuple[bytes, str], monkeypatch: pytest.MonkeyPatch, name: str, damage: str
) -> None:
    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(session, "_STEP_SECONDS", 0.0)
        patch.setattr(trainer.Loop, "_rate", stopping_at(23, trainer.Loop._rate))
        trained(spec, folder)
    last, before = folder / "checkpoints/24", folder / "checkpoints/23"
    assert last.is_dir()
    path = last / name
    data = path.read_bytes()
    path.unlink()  # other links to it keep theirs
    if damage != "missing":
        path.write_bytes(b"" if damage == "empty" else data[:-9] + bytes([data[-9] ^ 1]) + data[-8:])
    told: list[str] = []
    result = trained(spec, folder, resume=True, notice=told.append)
    if damage == "one bit" and name == "complete.json":
        assert len(told) == 1
    (note,) = told
    assert note.startswith(f"skipped the checkpoint {last}: ")
    assert "damaged" in note
    assert before.name not in note
    assert (folder / "checkpoints/24.damaged").is_dir()
    assert result.finished
    assert outcome(folder) == whole


def stopping_at(step: int, rate: Callable[..., float]) -> Callable[..., float]:
    def interrupting(self: trainer.Loop, number: int) -> float:
        if number == step:
            signal.raise_signal(signal.SIGTERM)
        return rate(self, number)

    return interrupting


def test_a_run_whose_checkpoints_are_all_damaged(spec: Path, tmp_path: Path, eager: None) -> None:
    trained(spec, tmp_path / "run", epochs=1)
    for path in (tmp_path / "run/checkpoints").glob("*/state.safetensors"):
        path.unlink()
        path.write_bytes(b"")
    with pytest.raises(Refusal) as caught:
        trained(spec, tmp_path / "run", resume=True, epochs=2)
    assert refusal(caught).code == "DL8009"
    assert refusal(caught).message == f"no checkpoint of {tmp_path / 'run'} is whole"
    assert len(refusal(caught).notes) == 2
    assert len(list((tmp_path / "run/checkpoints").iterdir())) == 2


def test_lost_metrics_are_told(spec: Path, tmp_path: Path) -> None:
    trained(spec, tmp_path / "run", epochs=1)
    (tmp_path / "run/metrics.jsonl").write_text("")
    with pytest.raises(Refusal) as caught:
        trained(spec, tmp_path / "run", resume=True, epochs=2)
    assert refusal(caught).code == "DL8009"


def test_weights_of_other_shapes_are_told(spec: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    trained(spec, tmp_path / "run", epochs=1)
    path = tmp_path / "run/model.safetensors"
    weights = {name: value.clone() for name, value in load_file(path).items()}
    weights["linear.weight"] = torch.zeros(2, 2)
    del weights["linear.bias"]
    path.unlink()
    save_file(weights, path)
    with pytest.raises(Refusal) as caught:
        evaluate(Run.open(tmp_path / "run"), "valid", device="cpu")
    assert refusal(caught).code == "DL8009"
    assert refusal(caught).notes == (
        "`linear.bias` is missing",
        "`linear.weight` has the shape [2, 2], and [1, 8] is due",
    )


# --- what goes wrong --------------------------------------------------------------------------------------------


def test_a_loss_that_is_not_finite_stops_the_training(spec: Path, tmp_path: Path) -> None:
    with pytest.raises(Refusal) as caught:
        trained(spec, tmp_path / "run", "Blow")
    diagnostic = refusal(caught)
    assert diagnostic.code == "DL8010"
    assert diagnostic.message == "the loss is nan at step 1, in batch 1 of epoch 1"
    assert diagnostic.span is not None
    assert diagnostic.span.text == "minimize mean(log(net(x) - 1000))"
    assert diagnostic.notes == ("the outputs of all layers are finite", "the run has no checkpoint yet")


def test_a_step_that_pytorch_refuses(spec: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make = trainer.make_task

    def narrowed(*arguments: Any) -> Task:
        task = make(*arguments)
        parts = {part: {**fields, "x": fields["x"][:, :2]} for part, fields in task.parts.items()}
        return Task(task.instances, task.step, parts)

    monkeypatch.setattr(trainer, "make_task", narrowed)
    with pytest.raises(Refusal) as caught:
        trained(spec, tmp_path / "run")
    diagnostic = refusal(caught)
    assert diagnostic.code == "DL8016"
    assert diagnostic.message.startswith("step 1 failed: mat1 and mat2 shapes cannot be multiplied (16x2 and 3x8)")
    (note,) = diagnostic.notes
    assert note.startswith("in the emitted line: ")
    assert "linear(" in note


def test_an_early_stop_ends_with_the_best_weights(spec: Path, tmp_path: Path) -> None:
    text = 'epochs = 4\n        stop_early = (patience=3, on="valid error")'
    spec.write_text(spec.read_text().replace("epochs = 4", text).replace("lr=1e-2", "lr=0.3"))
    result = trained(spec, tmp_path / "run", epochs=60)
    run = Run.open(tmp_path / "run")
    errors = [line["valid"]["error"] for line in run.metrics()]
    best = errors.index(min(errors)) + 1
    assert result.best == best < result.epochs == best + 3 < 60
    assert evaluate(run, "valid", device="cpu")["error"] == min(errors)
    with pytest.raises(Refusal) as caught:
        trained(spec, tmp_path / "run", resume=True, epochs=80)
    assert refusal(caught).code == "DL8007"
    assert refusal(caught).notes == (f"it ended early, for nothing was better after epoch {best}",)


def test_an_unknown_device(spec: Path, tmp_path: Path) -> None:
    for name in ("gpu", "cuda:99"):
        with pytest.raises(Refusal) as caught:
            trained(spec, tmp_path / "run", device=name)
        assert refusal(caught).code == "DL8011"


def test_a_disk_that_cannot_be_written(spec: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device", "model.safetensors")

    monkeypatch.setattr("dlc.runtime.train.checkpoint.write_file", full)
    with pytest.raises(Refusal) as caught:
        trained(spec, tmp_path / "run", epochs=1)
    assert refusal(caught).code == "DL8013"
    assert refusal(caught).message == "model.safetensors cannot be written: no space left on device"


def test_a_plan_is_kept_and_taken_again(spec: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that goes on does not choose anew, and neither does one of the plan "plain"."""

    def stop(event: Stepped | EpochEnded, save: Callable[[], None]) -> None:
        if event.position.step == 12:
            os.kill(os.getpid(), signal.SIGINT)

    trained(spec, tmp_path / "run", watcher=stop)
    chosen = Run.open(tmp_path / "run").config.plan
    assert chosen is not None
    assert list(chosen["levers"]) == ["memory kept", "fused optimiser"]

    def refuse(*_: object) -> None:
        raise AssertionError("a plan was chosen")

    monkeypatch.setattr(of_run, "choose", refuse)
    trained(spec, tmp_path / "run", resume=True)
    assert Run.open(tmp_path / "run").config.plan == chosen
    plain = {"settings.plan": '"plain"'}
    given = read_checked(spec, plain)
    run = Run.create(tmp_path / "plain", given, given.trains["Fit"], plain)
    train(given.trains["Fit"], given, run, quiet=True, device="cpu")
    assert (run.config.plan or {})["levers"] == []


def test_a_run_goes_on_without_what_a_machine_has_not(spec: Path, tmp_path: Path) -> None:
    """And says so; the same of a plan that is none."""
    trained(spec, tmp_path / "run", epochs=1)
    config = json.loads((tmp_path / "run/config.json").read_text())
    config["plan"]["levers"].append("tape drive")
    (tmp_path / "run/config.json").write_text(json.dumps(config))
    told: list[str] = []
    trained(spec, tmp_path / "run", epochs=2, resume=True, notice=told.append)
    assert told == ["without tape drive, which this machine has not: the last bits may differ"]
    config["plan"] = {"levers": []}
    (tmp_path / "run/config.json").write_text(json.dumps(config))
    with pytest.raises(Refusal, match=r"the plan in .* is damaged"):
        evaluate(Run.open(tmp_path / "run"), "valid")


def test_lines_for_each_epoch(spec: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trained(spec, tmp_path / "run", quiet=False)
    plan, *lines = capsys.readouterr().out.splitlines()
    assert plan == f"plan: memory kept, fused optimiser; {SHORT}"
    assert len(lines) == 4
    assert lines[0].startswith("epoch 1/4  train: loss ")
    assert "  valid: loss " in lines[3]


def test_a_bar_on_a_terminal(
    spec: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    trained(spec, tmp_path / "run", quiet=False)
    assert "epoch 4/4" in capsys.readouterr().out


def test_what_an_epoch_shows() -> None:
    event = EpochEnded(Position(3, 0, 30), 0.1, {"train": {"loss": 0.5}, "valid": {}}, stopped=True, best=1)
    assert describe(event, 10) == "epoch  3/10  train: loss 0.5000  no better since epoch 1: stopped early"


@pytest.mark.parametrize(("loss", "shown"), [(None, False), (0.25, True)])
def test_a_bar_shows_the_loss_of_steps_that_have_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], loss: float | None, shown: bool
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    bar = Bar(10, 0, 1)
    bar._shown -= 1  # so that the next step is shown
    with bar:
        bar.stepped(Stepped(Position(0, 1, 1), loss, 8))
    assert ("loss 0.25" in capsys.readouterr().out) == shown
