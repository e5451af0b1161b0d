"""Where what is read from a source is kept: in memory up to a bound, and from then on in files without a name.

Such a file belongs to the process: it is gone with it, however it ends, and nobody else can change it. Its rows are
read through a map, of which memory holds no more than what was looked at last.
"""

from __future__ import annotations

import errno
import mmap
import os
import re
import shutil
import sys
import tempfile
import weakref
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from dlc.grammar.diagnostics import Refusal
from dlc.grammar.source import Span
from dlc.runtime.errors import TooMuchData

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import DTypeLike, NDArray

MEMORY = 512 * 2**20  # bytes that the data of a run may take up in memory
VARIABLE = "DLC_DATA_MEMORY"  # by which a user sets another bound, as in 8GiB
_SPARED = 2**30  # bytes that are left free on the disk
_MAPPED = 256 * 2**20  # bytes of files that may be in memory before they are given back
_LOOKS = 2**28  # bytes after which the disk is looked at again
_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


class Room:
    """Room for arrays. memory: how many bytes of all of them together are held; without, what the user says. span: of
    what is told when there is not enough of it."""

    def __init__(self, memory: int | None = None, span: Span | None = None) -> None:
        self._memory = memory_bound() if memory is None else memory
        self._span = span
        self._held = self._written = self._before = 0
        self._open: list[Column] = []
        self._maps: list[mmap.mmap] = []
        self.folder = _folder()

    @property
    def spilled(self) -> bool:
        """Whether anything is in a file."""
        return bool(self._maps)

    def column(self, dtype: DTypeLike, shape: tuple[int, ...] = (), *, stored: DTypeLike | None = None) -> Column:
        """An array that is made row by row, of whose rows each has this shape. stored: its type in a file, where that
        may be smaller."""
        import numpy as np

        made = Column(self, np.dtype(dtype), shape, np.dtype(dtype if stored is None else stored))
        self._open.append(made)
        return made

    def require(self, size: int, title: str) -> None:
        """Refuses, before anything is read, what neither memory nor the disk has room for. size: in bytes."""
        free = _free(self.folder)
        if size > max(self._memory, free):
            told = f"{title} would take up {_gigabytes(size)}, and {self.folder} has {_gigabytes(free)} to spare"
            help = "name a folder with more room by the environment variable TMPDIR"
            raise Refusal(TooMuchData(told, self._span, help=help))

    def require_memory(self, size: int, title: str) -> None:
        """Refuses what cannot but be held, and is larger than memory may be."""
        if size > self._memory:
            told = f"{title} would take up {_gigabytes(size)} of memory, and at most {_gigabytes(self._memory)} may be"
            help = f"the environment variable {VARIABLE} gives it more, as in {VARIABLE}=8GiB"
            raise Refusal(TooMuchData(told, self._span, help=help))

    def release(self) -> None:
        """Gives back the memory that what was looked at in files takes up."""
        for map in self._maps:
            map.madvise(mmap.MADV_DONTNEED)

    def looked(self) -> None:
        """Gives back what files take up of memory where that has become much."""
        if self._maps and _mapped() > self._before + _MAPPED:
            self.release()

    # --- for columns ---

    def take(self, size: int) -> None:
        """Counts what a column holds; where that is too much, all that are being made go to files."""
        self._held += size
        if self._held > self._memory:
            for column in self._open:
                self._held -= column.spill()

    def done(self, column: Column, map: mmap.mmap | None) -> None:
        """A column has all its rows."""
        self._open.remove(column)
        if map is not None:
            if not self._maps:
                self._before = _mapped()
            self._maps.append(map)

    def wrote(self, size: int) -> None:
        """Counts what goes to files. Raises Refusal before the disk is full, which others may need."""
        self._written += size
        if self._written > _LOOKS:
            self._written = 0
            if not _free(self.folder):
                raise self.full(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))

    def new_file(self) -> IO[bytes]:
        """A file without a name."""
        return tempfile.TemporaryFile(prefix="dlc-", dir=self.folder)

    def full(self, error: OSError) -> Refusal:
        """What is told where the disk cannot take more."""
        reason = (error.strerror or str(error)).lower()
        help = "name a folder with more room by the environment variable TMPDIR"
        return Refusal(TooMuchData(f"{self.folder} cannot take what is read: {reason}", self._span, help=help))


class Column:
    """An array under way."""

    def __init__(self, room: Room, dtype: np.dtype[Any], shape: tuple[int, ...], stored: np.dtype[Any]) -> None:
        self._room, self.dtype, self.shape, self._stored = room, dtype, shape, stored
        self._pieces: list[NDArray[Any]] = []
        self._file: IO[bytes] | None = None
        self.count = 0

    def extend(self, rows: NDArray[Any]) -> None:
        """Appends rows: an array of them, or of nothing but their numbers. Raises Refusal where the disk is full."""
        import numpy as np

        given = np.ascontiguousarray(rows, self.dtype).reshape(-1, *self.shape)
        self.count += len(given)
        if self._file is not None:
            self._write(self._file, given)
            return
        self._pieces.append(given.copy() if given.base is not None or given is rows else given)
        self._room.take(given.nbytes)

    def spill(self) -> int:
        """Moves the rows to a file. Gives how many bytes of memory that spares."""
        if self._file is not None:
            return 0
        spared = sum(piece.nbytes for piece in self._pieces)
        self._file = self._room.new_file()
        weakref.finalize(self, self._file.close)  # where a source is refused before its end
        while self._pieces:
            self._write(self._file, self._pieces.pop(0))
        return spared

    def done(self) -> NDArray[Any]:
        """The array, of which there is nothing to come. It has one row at least."""
        import numpy as np

        if self._file is None:
            self._room.done(self, None)
            if len(self._pieces) == 1:
                return self._pieces[0]
            return np.concatenate(self._pieces) if self._pieces else np.empty((0, *self.shape), self.dtype)
        self._file.flush()
        map = mmap.mmap(self._file.fileno(), 0)
        self._file.close()
        self._room.done(self, map)
        return np.frombuffer(map, self._stored).reshape(-1, *self.shape)

    def _write(self, file: IO[bytes], rows: NDArray[Any]) -> None:
        import numpy as np

        try:
            file.write(rows.astype(self._stored, copy=False).reshape(-1).view(np.uint8).data)
        except OSError as error:
            raise self._room.full(error) from error
        self._room.wrote(rows.nbytes)


def memory_bound() -> int:
    """How many bytes of data a run holds in memory. Raises Refusal where the user's word for it is none."""
    told = os.environ.get(VARIABLE)
    if told is None:
        return MEMORY
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?([KMGT]?)(?:i?B)?", told.strip())
    if found is None:
        raise Refusal(TooMuchData(f"{VARIABLE} is a size, as in 8GiB, and this is {told}", None))
    return int(float(found[1]) * _UNITS[found[2]])


def _mapped() -> int:
    """The bytes of files that this process has mapped into memory; where nothing tells, more than may be."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[2]) * mmap.PAGESIZE
    except OSError:
        return sys.maxsize


def _free(folder: Path) -> int:
    """The bytes that a disk has to spare."""
    return max(0, shutil.disk_usage(folder).free - _SPARED)


def _folder() -> Path:
    """Where files without a name are made: on a disk, where /tmp may be memory itself."""
    lasting = Path("/var/tmp")
    if "TMPDIR" not in os.environ and lasting.is_dir() and os.access(lasting, os.W_OK):
        return lasting
    return Path(tempfile.gettempdir())


def _gigabytes(size: int) -> str:
    return f"{size / 2**30:.3g} GiB"
