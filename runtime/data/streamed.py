"""Examples that are read from files as they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dlc.runtime.data.examples import Batch, Examples
from dlc.runtime.data.room import Room

if TYPE_CHECKING:
    from dlc.runtime.data.examples import Rows

_ROWS = 64  # that are looked at before what was mapped is counted: the system maps up to 2 MiB around each
_SMALL = 64 * 2**20  # bytes of a field of which all may be mapped


@dataclass(frozen=True, slots=True)
class Stored:
    """A field of all examples as it is kept, maybe in a smaller type than it has."""

    values: Tensor
    dtype: torch.dtype

    def fetch(self, rows: Rows, looked: Callable[[], None]) -> Tensor:
        """The field of some examples, in memory and in its own type. looked: is called after every few of them."""
        kept = self.values
        bits: NDArray[Any] = (kept.view(torch.int16) if kept.dtype is torch.bfloat16 else kept).numpy()
        if isinstance(rows, slice):
            found = bits[rows].copy()
        elif kept.untyped_storage().nbytes() <= _SMALL:
            found = _taken(bits, rows)
        else:
            found = np.empty((len(rows), *bits.shape[1:]), bits.dtype)
            for start in range(0, len(rows), _ROWS):
                found[start : start + _ROWS] = _taken(bits, rows[start : start + _ROWS])
                looked()
        looked()
        taken = torch.as_tensor(found)
        return (taken.view(torch.bfloat16) if kept.dtype is torch.bfloat16 else taken).to(self.dtype)

    @property
    def size(self) -> int:
        """The bytes of one example."""
        return self.values[0].numel() * self.dtype.itemsize


class Streamed(Examples):
    """Examples of which some fields are in files.

    chosen: which of those that are stored they are, in order; a slice, or the numbers of them.
    """

    held = False

    def __init__(
        self, stored: Mapping[str, Stored], chosen: Rows, room: Room, device: torch.device | None = None
    ) -> None:
        self._stored = dict(stored)
        self._chosen = chosen
        self._room = room
        self._device = device or torch.device("cpu")

    def __getitem__(self, name: str) -> Tensor:
        return self._stored[name].fetch(self._chosen, self._room.looked).to(self._device)

    def __iter__(self) -> Iterator[str]:
        return iter(self._stored)

    def __len__(self) -> int:
        return len(self._stored)

    @property
    def count(self) -> int:
        return _length(self._chosen)

    @property
    def device(self) -> torch.device:
        return self._device

    @property
    def size(self) -> int:
        return sum(stored.size for stored in self._stored.values())

    def fetch(self, rows: Rows) -> Batch:
        chosen = _within(self._chosen, rows)
        looked = self._room.looked
        return {name: stored.fetch(chosen, looked).to(self._device) for name, stored in self._stored.items()}

    def to(self, device: torch.device) -> Streamed:
        return Streamed(self._stored, self._chosen, self._room, device)

    def arrays(self) -> Mapping[str, Any]:
        return {name: _Column(self, name) for name in self._stored}

    def column(self, name: str, rows: slice) -> NDArray[Any]:
        """A field of some examples."""
        chosen = _within(self._chosen, rows)
        return self._stored[name].fetch(chosen, self._room.looked).numpy()


class _Column:
    """A field as an array, whose rows are read as they are looked at."""

    def __init__(self, examples: Streamed, name: str) -> None:
        self._examples, self._name = examples, name

    def __len__(self) -> int:
        return self._examples.count

    def __getitem__(self, rows: slice) -> NDArray[Any]:
        return self._examples.column(self._name, rows)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[0 : len(self)], dtype)


def _taken(bits: NDArray[Any], rows: NDArray[np.int64]) -> NDArray[Any]:
    """Some rows; of what overlaps, `take` would copy all before it takes some."""
    return bits.take(rows, axis=0) if bits.flags.c_contiguous else bits[rows]


def _length(rows: Rows) -> int:
    return rows.stop - rows.start if isinstance(rows, slice) else len(rows)


def _within(chosen: Rows, rows: Rows) -> Rows:
    """Some rows of those that are chosen."""
    if not isinstance(chosen, slice):
        return chosen[rows]
    if not isinstance(rows, slice):
        return rows + chosen.start
    start, stop, _ = rows.indices(_length(chosen))
    return slice(chosen.start + start, chosen.start + max(start, stop))
