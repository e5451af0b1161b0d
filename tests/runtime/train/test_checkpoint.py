"""Checkpoints appear whole or not at all."""

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from dlc.runtime import files
from dlc.runtime.train import checkpoint as module
from dlc.runtime.train.checkpoint import Checkpoint, Checkpoints


def made(number: int) -> Checkpoint:
    return Checkpoint({"w": torch.full((3,), float(number))}, {"m": torch.tensor([number])}, {"number": number})


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.load() == (None, [])
    checkpoints.save(made(1))
    found, damaged = checkpoints.load()
    assert damaged == []
    assert found is not None
    assert found.record == {"number": 1}
    assert torch.equal(found.model["w"], torch.ones(3))
    assert torch.equal(found.state["m"], torch.tensor([1]))


def test_the_last_two_are_kept_and_the_last_is_shown(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    for number in range(1, 12):
        checkpoints.save(made(number))
    assert sorted(entry.name for entry in (tmp_path / "checkpoints").iterdir()) == ["10", "11"]
    assert float(load_file(tmp_path / "model.safetensors")["w"][0]) == 11
    assert {entry.name for entry in tmp_path.iterdir()} == {
        "checkpoints",
        "model.safetensors",
        "state.safetensors",
        "state.json",
    }


def test_weights_that_share_memory_are_saved(tmp_path: Path) -> None:
    table = torch.arange(6.0)
    Checkpoints(tmp_path).save(Checkpoint({"a": table, "b": table[:3], "c": table.view(2, 3).T}, {}, {}))
    found = load_file(tmp_path / "model.safetensors")
    assert torch.equal(found["c"], table.view(2, 3).T)


class Crash(BaseException):
    """The process dies here."""


def crashing(monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """Dies at the `after`-th time that a file or folder is touched."""
    left = [after]

    def dying(function: Any) -> Any:
        def call(*arguments: Any, **named: Any) -> Any:
            if left[0] == 0:
                raise Crash
            left[0] -= 1
            return function(*arguments, **named)

        return call

    for owner, name in [
        (os, "rename"),
        (os, "replace"),
        (os, "link"),
        (os, "fsync"),
        (shutil, "rmtree"),
        (Path, "mkdir"),
        (Path, "unlink"),
        (files, "open"),
        (module, "write_file"),
    ]:
        monkeypatch.setattr(owner, name, dying(getattr(owner, name, open)), raising=False)


@pytest.mark.parametrize("after", range(40))
def test_a_crash_at_any_moment_leaves_a_whole_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(made(1))
    checkpoints.save(made(2))
    with monkeypatch.context() as patch:
        crashing(patch, after)
        try:
            checkpoints.save(made(3))
            crashed = False
        except Crash:
            crashed = True
    found, damaged = Checkpoints(tmp_path).load()
    assert damaged == []
    assert found is not None
    number = found.record["number"]
    assert number in (2, 3) if crashed else number == 3
    assert found.model["w"].tolist() == [number] * 3
    assert found.state["m"].tolist() == [number]
    assert float(load_file(tmp_path / "model.safetensors")["w"][0]) in (2, 3)

    Checkpoints(tmp_path).save(made(4))
    after_all, _ = Checkpoints(tmp_path).load()
    assert after_all is not None
    assert after_all.record["number"] == 4
    assert float(load_file(tmp_path / "model.safetensors")["w"][0]) == 4
    assert not (tmp_path / "checkpoints/.writing").exists()


def test_crashes_were_met_at_every_operation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The range of the test above reaches beyond the last operation of a save."""
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(made(1))
    checkpoints.save(made(2))
    with monkeypatch.context() as patch:
        crashing(patch, 39)
        checkpoints.save(made(3))
    with monkeypatch.context() as patch:
        crashing(patch, 15)
        with pytest.raises(Crash):
            checkpoints.save(made(4))


@pytest.mark.parametrize("name", ["model.safetensors", "state.safetensors", "state.json", "complete.json"])
@pytest.mark.parametrize("damage", [b"", b"nonsense", None])
def test_a_damaged_file_is_told_and_the_checkpoint_before_it_taken(
    tmp_path: Path, name: str, damage: bytes | None
) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(made(1))
    checkpoints.save(made(2))
    path = tmp_path / "checkpoints/2" / name
    path.unlink()
    if damage is not None:
        path.write_bytes(damage)
    found, damaged = checkpoints.load()
    assert found is not None
    assert found.record["number"] == 1
    assert [error.path for error in damaged] == [path]
    checkpoints.put_aside([path.parent])
    assert float(load_file(tmp_path / "model.safetensors")["w"][0]) == 1
    checkpoints.save(made(3))
    assert sorted(entry.name for entry in (tmp_path / "checkpoints").iterdir()) == ["1", "2", "2.damaged"]
    assert checkpoints.load()[1] == []


def test_a_file_system_without_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise OSError("no links here")

    monkeypatch.setattr(os, "link", refuse)
    Checkpoints(tmp_path).save(made(1))
    assert float(load_file(tmp_path / "model.safetensors")["w"][0]) == 1
