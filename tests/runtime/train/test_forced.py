"""Going on with what is no longer as it was: refused, and taken where it is forced and can be."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from safetensors.torch import load_file

from dlc.grammar.diagnostics import Diagnostic, Refusal
from dlc.runtime.cli.group import commands
from dlc.runtime.train.run import Run
from dlc.runtime.train.session import Result
from dlc.runtime.train.start import start
from dlc.runtime.train.trainer import evaluate, train


def go_on(
    spec: Path,
    *,
    name: str = "Fit",
    overrides: Mapping[str, str] | None = None,
    notes: list[str] | None = None,
    **how: Any,
) -> Result:
    folder = spec.parent.parent / "run"
    program, chosen, run = start(
        spec,
        lambda program: program.trains[name],
        folder,
        overrides or {},
        resume=how.get("resume", False),
        force=how.get("force", False),
    )
    notice = [].append if notes is None else notes.append
    return train(chosen, program, run, overrides=overrides, quiet=True, device="cpu", notice=notice, **how)


def refusal(caught: pytest.ExceptionInfo[Refusal]) -> Diagnostic:
    (diagnostic,) = caught.value.diagnostics
    return diagnostic


def config(spec: Path) -> dict[str, Any]:
    return json.loads((spec.parent.parent / "run/config.json").read_text())


@pytest.fixture
def begun(spec: Path) -> Path:
    """A spec whose run was trained for 2 epochs, 20 steps."""
    go_on(spec, epochs=2)
    return spec


def test_another_learning_rate_is_taken_where_it_is_forced(begun: Path) -> None:
    begun.write_text(begun.read_text().replace("lr=1e-2", "lr=1e-3"))
    with pytest.raises(Refusal) as caught:
        go_on(begun, epochs=4, resume=True)
    assert refusal(caught).notes == ("changed since: spec.dl",)
    notes: list[str] = []
    assert go_on(begun, epochs=4, resume=True, force=True, notes=notes).steps == 40
    assert notes == ["forced: changed since: spec.dl"]
    run = Run.open(begun.parent.parent / "run")
    assert run.config.forced == ["step 20: changed since: spec.dl"]
    assert (run.folder / "spec.dl").read_text() == begun.read_text()
    assert run.spec.settings.optimizer.lr == 1e-3
    lines = run.metrics()
    assert [line["epoch"] for line in lines] == [1, 2, 3, 4]
    assert lines[0]["lr"] > 1e-3 > lines[2]["lr"]
    with pytest.raises(Refusal) as caught:  # it is the run's own now
        go_on(begun, resume=True)
    assert refusal(caught).code == "DL8007"


def test_overrides_are_forced_too(begun: Path) -> None:
    given = {"settings.clip_norm": "0.1"}
    assert go_on(begun, epochs=3, resume=True, force=True, overrides=given).steps == 30
    assert config(begun)["overrides"] == given
    assert go_on(begun, epochs=4, resume=True).steps == 40  # and hold from then on


def test_weights_of_another_shape_cannot_be_forced_and_nothing_is_lost(begun: Path) -> None:
    folder = begun.parent.parent / "run"
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and "tfevents" not in path.name}
    for text in (
        begun.read_text().replace("let width = 8", "let width = 9"),
        begun.read_text().replace("adamw", "sgd"),
    ):
        shutil.copy(begun, begun.with_suffix(".kept"))
        begun.write_text(text)
        with pytest.raises(Refusal) as caught:
            go_on(begun, epochs=4, resume=True, force=True)
        assert refusal(caught).code == "DL8009"
        assert {path: path.read_bytes() for path in before} == before
        shutil.move(begun.with_suffix(".kept"), begun)
    assert go_on(begun, epochs=3, resume=True).steps == 30


def test_other_data_is_taken_where_it_is_forced(begun: Path) -> None:
    with (begun.parent / "points.csv").open("a") as file:
        file.write("1,2,3,4\n" * 50)
    with pytest.raises(Refusal) as caught:
        go_on(begun, epochs=4, resume=True)
    assert refusal(caught).code == "DL6017"
    assert refusal(caught).notes == ("it had 200 examples, and has 250",)
    notes: list[str] = []
    result = go_on(begun, epochs=4, resume=True, force=True, notes=notes)
    assert notes == ["forced: the data is another; it had 200 examples, and has 250"]
    assert (result.epochs, result.steps) == (4, 20 + 2 * 13)
    assert set(evaluate(Run.open(begun.parent.parent / "run"), "valid", device="cpu")) == {"loss", "error"}


def test_another_number_of_processes_is_told(begun: Path) -> None:
    folder = begun.parent.parent / "run"
    document = config(begun)
    assert document["processes"] == 1
    (folder / "config.json").write_text(json.dumps({**document, "processes": 2}))
    notes: list[str] = []
    assert go_on(begun, epochs=4, resume=True, notes=notes).finished
    assert notes == ["processes: 2 in the run, 1 now: the last bits may differ"]
    assert config(begun)["processes"] == 1


def test_force_without_anything_to_force_changes_nothing(begun: Path) -> None:
    notes: list[str] = []
    go_on(begun, epochs=3, resume=True, force=True, notes=notes)
    assert notes == []
    assert config(begun)["forced"] == []


def test_another_train_block(begun: Path) -> None:
    text = begun.read_text()
    begun.write_text(
        text.replace("train Blow on", "train Other on").replace("mean(log(net(x) - 1000))", "mean(net(x) ** 2)")
    )
    with pytest.raises(Refusal) as caught:
        go_on(begun, name="Other", resume=True)
    assert refusal(caught).notes[0] == "the run trains Fit, and this is Other"
    go_on(begun, name="Other", resume=True, force=True, epochs=3)
    assert config(begun)["train"] == "Other"


def test_on_the_command_line(begun: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(begun.parent.parent)
    begun.write_text(begun.read_text().replace("epochs = 4", "epochs = 5"))
    given = ["train", "specs/line.dl:Fit", "-o", "run", "--device", "cpu", "-q", "--epochs", "3"]
    refused = CliRunner().invoke(commands, [*given, "--resume"])
    assert refused.exit_code == 1
    assert "--force goes on with this one" in refused.stderr
    assert CliRunner().invoke(commands, [*given, "--force"]).exit_code == 2
    forced = CliRunner().invoke(commands, [*given, "--resume", "--force"])
    assert forced.exit_code == 0, forced.stderr
    assert "note: forced: changed since: spec.dl" in forced.stderr
    assert load_file("run/model.safetensors")
    assert Run.open("run").spec.settings.epochs == 5
