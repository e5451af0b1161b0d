"""Sizes and inputs that models are tried on: all pairs, and the edges of ranges."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations, product

import numpy as np
import pytest

from dlc.compiler.program import Model
from dlc.runtime.infer.trials import LARGE, SIZES, draw_inputs, pairwise, sizes_to_try

Read = Callable[..., Model]


@pytest.mark.parametrize("count", range(9))
def test_any_two_places_take_on_every_pair(count: int) -> None:
    rows = list(pairwise(count, SIZES))
    assert len(set(rows)) == len(rows)
    for left, right in combinations(range(count), 2):
        assert {(row[left], row[right]) for row in rows} == set(product(SIZES, repeat=2))
    assert len(rows) <= {0: 1, 1: 4}.get(count, 16 if count <= 5 else 50)


def test_all_pairs_and_a_large_size_of_each_symbol(model: Read) -> None:
    text = "model M(x: float[A, B], y: float[C, 3]) -> (u: float[A, B], v: float[C, 3]):\n    return relu(x), relu(y)\n"
    tried = [tuple(sizes.values.values()) for sizes in sizes_to_try(model(text).graph)]
    for left, right in combinations(range(3), 2):
        assert {(row[left], row[right]) for row in tried} >= set(product(SIZES, repeat=2))
    assert {row.index(LARGE) for row in tried if LARGE in row} == {0, 1, 2}
    assert len(tried) == len(set(tried)) == 19


def test_ints_reach_both_ends_of_their_range(model: Read) -> None:
    text = """
model M(x: float[T, 3], index: int[N, T] < T, kind: int[N] < 40) -> (y: float[T, 3], i: int[N, T], k: int[N]):
    return relu(x), index, kind
"""
    graph = model(text).graph
    for sizes in sizes_to_try(graph):
        drawn = draw_inputs(graph, sizes)
        for name, below in (("index", drawn["x"].shape[0]), ("kind", 40)):
            values = drawn[name]
            assert values.max() == below - 1
            assert values.min() == 0 or values.size == 1
            assert values.dtype == np.int64
