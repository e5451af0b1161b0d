"""The folder of a run, and what is said of one that is none."""

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from dlc import specs
from dlc.compiler.graph import weights_of
from dlc.grammar.diagnostics import Diagnostic, Refusal
from dlc.runtime.spec import read_checked
from dlc.runtime.train.run import Run, weights_of_run


def made(spec: Path, folder: Path, overrides: Mapping[str, str] | None = None) -> Run:
    program = read_checked(spec, overrides)
    return Run.create(folder, program, program.trains["Fit"], overrides)


def refusal(caught: pytest.ExceptionInfo[Refusal]) -> Diagnostic:
    (diagnostic,) = caught.value.diagnostics
    return diagnostic


def test_a_run_holds_its_spec_with_what_it_imports(spec: Path, tmp_path: Path) -> None:
    made(spec, tmp_path / "run")
    assert (tmp_path / "run/spec.dl").read_text() == spec.read_text()
    assert (tmp_path / "run/parts.dl").read_text() == (spec.parent / "parts.dl").read_text()
    config = json.loads((tmp_path / "run/config.json").read_text())
    assert (config["train"], config["seed"], config["overrides"]) == ("Fit", 0, {})
    shutil.copy(spec.parent / "points.csv", tmp_path / "run")
    assert set(read_checked(tmp_path / "run/spec.dl").trains) == {"Fit", "Blow"}


def test_a_run_reads_its_own_spec_with_its_overrides(spec: Path, tmp_path: Path) -> None:
    made(spec, tmp_path / "run", {"width": "5"})
    spec.unlink()
    weights = dict(weights_of(Run.open(tmp_path / "run").spec.instances))
    assert str(weights["net.linear.weight"].shape[1]) == "5"


def test_a_run_keeps_what_it_imports_from_the_standard_library(spec: Path, tmp_path: Path) -> None:
    spec.write_text(
        spec.read_text()
        .replace("from .parts import Hidden", "from std.transformer import FeedForward")
        .replace("Hidden(width)", "FeedForward(width)")
    )
    made(spec, tmp_path / "run")
    copy = tmp_path / "run/std.transformer.dl"
    assert copy.read_bytes() == (Path(specs.__file__).parent / "std/transformer.dl").read_bytes()
    train = Run.open(tmp_path / "run").spec
    assert train.name == "Fit"
    copy.write_text("block FeedForward(x: float[N, d], width: int) -> float[N, d]:\n    return x\n")
    with pytest.raises(Refusal) as caught:
        assert Run.open(tmp_path / "run").program
    assert refusal(caught).code == "DL8006"


def test_a_run_is_not_overwritten(spec: Path, tmp_path: Path) -> None:
    made(spec, tmp_path / "run")
    with pytest.raises(Refusal) as caught:
        made(spec, tmp_path / "run")
    assert refusal(caught).code == "DL8005"
    assert refusal(caught).message == f"{tmp_path / 'run'} holds a run already"


def test_other_files_are_not_mixed_with_a_run(spec: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run/thesis.txt").write_text("dear")
    with pytest.raises(Refusal) as caught:
        made(spec, tmp_path / "run")
    assert refusal(caught).code == "DL8005"


def test_a_file_is_no_folder_for_a_run(spec: Path, tmp_path: Path) -> None:
    (tmp_path / "run").write_text("")
    with pytest.raises(Refusal) as caught:
        made(spec, tmp_path / "run")
    assert refusal(caught).code == "DL8013"


def test_what_a_death_while_starting_left_is_no_obstacle(spec: Path, tmp_path: Path) -> None:
    made(spec, tmp_path / "run")
    (tmp_path / "run/config.json").rename(tmp_path / "run/.config.json.new")
    assert made(spec, tmp_path / "run").config.train == "Fit"


def test_a_folder_that_cannot_be_made(spec: Path) -> None:
    with pytest.raises(Refusal) as caught:
        made(spec, Path("/proc/nowhere/run"))
    assert refusal(caught).code == "DL8013"


def test_an_import_that_is_called_like_the_runs_own_spec(spec: Path, tmp_path: Path) -> None:
    shutil.copy(spec.parent / "parts.dl", spec.parent / "spec.dl")
    spec.write_text(spec.read_text().replace(".parts", ".spec"))
    with pytest.raises(Refusal) as caught:
        made(spec, tmp_path / "run")
    assert refusal(caught).help == "rename the imported file"


# --- opening ----------------------------------------------------------------------------------------------------


def test_there_is_no_such_folder(tmp_path: Path) -> None:
    with pytest.raises(Refusal) as caught:
        Run.open(tmp_path / "nothing")
    assert (refusal(caught).code, refusal(caught).message) == ("DL8004", f"there is no folder {tmp_path / 'nothing'}")


def test_a_folder_that_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(Refusal) as caught:
        Run.open(tmp_path)
    assert refusal(caught).code == "DL8004"
    assert refusal(caught).message == f"{tmp_path} is not a run: it has no config.json"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 1}', '{"format": 1, "files": 3}'])
