"""Streams of random numbers from one seed."""

import numpy as np
import pytest
import torch

from dlc.runtime.seeds import Stream, derive, permutation, torch_seeded


def test_streams_are_apart() -> None:
    seeds = [derive(seed, stream, index) for seed in range(5) for stream in Stream for index in range(5)]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**64 for seed in seeds)


def test_a_seed_never_means_anything_else() -> None:
    """Runs must be reproducible by versions to come, of this package and of NumPy."""
    assert derive(0, Stream.SPLIT) == 15793235383387715774
    assert permutation(8, 0, Stream.SHUFFLE, 3).tolist() == [2, 3, 0, 6, 1, 7, 5, 4]


@pytest.mark.parametrize("count", [0, 1, 2, 1000])
def test_a_permutation_has_each_number_once(count: int) -> None:
    assert sorted(permutation(count, 1, Stream.SHUFFLE).tolist()) == list(range(count))


def test_permutations_are_uniform() -> None:
    draws = np.array([permutation(4, seed, Stream.SPLIT) for seed in range(2400)])
    counts = np.unique(draws, axis=0, return_counts=True)[1]
    assert len(counts) == 24
    # Pearson's statistic with 23 degrees of freedom: beyond 49.7 in one case of a thousand.
    assert ((counts - 100.0) ** 2 / 100).sum() < 49.7


def test_a_seed_of_pytorch_ends_with_its_context() -> None:
    torch.manual_seed(1)
    due = torch.rand(2)
    torch.manual_seed(1)
    with torch_seeded(7):
        inside = torch.rand(2)
    assert torch.equal(torch.rand(2), due)
    with torch_seeded(7):
        assert torch.equal(torch.rand(2), inside)
