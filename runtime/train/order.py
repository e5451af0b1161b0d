"""The order of an epoch's examples: a function of the seed and the epoch, whatever came before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dlc.runtime.seeds import Stream, permutation

if TYPE_CHECKING:
    import numpy as np

    from dlc.compiler.settings import Settings

    Array = np.ndarray[Any, Any]

_POOL = 50  # batches whose examples are sorted together: more are more alike, and less at random


def epoch_order(count: int, settings: Settings, epoch: int, lengths: Array | None) -> Array | None:
    """The numbers of the examples in the order of an epoch, or None for that of the data.

    lengths: of each example what it is put into a batch by, if batches are of like length.
    """
    if settings.batch == "all":
        return None
    shuffled = permutation(count, settings.seed, Stream.SHUFFLE, epoch) if settings.shuffle else None
    if lengths is None:
        return shuffled
    return _alike(shuffled, lengths, settings.batch, settings, epoch)


def _alike(shuffled: Array | None, lengths: Array, batch: int, settings: Settings, epoch: int) -> Array:
    """Batches of examples that are alike: a pool of some batches is sorted at a time, so that the same examples do not
    always meet, and the full batches are then taken in random order, for lengths not to rise and fall."""
    import numpy as np

    drawn = np.arange(len(lengths)) if shuffled is None else shuffled
    pools = [drawn[start : start + _POOL * batch] for start in range(0, len(drawn), _POOL * batch)]
    ordered = np.concatenate([pool[np.argsort(lengths[pool], kind="stable")] for pool in pools])
    if shuffled is None:
        return ordered
    full = len(ordered) // batch
    turns = permutation(full, settings.seed, Stream.BATCHES, epoch)
    return np.concatenate([ordered[: full * batch].reshape(full, batch)[turns].ravel(), ordered[full * batch :]])
