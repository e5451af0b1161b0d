"""The order of an epoch: every example once, the same for a seed, in batches of like length if asked for, and by blocks
where there is more than a window of them."""

import numpy as np
import pytest

from dlc.compiler.settings import Settings
from dlc.runtime.seeds import Stream, permutation
from dlc.runtime.train.batches import Batches, drawn, share
from dlc.runtime.train.order import EpochOrder

LENGTHS = np.random.default_rng(0).integers(1, 50, 1003)
LARGE = 2**18  # bytes of an example: four make a block, and 1024 a window


def numbers(rows: object) -> list[int]:
    return [*range(rows.start, rows.stop)] if isinstance(rows, slice) else list(rows)  # pyright: ignore[reportArgumentType]


def order(count: int, size: int = 8, epoch: int = 0, lengths: np.ndarray | None = None, **given: object) -> EpochOrder:
    settings = Settings(**{"batch": 8, "epochs": 1, **given})  # pyright: ignore[reportArgumentType]
    return EpochOrder(count, settings, epoch, size, lengths)


def rows(count: int, **given: object) -> np.ndarray:
    return np.array(numbers(order(count, **given).rows(0, count)))  # pyright: ignore[reportArgumentType]


BUCKETED = {"lengths": LENGTHS, "bucket": "length"}


@pytest.mark.parametrize("size", [8, LARGE, 2**30])
@pytest.mark.parametrize("given", [{}, BUCKETED, {**BUCKETED, "shuffle": False}, {"shuffle": False}])
def test_each_example_is_there_once(given: dict[str, object], size: int) -> None:
    assert sorted(rows(len(LENGTHS), size=size, **given)) == list(range(len(LENGTHS)))


def test_batches_are_alike_and_come_in_no_order() -> None:
    batches = LENGTHS[rows(1003, **BUCKETED)][:1000].reshape(125, 8)
    apart = LENGTHS[rows(1003)][:1000].reshape(125, 8)
    assert np.ptp(batches, axis=1).mean() < 0.1 * np.ptp(apart, axis=1).mean()
    assert abs(np.corrcoef(batches.mean(axis=1), np.arange(125))[0, 1]) < 0.3


@pytest.mark.parametrize("given", [{}, BUCKETED, {"size": LARGE}, {**BUCKETED, "size": LARGE}])
def test_other_epochs_and_seeds_have_other_orders(given: dict[str, object]) -> None:
    first, again, second = (rows(1003, epoch=epoch, **given) for epoch in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, rows(1003, seed=1, **given))


def test_all_at_once_and_unshuffled_are_in_the_order_of_the_data() -> None:
    assert order(10, batch="all").rows(0, 10) == slice(0, 10)
    assert order(10, shuffle=False).rows(2, 4) == slice(2, 4)


def test_what_fits_a_window_is_one_permutation() -> None:
    assert np.array_equal(rows(1003, seed=3, epoch=2), permutation(1003, 3, Stream.SHUFFLE, 2))


# --- more than a window -----------------------------------------------------------------------------------------


def test_a_window_has_the_examples_of_256_blocks() -> None:
    whole = rows(5003, size=LARGE)
    blocks = [set(whole[start : start + 1024] // 4) for start in range(0, 5003, 1024)]
    sizes = [len(window) for window in blocks]
    assert all(256 <= size <= 257 for size in sizes[:-1])  # the last block of all is not full, and shifts what follows
    assert len(set(whole[:1024])) == 1024
    assert np.ptp(whole[:1024]) > 4000  # blocks of the whole epoch meet
    assert np.abs(np.diff(whole[:1024])).min() >= 1
    assert (np.diff(whole[:1024]) == 1).mean() < 0.02  # and neighbours no longer stand side by side


def test_any_piece_is_the_same_whatever_was_asked_for_before() -> None:
    whole, pieces = rows(5003, size=LARGE), order(5003, size=LARGE)
    for start, stop in [(4000, 5003), (0, 8), (1020, 1030), (900, 3500), (1020, 1030)]:
        assert np.array_equal(pieces.rows(start, stop), whole[start:stop])


def test_an_order_is_drawn_a_window_at_a_time() -> None:
    enormous = order(2**33, size=64)
    assert len(set(numbers(enormous.rows(2**32, 2**32 + 1000)))) == 1000


def test_bucketed_batches_stay_in_their_windows() -> None:
    lengths = np.random.default_rng(1).integers(1, 50, 5000)
    whole = rows(5000, size=LARGE, lengths=lengths, bucket="length")
    plain = rows(5000, size=LARGE)
    for start in range(0, 4096, 1024):
        within = set(whole[start : start + 1024])
        assert len(within & set(plain[max(0, start - 400) : start + 1424])) == 1024


# --- the shares of processes ------------------------------------------------------------------------------------


@pytest.mark.parametrize("ranks", [1, 2, 3, 7, 16])
@pytest.mark.parametrize("given", [{}, {"shuffle": False}])
def test_shares_make_up_the_batch(ranks: int, given: dict[str, object]) -> None:
    bounds = Batches(1003, 8)
    for batch in drawn(order(1003, **given), bounds, first=120):
        shares = [numbers(share(batch, rank, ranks)) for rank in range(ranks)]
        assert [row for taken in shares for row in taken] == numbers(batch)
        assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_batches_go_on_where_they_were_left() -> None:
    bounds = Batches(1003, 8)
    all_of_them = [numbers(batch) for batch in drawn(order(1003), bounds)]
    assert len(all_of_them) == len(bounds) == 126
    assert [numbers(batch) for batch in drawn(order(1003), bounds, first=100)] == all_of_them[100:]
