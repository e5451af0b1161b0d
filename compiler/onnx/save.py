"""ONNX models as files: whole or not at all, with one weight at a time in memory.

Files are on the disk before they get their name. Renaming alone protects against a process that ends, not against power
that fails: file systems may then keep the name and lose the numbers, and a model of zeros gives no error. Other
exporters do not wait for the disk; of a large model it is most of the time that ours takes.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from errno import EIO
from pathlib import Path
from typing import BinaryIO

from dlc.compiler.onnx.model import Model, Tensor
from dlc.compiler.onnx.wire import Place, properties, raw, write_model

_MAX_FILE = 2**31 - 1  # the bytes of a protobuf message
_SMALLEST = 1024  # the bytes from which on a tensor may lie beside the model: smaller ones can be parts of shapes
_PAGE = 4096  # at a multiple of which onnxruntime can map a tensor into memory
_JOINED = 2**20  # the bytes that are gathered before they are written
_PIECE = 2**22  # the bytes that are copied at once


def save_model(model: Model, path: Path) -> None:
    """Writes the model at once or not at all; weights that exceed a file's limit go to `<name>.data` beside it.

    Raises OSError.
    """
    with staged(model, path) as part:
        part.publish()


class Staged:
    """A model that is written to a folder beside its place, under the name that it will have.

    path: where it is now.
    """

    def __init__(self, path: Path, final: Path) -> None:
        self.path = path
        self._final = final

    def tell(self, metadata: Mapping[str, str]) -> None:
        """Adds to the model's metadata. Raises OSError."""
        with self.path.open("ab") as file:  # messages that are joined are one message
            file.write(properties(metadata))

    def publish(self) -> None:
        """Puts the model, and the weights beside it, in the place of those that are there. Raises OSError."""
        names = [name for name in (_beside(self._final.name), self._final.name) if self.path.with_name(name).exists()]
        replaced: list[tuple[Path, Path]] = []
        try:
            for name in names:
                target = self._final.with_name(name)
                if target.exists() and name != names[-1]:
                    kept = self.path.with_name(f"{name}.before")
                    os.replace(target, kept)
                    replaced.append((kept, target))
                os.replace(self.path.with_name(name), target)
        except OSError:
            for kept, target in replaced:
                os.replace(kept, target)
            raise


@contextmanager
def staged(model: Model, path: Path) -> Generator[Staged]:
    """The model, written beside its place; what is not published is gone at the end. Raises OSError."""
    folder = path.with_name(f".{path.name}.{os.getpid()}.part")
    folder.mkdir()
    try:
        _write(model, folder / path.name)
        yield Staged(folder / path.name, path)
    finally:
        shutil.rmtree(folder)


def _write(model: Model, path: Path) -> None:
    message = write_model(model)
    if message.size > _MAX_FILE:
        places = _layout(model, _beside(path.name))
        message = write_model(model, places)
        with path.with_name(_beside(path.name)).open("wb", buffering=_JOINED) as file:
            for tensor, place in places.items():
                file.seek(place.offset)
                _numbers(tensor, file)
            _flush(file)
    with path.open("wb", buffering=_JOINED) as file:
        for part in message.parts:
            if isinstance(part, bytes):
                file.write(part)
            else:
                _numbers(part, file)
        _flush(file)


def _layout(model: Model, location: str) -> dict[Tensor, Place]:
    """Where each tensor lies in the file beside the model, one behind the other."""
    places: dict[Tensor, Place] = {}
    end = 0
    for value in model.graph.initializers:
        if value.tensor is not None and value.tensor.nbytes >= _SMALLEST:
            start = -(-end // _PAGE) * _PAGE
            end = start + value.tensor.nbytes
            places[value.tensor] = Place(location, start, value.tensor.nbytes)
    return places


def _numbers(tensor: Tensor, file: BinaryIO) -> None:
    """Writes a tensor's numbers. Those that lie in a file are copied from there by pieces, without being loaded."""
    if tensor.source is None:
        file.write(raw(tensor))
        return
    piece = memoryview(bytearray(min(_PIECE, tensor.nbytes)))
    left = tensor.nbytes
    stored = tensor.source.file
    stored.seek(tensor.source.offset)
    while left:
        count = stored.readinto(piece[: min(left, _PIECE)])
        if not count:
            raise OSError(EIO, "the file of the weights has become shorter")
        file.write(piece[:count])
        left -= count


def _flush(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _beside(name: str) -> str:
    """The name of the file with a model's weights."""
    return f"{name}.data"