def test_a_damaged_config(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(Refusal) as caught:
        Run.open(tmp_path)
    assert refusal(caught).code == "DL8009"


def test_a_run_of_another_version(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"format": 99}')
    with pytest.raises(Refusal) as caught:
        Run.open(tmp_path)
    assert refusal(caught).code == "DL8004"


def test_a_config_that_was_edited(spec: Path, tmp_path: Path) -> None:
    made(spec, tmp_path / "run")
    path = tmp_path / "run/config.json"
    path.write_text(path.read_text().replace('"Fit"', '"Blow"'))
    with pytest.raises(Refusal) as caught:
        Run.open(tmp_path / "run")
    assert refusal(caught).code == "DL8006"


@pytest.mark.parametrize("name", ["spec.dl", "parts.dl"])
@pytest.mark.parametrize("remove", [True, False])
def test_a_spec_that_was_edited(spec: Path, tmp_path: Path, name: str, remove: bool) -> None:
    made(spec, tmp_path / "run")
    path = tmp_path / "run" / name
    path.unlink() if remove else path.write_text(path.read_text() + "\nlet more = 1\n")
    with pytest.raises(Refusal) as caught:
        assert Run.open(tmp_path / "run").program
    assert refusal(caught).code == "DL8006"
    assert refusal(caught).message.startswith(f"{path} {'is missing' if remove else 'has been changed'}")


def test_line_ends_of_another_system_are_kept(spec: Path, tmp_path: Path) -> None:
    spec.write_bytes(spec.read_bytes().replace(b"\n", b"\r\n"))
    made(spec, tmp_path / "run")
    assert Run.open(tmp_path / "run").spec.name == "Fit"


def test_another_spec_is_told_in_what_it_differs(spec: Path, tmp_path: Path) -> None:
    run = made(spec, tmp_path / "run", {"width": "5"})
    program = read_checked(spec, {"width": "5"})
    run.check(program, program.trains["Fit"], {"width": "5"})

    (spec.parent / "parts.dl").write_text((spec.parent / "parts.dl").read_text().replace("0.1", "0.2"))
    program = read_checked(spec, {"width": "6"})
    with pytest.raises(Refusal) as caught:
        run.check(program, program.trains["Blow"], {"width": "6"})
    assert refusal(caught).code == "DL8006"
    assert refusal(caught).notes == (
        "the run trains Fit, and this is Blow",
        "changed since: parts.dl",
        "--set width: 5 in the run, 6 now",
    )


def test_a_folder_is_trained_in_once_at_a_time(spec: Path, tmp_path: Path) -> None:
    run = made(spec, tmp_path / "run")
    with run.locked(), pytest.raises(Refusal) as caught, Run.open(tmp_path / "run").locked():
        pytest.fail("two hold the lock")
    assert refusal(caught).code == "DL8008"
    with run.locked():
        assert run.metrics() == []


def test_a_run_without_weights(spec: Path, tmp_path: Path) -> None:
    run = made(spec, tmp_path / "run")
    with pytest.raises(Refusal) as caught:
        weights_of_run(run, "net")
    assert refusal(caught).code == "DL8012"


def test_weights_are_read_without_pytorch(spec: Path, tmp_path: Path) -> None:
    run = made(spec, tmp_path / "run")
    save_file({"linear.weight": np.ones((1, 8), np.float32)}, run.folder / "model.safetensors")
    code = (
        "import sys; from dlc.runtime.train.run import Run, weights_of_run;"
        "w = weights_of_run(Run.open(sys.argv[1]), 'net'); assert 'torch' not in sys.modules;"
        "print({name: value.shape for name, value in w.items()})"
    )
    done = subprocess.run([sys.executable, "-c", code, str(run.folder)], capture_output=True, text=True, check=True)
    assert done.stdout == "{'linear.weight': (1, 8)}\n"


def test_damaged_weights(spec: Path, tmp_path: Path) -> None:
    run = made(spec, tmp_path / "run")
    (run.folder / "model.safetensors").write_bytes(b"\0" * 100)
    with pytest.raises(Refusal) as caught:
        weights_of_run(run, "net")
    assert refusal(caught).code == "DL8009"
