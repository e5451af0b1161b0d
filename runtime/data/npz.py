"""`npz(path)`: NumPy's archives of arrays, a column each."""

from __future__ import annotations

import math
import zipfile
import zlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

from dlc.compiler.program import Schema
from dlc.compiler.types import DType, Tensor
from dlc.grammar.diagnostics import Refusal
from dlc.runtime.data.room import Room
from dlc.runtime.data.source import FileSource, Table
from dlc.runtime.errors import BadArray, UnreadableData

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_BYTES = 2**22  # of an array that are read at a time
_ELEMENTS = {"f": DType.FLOAT, "i": DType.INT, "u": DType.INT, "b": DType.BOOL}
_WORDS = {"O": "objects, which are never read: they are pickles", "U": "text", "S": "text", "c": "complex numbers"}


@dataclass(frozen=True, slots=True)
class _Header:
    """What an array's header says of it."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fortran: bool

    @property
    def size(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


@dataclass(frozen=True)
class Npz(FileSource):
    """The arrays of a file. All floats are read as float, all ints as int."""

    def schema(self) -> Schema:
        headers = self._headers()
        if not headers:
            raise Refusal(UnreadableData(f"{self.path} holds no arrays", self.span))
        for name, header in headers.items():
            self._check(name, header)
        first, *others = headers
        count = headers[first].shape[0]
        for name in others:
            if headers[name].shape[0] != count:
                raise Refusal(
                    BadArray(
                        f"`{first}` and `{name}` of {self.path} have {count} and {headers[name].shape[0]} entries",
                        self.span,
                        help="axis 0 of each array counts the examples",
                    )
                )
        if count == 0:
            raise Refusal(UnreadableData(f"the arrays of {self.path} hold no examples", self.span))
        columns = {
            name: Tensor.of(*header.shape[1:], dtype=_ELEMENTS[header.dtype.kind]) for name, header in headers.items()
        }
        return Schema(columns, count)

    def load(self, columns: Collection[str], room: Room | None = None) -> Table:
        count = self.schema().count
        assert count is not None
        headers = self._headers()
        room = room or self.room()
        room.require(sum(headers[name].size for name in columns), self.path)
        try:
            with zipfile.ZipFile(self.require_file()) as archive:
                arrays = {name: self._array(archive, name, room) for name in columns}
        except OSError as error:
            raise self.cannot_open(error) from error
        except (ValueError, EOFError, zlib.error, zipfile.BadZipFile) as error:
            raise self._unreadable() from error
        return Table(arrays, count, lambda index: f"example {index + 1}")

    def _array(self, archive: zipfile.ZipFile, name: str, room: Room) -> NDArray[Any]:
        """An array, read a piece at a time. Raises Refusal, ValueError, EOFError, OSError or what an archive does."""
        import numpy as np

        with archive.open(f"{name}.npy") as file:
            header = _header(file, name)
            if header.fortran:
                # Its examples do not stand one behind the other.
                room.require_memory(header.size, self.path)
                numbers = np.frombuffer(file.read(header.size), header.dtype).reshape(header.shape[::-1]).T
                pieces = iter([np.ascontiguousarray(numbers)])
            else:
                pieces = _pieces(file, header)
            made = room.column(header.dtype.newbyteorder("="), header.shape[1:])
            for piece in pieces:
                if piece.dtype.kind == "u" and piece.size and piece.max() >= 2**63:
                    told = f"`{name}` of {self.path} holds {piece.max()}, too large for an int"
                    raise Refusal(BadArray(told, self.span))
                made.extend(piece)
        if made.count != header.shape[0]:
            told = f"`{name}` of {self.path} has {made.count} entries, and its header tells of {header.shape[0]}"
            raise Refusal(UnreadableData(told, self.span))
        return made.done()

    def _headers(self) -> Mapping[str, _Header]:
        path = self.require_file()
        headers: dict[str, _Header] = {}
        try:
            with zipfile.ZipFile(path) as archive:
                for entry in archive.namelist():
                    if entry.endswith(".npy"):
                        with archive.open(entry) as file:
                            headers[entry.removesuffix(".npy")] = _header(file, entry)
        except OSError as error:
            raise self.cannot_open(error) from error
        except (ValueError, EOFError, zlib.error, zipfile.BadZipFile, NotImplementedError) as error:
            raise self._unreadable() from error
        return headers

    def _unreadable(self) -> Refusal:
        help = "numpy.savez writes such a file"
        return Refusal(UnreadableData(f"{self.path} is not an archive of arrays", self.span, help=help))

    def _check(self, name: str, header: _Header) -> None:
        kind = header.dtype.kind
        if kind not in _ELEMENTS:
            due = "numbers or truth values are due"
            raise Refusal(
                BadArray(f"`{name}` of {self.path} holds {_WORDS.get(kind, str(header.dtype))}; {due}", self.span)
            )
        if not header.shape:
            raise Refusal(
                BadArray(f"`{name}` of {self.path} is a single number, and an entry for each example is due", self.span)
            )
        if not name.isidentifier():
            raise Refusal(BadArray(f"`{name}` of {self.path} is no name that a spec could use", self.span))


def _header(file: IO[bytes], entry: str) -> _Header:
    """The shape and the element type of an array, read without the array."""
    from numpy.lib import format

    version = format.read_magic(file)
    if version == (1, 0):
        shape, fortran, dtype = format.read_array_header_1_0(file)
    elif version == (2, 0):
        shape, fortran, dtype = format.read_array_header_2_0(file)
    else:  # structured arrays with names outside of Latin-1 are all that version 3 is for
        raise ValueError(f"{entry} has the format {version}")
    if min(shape, default=0) < 0:
        raise ValueError(f"{entry} has the shape {shape}")
    return _Header(shape, dtype, fortran and len(shape) > 1)


def _pieces(file: IO[bytes], header: _Header) -> Iterator[NDArray[Any]]:
    """The entries of an array in C's order, some at a time, as far as there are any."""
    import numpy as np

    each = header.size // header.shape[0]
    if not each:
        yield np.empty(header.shape, header.dtype)
        return
    at_once, left = max(1, _BYTES // each) * each, header.size
    while left and (data := file.read(min(at_once, left))):
        left -= len(data)
        yield np.frombuffer(data[: len(data) // each * each], header.dtype).reshape(-1, *header.shape[1:])
