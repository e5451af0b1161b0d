"""`idx(images, labels)`: the format of MNIST, an array of examples and one of labels, plain or in gzip."""

from __future__ import annotations

import gzip
import math
import zlib
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

from dlc.compiler.program import Schema
from dlc.compiler.types import DType, Tensor
from dlc.grammar.diagnostics import Refusal
from dlc.runtime.data.room import Room
from dlc.runtime.data.source import DataSource, FileSource, Table
from dlc.runtime.errors import BadArray, UnreadableData

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_GZIP = b"\x1f\x8b"
_BYTES = 2**22  # that are read at a time


@dataclass(frozen=True)
class Idx(DataSource):
    """The columns `images`, of the shape that its file gives, and `labels`: ints, or floats where the file has them."""

    images: str
    labels: str

    @property
    def title(self) -> str:
        return self.images

    def schema(self) -> Schema:
        images, labels = (file.header() for file in self._files())
        if images.shape[0] != labels.shape[0]:
            message = f"{self.images} has {images.shape[0]} examples, and {self.labels} {labels.shape[0]}"
            raise Refusal(BadArray(message, self.span))
        return Schema({"images": images.type, "labels": labels.type}, images.shape[0])

    def load(self, columns: Collection[str], room: Room | None = None) -> Table:
        count = self.schema().count
        assert count is not None
        images, labels = self._files()
        room = room or self.room()
        arrays = {name: (images if name == "images" else labels).array(room) for name in columns}
        return Table(arrays, count, lambda index: f"example {index + 1}")

    def _files(self) -> tuple[_File, _File]:
        return _File(self.span, self.folder, self.images), _File(self.span, self.folder, self.labels)


@dataclass(frozen=True, slots=True)
class _Header:
    """What a file says of its array."""

    code: str
    shape: tuple[int, ...]

    @property
    def type(self) -> Tensor:
        return Tensor.of(*self.shape[1:], dtype=DType.FLOAT if "f" in self.code else DType.INT)

    @property
    def size(self) -> int:
        return math.prod(self.shape) * int(self.code[-1])


@dataclass(frozen=True)
class _File(FileSource):
    """One of the two files, whose single column is its array."""

    def schema(self) -> Schema:
        header = self.header()
        return Schema({"array": header.type}, header.shape[0])

    def load(self, columns: Collection[str], room: Room | None = None) -> Table:
        array = self.array(room or self.room())
        return Table(dict.fromkeys(columns, array), len(array), lambda index: f"example {index + 1}")

    def header(self) -> _Header:
        """What the file says of its array. Raises Refusal."""
        with self._open() as file:
            return self._header(file)

    def array(self, room: Room) -> NDArray[np.generic]:
        """The array, of exactly as many bytes as the header says. Raises Refusal."""
        import numpy as np

        with self._open() as file:
            header = self._header(file)
            room.require(header.size, self.path)
            dtype = np.dtype(header.code)
            made = room.column(dtype.newbyteorder("="), header.shape[1:])
            each = header.size // header.shape[0]
            read, at_once = 0, max(1, _BYTES // each) * each
            while read < header.size and (data := self._read(file, min(at_once, header.size - read))):
                read += len(data)
                if len(data) % each == 0:
                    made.extend(np.frombuffer(data, dtype).reshape(-1, *header.shape[1:]))
            more = bool(self._read(file, 1))
        if read != header.size or more:
            found = "more" if more else f"{read}"
            message = f"{self.path} holds {found} bytes of data, and its header tells of {header.size}"
            raise Refusal(UnreadableData(message, self.span))
        return made.done()

    def _open(self) -> IO[bytes]:
        path: Path = self.require_file()
        try:
            with open(path, "rb") as file:
                packed = file.read(2) == _GZIP
            return cast(IO[bytes], gzip.open(path)) if packed else open(path, "rb")
        except OSError as error:
            raise self.cannot_open(error) from error

    def _header(self, file: IO[bytes]) -> _Header:
        magic = self._read(file, 4)
        if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in _TYPES or not 1 <= magic[3] <= 8:
            help = 'a file of MNIST, as in idx("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz")'
            raise Refusal(UnreadableData(f"{self.path} is not in the format of MNIST", self.span, help=help))
        sizes = self._read(file, 4 * magic[3])
        shape = tuple(int.from_bytes(sizes[place : place + 4]) for place in range(0, len(sizes), 4))
        if len(sizes) < 4 * magic[3] or 0 in shape:
            raise Refusal(UnreadableData(f"{self.path} holds no examples", self.span))
        return _Header(_TYPES[magic[2]], shape)

    def _read(self, file: IO[bytes], count: int) -> bytes:
        try:
            return file.read(count)
        except (OSError, EOFError, zlib.error) as error:
            raise Refusal(UnreadableData(f"{self.path} cannot be unpacked: {error}", self.span)) from error
