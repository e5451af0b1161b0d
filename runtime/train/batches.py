"""The batches of an epoch, and the share of each process in them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dlc.runtime.data.examples import Rows
    from dlc.runtime.train.order import EpochOrder


class Batches(Sequence[tuple[int, int]]):
    """The bounds of an epoch's batches within its order. The last may be smaller, except that a single example that is
    left joins the batch before: what normalises over a batch needs two."""

    def __init__(self, count: int, size: int) -> None:
        self._count, self._size = count, size
        left = count % size
        joins = left == 1 and size > 1 and count > size
        self._length = count // size + (1 if left and not joins else 0)

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(self._length))]
        if not 0 <= index < self._length:
            raise IndexError(index)
        start = index * self._size
        return start, self._count if index == self._length - 1 else start + self._size


def in_order(bounds: Sequence[tuple[int, int]]) -> Iterator[Rows]:
    """The examples of each batch, one after the other as the data has them."""
    return (slice(start, stop) for start, stop in bounds)


def drawn(order: EpochOrder, bounds: Sequence[tuple[int, int]], first: int = 0) -> Iterator[Rows]:
    """The examples of each batch of an epoch, from the batch `first` on: of all processes together, and the same for
    any number of them."""
    return (order.rows(*bounds[place]) for place in range(first, len(bounds)))


def share(rows: Rows, rank: int, ranks: int) -> Rows:
    """The examples of a batch that one of several processes takes. Those of all ranks, in turn, are the batch; where
    it does not divide, the first ranks take one more."""
    start, stop, _ = rows.indices(rows.stop) if isinstance(rows, slice) else (0, len(rows), 1)
    each, more = divmod(stop - start, ranks)
    first, end = (place * each + min(place, more) for place in (rank, rank + 1))
    return slice(start + first, start + end) if isinstance(rows, slice) else rows[first:end]
