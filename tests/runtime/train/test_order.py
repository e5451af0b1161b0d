"""The order of an epoch: every example once, the same for a seed, and in batches of like length if asked for."""

import numpy as np
import pytest

from dlc.compiler.settings import Settings
from dlc.runtime.train.order import epoch_order

LENGTHS = np.random.default_rng(0).integers(1, 50, 1003)


def orders(**given: object) -> np.ndarray:
    found = epoch_order(len(LENGTHS), Settings(batch=8, epochs=1, **given), 0, LENGTHS if "bucket" in given else None)
    assert found is not None
    return found


@pytest.mark.parametrize("given", [{}, {"bucket": "length"}, {"bucket": "length", "shuffle": False}])
def test_each_example_is_there_once(given: dict[str, object]) -> None:
    assert sorted(orders(**given)) == list(range(len(LENGTHS)))


def test_batches_are_alike_and_come_in_no_order() -> None:
    batches = LENGTHS[orders(bucket="length")][:1000].reshape(125, 8)
    apart = LENGTHS[orders()][:1000].reshape(125, 8)
    assert np.ptp(batches, axis=1).mean() < 0.1 * np.ptp(apart, axis=1).mean()
    assert abs(np.corrcoef(batches.mean(axis=1), np.arange(125))[0, 1]) < 0.3


def test_other_epochs_and_seeds_have_other_orders() -> None:
    settings = Settings(batch=8, epochs=2, bucket="length")
    first, again, second = (epoch_order(len(LENGTHS), settings, epoch, LENGTHS) for epoch in (0, 0, 1))
    other = epoch_order(len(LENGTHS), Settings(batch=8, epochs=2, bucket="length", seed=1), 0, LENGTHS)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, other)


def test_all_at_once_and_unshuffled_are_in_the_order_of_the_data() -> None:
    assert epoch_order(10, Settings(batch="all", epochs=1), 0, None) is None
    assert epoch_order(10, Settings(batch=2, epochs=1, shuffle=False), 0, None) is None
