"""Contenders in turns: what disturbs a machine decides nothing."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from dlc.runtime.train.plan.timing import in_turns


@dataclass
class Fake:
    """Takes these seconds, one after the other; the first, which warms up, is not counted."""

    seconds: list[float]
    order: list[str] = field(default_factory=list)
    name: str = ""
    _left: Iterator[float] | None = None

    def run(self, steps: int = 1) -> float:
        self._left = self._left or iter(self.seconds)
        self.order.append(self.name)
        return next(self._left)


def speed(one: list[float], other: list[float]) -> float:
    return in_turns(Fake(one), Fake([9.0, *other]), len(one))  # pyright: ignore[reportArgumentType]


def test_a_steady_gain_is_told() -> None:
    assert speed([2.0, 2.0, 2.0], [1.0, 1.0, 1.0]) == pytest.approx(2)
    assert speed([1.0, 1.0, 1.0], [2.0, 2.0, 2.0]) == pytest.approx(0.5)


def test_one_lucky_step_gains_nothing() -> None:
    assert speed([2.0, 2.0, 2.0, 2.0], [2.1, 1.0, 2.1, 2.1]) == 1.0


def test_some_disturbed_steps_gain_nothing() -> None:
    assert speed([2.0, 9.0, 9.0, 9.0], [2.1, 2.1, 2.1, 2.1]) == 1.0
    assert speed([2.0, 2.0, 9.0, 9.0], [1.8, 1.8, 1.8, 1.8]) == pytest.approx(2 / 1.8)


def test_who_goes_first_alternates() -> None:
    order: list[str] = []
    one, other = Fake([1.0] * 4, order, "one"), Fake([1.0] * 5, order, "other")
    in_turns(one, other, 4)  # pyright: ignore[reportArgumentType]
    assert order == ["other", "one", "other", "other", "one", "one", "other", "other", "one"]
