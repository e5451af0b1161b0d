"""`npz(path)`: NumPy's archives of arrays, a column each."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dlc.compiler.program import Schema
from dlc.compiler.types import DType, Tensor
from dlc.grammar.diagnostics import Refusal
from dlc.runtime.data.source import FileSource, Table
from dlc.runtime.errors import BadArray, UnreadableData

if TYPE_CHECKING:
    import numpy as np

_ELEMENTS = {"f": DType.FLOAT, "i": DType.INT, "u": DType.INT, "b": DType.BOOL}
_WORDS = {"O": "objects, which are never read: they are pickles", "U": "text", "S": "text", "c": "complex numbers"}


@dataclass(frozen=True, slots=True)
class _Header:
    """What an array's header says of it."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]


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

    def load(self, columns: Collection[str]) -> Table:
        import numpy as np

        count = self.schema().count
        assert count is not None
        headers = self._headers()
        self.require_room(sum(math.prod(headers[name].shape) * headers[name].dtype.itemsize for name in columns))
        try:
            with np.load(self.file, allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in columns}
        except OSError as error:
            raise self.cannot_open(error) from error
        except (ValueError, zipfile.BadZipFile) as error:
            raise self._unreadable() from error
        for name, array in arrays.items():
            if array.dtype.kind == "u" and array.size and array.max() >= 2**63:
                raise Refusal(BadArray(f"`{name}` of {self.path} holds {array.max()}, too large for an int", self.span))
        return Table(arrays, count, lambda index: f"example {index + 1}")

    def _headers(self) -> Mapping[str, _Header]:
        path = self.require_file()
        headers: dict[str, _Header] = {}
        try:
            with zipfile.ZipFile(path) as archive:
                for entry in archive.namelist():
                    if entry.endswith(".npy"):
                        headers[entry.removesuffix(".npy")] = _header(archive, entry)
        except OSError as error:
            raise self.cannot_open(error) from error
        except (ValueError, zipfile.BadZipFile, NotImplementedError) as error:
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


def _header(archive: zipfile.ZipFile, entry: str) -> _Header:
    """The shape and the element type of an array, read without the array."""
    from numpy.lib import format

    with archive.open(entry) as file:
        version = format.read_magic(file)
        if version == (1, 0):
            shape, _, dtype = format.read_array_header_1_0(file)
        elif version == (2, 0):
            shape, _, dtype = format.read_array_header_2_0(file)
        else:  # structured arrays with names outside of Latin-1 are all that version 3 is for
            raise ValueError(f"{entry} has the format {version}")
    return _Header(shape, dtype)
