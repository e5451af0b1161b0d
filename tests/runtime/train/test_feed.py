"""Batches fetched ahead: the same as those of memory, with nothing lost where it ends early."""

import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from dlc.runtime.data.examples import Examples, Held
from dlc.runtime.train.feed import feed


class Slow(Examples):
    """Examples that are held, and said not to be. most: the first example that cannot be read."""

    held = False
    device = torch.device("cpu")  # pyright: ignore[reportAssignmentType]
    size = 8  # pyright: ignore[reportAssignmentType]

    def __init__(self, count: int, most: int | None = None) -> None:
        self._held = Held({"x": torch.arange(count) * 2, "y": torch.arange(count) + 0.5})
        self._most = most
        self.fetched = 0

    @property
    def count(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self._held.count

    def fetch(self, rows: Any) -> Mapping[str, Tensor]:
        if self._most is not None and max(rows) >= self._most:
            raise ValueError(f"{max(rows)} cannot be read")
        self.fetched += 1
        return self._held.fetch(rows)

    def to(self, device: torch.device) -> Examples:
        return self

    def arrays(self) -> Mapping[str, Any]:
        return self._held.arrays()

    def __getitem__(self, name: str) -> Tensor:
        return self._held[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._held)

    def __len__(self) -> int:
        return len(self._held)


def batches(count: int) -> list[np.ndarray]:
    return np.array_split(np.random.default_rng(0).permutation(count), count // 10)


def running() -> int:
    return sum(thread.name == "batches" for thread in threading.enumerate())


def test_what_is_fetched_ahead_is_what_is_held() -> None:
    slow = Slow(1000)
    held = Held({name: slow[name] for name in slow})
    with feed(slow, batches(1000)) as ahead, feed(held, batches(1000)) as plain:
        for one, other in zip(ahead, plain, strict=True):
            assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    assert running() == 0


def test_no_more_than_a_few_batches_wait() -> None:
    slow = Slow(1000)
    with feed(slow, batches(1000)) as ahead:
        next(ahead)
        time.sleep(0.3)
        assert slow.fetched <= 6
        assert running() == 1
    assert running() == 0


def test_an_error_is_raised_where_its_batch_is_asked_for() -> None:
    rows = [np.arange(start, start + 10) for start in range(0, 100, 10)]
    with feed(Slow(100, most=35), rows) as ahead:
        assert [len(next(ahead)[0]) for _ in range(3)] == [10, 10, 10]
        with pytest.raises(ValueError, match="39 cannot be read"):
            next(ahead)
    assert running() == 0


def test_an_error_of_the_step_ends_the_thread() -> None:
    def steps() -> None:
        with feed(Slow(1000), batches(1000)) as ahead:
            next(ahead)
            raise RuntimeError("of the step")

    with pytest.raises(RuntimeError, match="of the step"):
        steps()
    assert running() == 0
