"""Checkpoints: the state of a training in files that appear together or not at all.

Each is a folder `checkpoints/<number>` of three files: `model.safetensors` (the weights), `state.safetensors` (the
optimiser, random states) and `state.json` (the position); and a fourth that says that they are complete,
`complete.json`, with a hash of each. It is written under another name, seen to the disk and then renamed, so that
whatever has a number was whole, whenever the process died; what a disk or a person did to it later, the hashes tell.
The run's own folder shows the files of the last one.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlc.runtime.files import sync_folder, write_file

if TYPE_CHECKING:
    from torch import Tensor

MODEL, STATE, RECORD, COMPLETE = "model.safetensors", "state.safetensors", "state.json", "complete.json"
_WRITING, _DAMAGED = ".writing", ".damaged"


Write = Callable[[Path, "Mapping[str, Tensor]"], str]


class BrokenCheckpointError(Exception):
    """A file of a checkpoint cannot be read."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The weights by their paths, other tensors by name, and what JSON can hold."""

    model: Mapping[str, Tensor]
    state: Mapping[str, Tensor]
    record: Mapping[str, Any]


class Checkpoints:
    """The checkpoints of a run, the last few of which are kept."""

    def __init__(self, run: Path) -> None:
        self._run = run
        self._folder = run / "checkpoints"

    def save(self, checkpoint: Checkpoint, keep: int = 2, write: Write | None = None) -> None:
        """Adds a checkpoint, of which the last `keep` remain. OSError where it cannot be written: those before it
        remain. write: writes a file of tensors, by default all at once, and gives its hash."""
        write = write or _write_tensors
        numbers = self._numbers()
        writing = self._folder / _WRITING
        if writing.exists():  # left behind by a process that died
            shutil.rmtree(writing)
        writing.mkdir(parents=True)
        tensors = {MODEL: checkpoint.model, STATE: checkpoint.state}
        hashes = {name: write(writing / name, each) for name, each in tensors.items()}
        record = json.dumps(checkpoint.record, indent=1, allow_nan=False).encode()
        write_file(writing / RECORD, record)
        hashes[RECORD] = _hash(record)
        write_file(writing / COMPLETE, json.dumps({"sha256": hashes}, indent=1).encode())
        sync_folder(writing)
        place = self._folder / str(numbers[-1] + 1 if numbers else 1)
        os.rename(writing, place)
        sync_folder(self._folder)
        self._show(place)
        for number in numbers[: len(numbers) + 1 - keep]:
            shutil.rmtree(self._folder / str(number))

    def load(self) -> tuple[Checkpoint | None, list[BrokenCheckpointError]]:
        """The newest checkpoint that is whole, if there is one, and what is wrong with each newer one."""
        damaged: list[BrokenCheckpointError] = []
        for number in reversed(self._numbers()):
            try:
                return read_checkpoint(self._folder / str(number)), damaged
            except BrokenCheckpointError as error:
                damaged.append(error)
        return None, damaged

    def put_aside(self, damaged: Sequence[Path]) -> None:
        """Takes damaged checkpoints out of the count, and shows the last of the others. OSError where that fails."""
        for folder in damaged:
            aside = folder.with_suffix(_DAMAGED)
            if aside.exists():
                shutil.rmtree(aside)
            os.rename(folder, aside)
        sync_folder(self._folder)
        place = self.last()
        if place is not None:
            self._show(place)

    def last(self) -> Path | None:
        """The folder of the last checkpoint."""
        numbers = self._numbers()
        return self._folder / str(numbers[-1]) if numbers else None

    def _numbers(self) -> list[int]:
        if not self._folder.is_dir():
            return []
        return sorted(int(entry.name) for entry in self._folder.iterdir() if entry.name.isdecimal())

    def _show(self, place: Path) -> None:
        """Shows a checkpoint's files in the run's folder, each replaced at once, so that a reader finds whole ones."""
        for name in (STATE, RECORD, MODEL):
            beside = self._run / f".{name}.new"
            beside.unlink(missing_ok=True)
            try:
                os.link(place / name, beside)
            except OSError:  # a file system without links
                shutil.copyfile(place / name, beside)
            os.replace(beside, self._run / name)
        sync_folder(self._run)


def read_checkpoint(folder: Path) -> Checkpoint:
    """The checkpoint in a folder, every byte of it as it was written. Raises BrokenCheckpointError."""
    hashes = read_record(folder / COMPLETE).get("sha256")
    for name in (MODEL, STATE, RECORD):
        try:
            found = _hash((folder / name).read_bytes())
        except OSError as error:
            raise BrokenCheckpointError(folder / name, _reason(error)) from error
        if not isinstance(hashes, dict) or hashes.get(name) != found:  # pyright: ignore[reportUnknownMemberType]
            raise BrokenCheckpointError(folder / name, "its bytes are not those that were written")
    return Checkpoint(read_tensors(folder / MODEL), read_tensors(folder / STATE), read_record(folder / RECORD))


def read_record(path: Path) -> dict[str, Any]:
    """A file of JSON that holds an object. Raises BrokenCheckpointError."""
    try:
        record: Any = json.loads(path.read_bytes())
    except OSError as error:
        raise BrokenCheckpointError(path, _reason(error)) from error
    except ValueError as error:
        raise BrokenCheckpointError(path, str(error)) from error
    if not isinstance(record, dict):
        raise BrokenCheckpointError(path, "an object is due")
    return record  # pyright: ignore[reportUnknownVariableType]


def read_tensors(path: Path) -> dict[str, Tensor]:
    """A file of tensors. Raises BrokenCheckpointError."""
    from safetensors import SafetensorError, torch

    try:
        return torch.load_file(path)  # pyright: ignore[reportUnknownMemberType]
    except OSError as error:
        raise BrokenCheckpointError(path, _reason(error)) from error
    except SafetensorError as error:
        raise BrokenCheckpointError(path, str(error)) from error


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> str:
    from safetensors.torch import save

    data = save(_compact(tensors))
    write_file(path, data)
    return _hash(data)


def _compact(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors as a file holds them: in memory of their own, of the host."""
    return {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in tensors.items()}
