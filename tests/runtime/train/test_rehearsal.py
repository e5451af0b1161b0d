"""A training is proved to go on as if nothing had stopped it; one that does not is told."""

import json
import random
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from dlc.grammar.diagnostics import Refusal
from dlc.runtime.cli.group import commands
from dlc.runtime.train.rehearsal import hashes, rehearse
from dlc.runtime.train.run import Run


@pytest.fixture(scope="module")
def trained(another_spec: Path) -> tuple[Run, dict[str, Any]]:
    """A run that was trained with the proof that it can be resumed."""
    folder = another_spec.parent / "runs"
    folder.mkdir()
    given = ["train", f"{another_spec}:Fit", "-o", str(folder / "line"), "--device", "cpu", "--verify-resume", "--json"]
    done = CliRunner().invoke(commands, given)
    assert done.exit_code == 0, done.stderr
    assert [entry.name for entry in folder.iterdir()] == ["line"]
    return Run.open(folder / "line"), json.loads(done.stdout)


def test_a_proof_names_the_steps_and_what_is_equal(trained: tuple[Run, dict[str, Any]]) -> None:
    run, told = trained
    proof = told["resumed"]
    assert 1 <= proof["saved"] <= proof["killed"] < proof["steps"] == 40
    assert proof["sha256"] == hashes(run.folder)
    assert set(proof["sha256"]) == {"model.safetensors", "state.safetensors", "state.json", "metrics.jsonl"}


def test_a_difference_is_told(trained: tuple[Run, dict[str, Any]]) -> None:
    run, _ = trained
    path = run.folder / "model.safetensors"
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(data[:-4] + b"\0\0\0\0")
    try:
        with pytest.raises(Refusal) as caught:
            rehearse(run, device="cpu", chance=random.Random(1))
    finally:
        path.unlink()
        path.write_bytes(data)
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == "DL8020"
    assert diagnostic.notes[0] == "they differ in model.safetensors"
    assert diagnostic.notes[1].startswith("`linear.weight` differs by up to ")


def test_it_starts_a_new_run(trained: tuple[Run, dict[str, Any]]) -> None:
    assert CliRunner().invoke(commands, ["train", "x.dl", "--resume", "--verify-resume"]).exit_code == 2
