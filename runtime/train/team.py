"""The processes that train together: what each has of a batch, and how they add up. Most often there is one."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from torch import Tensor

T = TypeVar("T")

if TYPE_CHECKING:
    from dlc.runtime.data.examples import Rows
    from dlc.runtime.train.metrics import Measured


@dataclass(frozen=True, slots=True)
class Share:
    """The successive examples of a batch that one process has: from `start` to before `stop`, of `count`.

    idle: whether none were left for it. Then it computes on the first, and what comes of it does not count.
    """

    count: int
    start: int
    stop: int
    idle: bool = False

    @property
    def weight(self) -> float:
        """What a mean over these examples counts in that over the batch."""
        return 0.0 if self.idle else (self.stop - self.start) / self.count

    def of(self, rows: Rows) -> Rows:
        """Those of a batch's examples that are this share."""
        if isinstance(rows, slice):
            return slice(rows.start + self.start, rows.start + self.stop)
        return rows[self.start : self.stop]


class Team:
    """One process on its own, for which nothing has to be sent. `several.Several` is one of more."""

    rank = 0
    size = 1
    now = Share(1, 0, 1)
    shards = False  # whether each process keeps a part of the weights alone

    def share(self, count: int) -> Share:
        """What this process has of a batch of so many examples. The first processes have one more where it does not
        come out even."""
        least, more = divmod(count, self.size)
        start = self.rank * least + min(self.rank, more)
        stop = start + least + (self.rank < more)
        return Share(count, 0, 1, idle=True) if start == stop else Share(count, start, stop)

    def shares(self, batches: Iterable[Rows]) -> Iterator[Rows]:
        """Of the examples of each batch those of this process."""
        yield from batches

    @contextmanager
    def batch(self, count: int) -> Generator[Share, None, None]:
        """While a batch of so many examples is computed, of which this process has its share."""
        yield Share(count, 0, count)

    def part(self, values: Mapping[str, Measured], share: Share, sums: Collection[str]) -> Mapping[str, Measured]:
        """What a process measured as its part in the measures of the batch, of which those of all are the sum. sums:
        the names of what is one already."""
        return values

    def add_(self, tensors: Sequence[Tensor]) -> None:
        """Puts in place of each tensor the sum of those of all processes."""

    def gather_(self, gradients: Sequence[Tensor]) -> None:
        """Puts in place of each gradient the sum of those of all processes, where backward has not done so."""

    def total(self, values: Sequence[float]) -> list[float]:
        """The sum over all processes, in double precision."""
        return list(values)

    def join(self, tensor: Tensor) -> Tensor:
        """The tensors of all processes, one behind the other along axis 0."""
        return tensor

    def any(self, *flags: bool) -> tuple[bool, ...]:
        """Whether a flag is set in one of the processes."""
        return flags

    def texts(self, text: str) -> list[str]:
        """What each process says, in their order."""
        return [text]

    def lost(self, error: Exception) -> Exception | None:
        """What an error comes to where it tells that another process has gone."""
        return None

    def first(self, text: str | None) -> str | None:
        """What the first process says that says anything."""
        return next((found for found in map(json.loads, self.texts(json.dumps(text))) if found is not None), None)

    def lead(self, act: Callable[[], T]) -> T:
        """What comes of something that the first process does before the others do."""
        return act()

    @property
    def leads(self) -> bool:
        """Whether this is the process that writes."""
        return self.rank == 0


ALONE = Team()
