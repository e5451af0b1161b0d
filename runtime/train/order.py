"""The order of an epoch's examples: a function of the seed and the epoch, whatever came before.

Neither the place that the examples are kept in nor the number of processes has a part in it. Examples that take up
more than a window of 256 blocks of 1 MiB are shuffled in two stages, for what is read from a disk one after the other
to lie side by side: blocks of neighbours come in random order, and so do the examples of each window of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dlc.runtime.seeds import Stream, permutation

if TYPE_CHECKING:
    import numpy as np

    from dlc.compiler.settings import Settings
    from dlc.runtime.data.examples import Rows

    Array = np.ndarray[Any, Any]

_POOL = 50  # batches whose examples are sorted together: more are more alike, and less at random
_BLOCK = 2**20  # bytes of neighbours that stay together
_BLOCK_ROWS = 2**14  # so that a window has no more than four million examples
_WINDOW = 256  # blocks whose examples are shuffled together


class EpochOrder:
    """The order of an epoch.

    size: of an example, in bytes. lengths: of each example what it is put into a batch by, if batches are of like
    length.
    """

    def __init__(self, count: int, settings: Settings, epoch: int, size: int, lengths: Array | None = None) -> None:
        self._shuffled = None
        if settings.shuffle and settings.batch != "all":
            self._shuffled = _Shuffled(count, settings.seed, epoch, size)
        self._sorted = None
        if lengths is not None and settings.batch != "all":
            drawn = None if self._shuffled is None else self._shuffled.rows(0, count)
            window = max(1, _WINDOW * _block_rows(size) // settings.batch)
            self._sorted = _alike(drawn, lengths, settings.batch, window, settings.seed, epoch)

    def rows(self, start: int, stop: int) -> Rows:
        """The numbers of the examples from one place of the order up to another."""
        if self._sorted is not None:
            return self._sorted[start:stop]
        return slice(start, stop) if self._shuffled is None else self._shuffled.rows(start, stop)


class _Shuffled:
    """Examples in random order, of which a window at a time is drawn."""

    def __init__(self, count: int, seed: int, epoch: int, size: int) -> None:
        import numpy as np

        self._count, self._seed, self._epoch = count, seed, epoch
        self._block = _block_rows(size)
        blocks = -(-count // self._block)
        whole = blocks <= _WINDOW
        self._blocks = np.arange(blocks) if whole else permutation(blocks, seed, Stream.BLOCKS, epoch)
        sizes = np.minimum(count - self._blocks * self._block, self._block)
        self._ends = np.cumsum([sizes[at : at + _WINDOW].sum() for at in range(0, blocks, _WINDOW)])
        self._drawn: tuple[int, Array] | None = None

    def rows(self, start: int, stop: int) -> Array:
        import numpy as np

        found: list[Array] = []
        for window in range(int(np.searchsorted(self._ends, start, "right")), len(self._ends)):
            first = int(self._ends[window - 1]) if window else 0
            if first >= stop:
                break
            found.append(self._window(window)[max(0, start - first) : stop - first])
        return found[0] if len(found) == 1 else np.concatenate(found)

    def _window(self, window: int) -> Array:
        import numpy as np

        if self._drawn is None or self._drawn[0] != window:
            if len(self._ends) == 1:
                self._drawn = window, permutation(self._count, self._seed, Stream.SHUFFLE, self._epoch)
            else:
                starts: Array = self._blocks[window * _WINDOW : (window + 1) * _WINDOW] * self._block
                ends: Array = np.minimum(starts + self._block, self._count)
                spans: list[tuple[int, int]] = [*zip(starts.tolist(), ends.tolist(), strict=True)]
                rows: Array = np.concatenate([np.arange(at, end) for at, end in spans])
                index = (self._epoch << 32) + window
                self._drawn = window, rows[permutation(len(rows), self._seed, Stream.WINDOWS, index)]
        return self._drawn[1]


def _block_rows(size: int) -> int:
    """How many neighbours of so many bytes stay together."""
    return max(1, min(_BLOCK_ROWS, _BLOCK // max(1, size)))


def _alike(shuffled: Array | None, lengths: Array, batch: int, window: int, seed: int, epoch: int) -> Array:
    """Batches of examples that are alike: a pool of some batches is sorted at a time, so that the same examples do not
    always meet, and the full batches of a window are then taken in random order, for lengths not to rise and fall."""
    import numpy as np

    drawn = np.arange(len(lengths)) if shuffled is None else shuffled
    pools = [drawn[start : start + _POOL * batch] for start in range(0, len(drawn), _POOL * batch)]
    ordered = np.concatenate([pool[np.argsort(lengths[pool], kind="stable")] for pool in pools])
    if shuffled is None:
        return ordered
    full = len(ordered) // batch
    turns = permutation(full, seed, Stream.BATCHES, epoch)
    if full > window:
        turns = turns[np.argsort(turns // window, kind="stable")]
    return np.concatenate([ordered[: full * batch].reshape(full, batch)[turns].ravel(), ordered[full * batch :]])
