"""Independent streams of random numbers from one seed.

What is drawn for one purpose never depends on how much was drawn for another: the split of the data stays when the
model changes, and an epoch's order needs no history.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from contextlib import contextmanager
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray


class Stream(IntEnum):
    """What random numbers are for. The numbers are part of what makes a run reproducible: they never change."""

    SPLIT = 0
    FIELDS = 1
    SHUFFLE = 2
    EVALUATION = 3
    NORMALISATION = 4
    BATCHES = 5
    BLOCKS = 6
    WINDOWS = 7


def derive(seed: int, stream: Stream, index: int = 0) -> int:
    """A seed of 64 bits for a stream, and for the `index`-th use of it."""
    import numpy as np

    return int(np.random.SeedSequence([seed, int(stream), index]).generate_state(1, np.uint64)[0])


def permutation(count: int, seed: int, stream: Stream, index: int = 0) -> NDArray[np.int64]:
    """The numbers from 0 to `count` - 1 in random order.

    Sorts raw draws, which NumPy promises never to change, where `Generator.permutation` may between versions.
    """
    import numpy as np

    draws = np.random.PCG64(derive(seed, stream, index)).random_raw(count)
    return np.argsort(draws, kind="stable").astype(np.int64)


def seed_torch(seed: int) -> None:
    """Starts PyTorch's random generators, those of accelerators too."""
    import torch

    torch.manual_seed(seed)  # pyright: ignore[reportUnknownMemberType]


@contextmanager
def torch_seeded(seed: int, devices: Iterable[torch.device] = ()) -> Generator[None, None, None]:
    """PyTorch's random generators at a seed, and afterwards where they were. devices: accelerators in use."""
    import torch

    with torch.random.fork_rng(list(devices)):  # pyright: ignore[reportUnknownMemberType]
        seed_torch(seed)
        yield
