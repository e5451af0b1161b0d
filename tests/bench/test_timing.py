"""Turns, medians and pages of the benches."""

from __future__ import annotations

import operator
import time
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def timing(monkeypatch: pytest.MonkeyPatch) -> Any:
    """bench/timing.py, which is no part of the package."""
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "bench")
    return import_module("timing")


def test_medians_spreads_and_ratios_within_rounds(timing: Any) -> None:
    slow, fast = timing.Timing((2.0, 40.0, 3.0)), timing.Timing((1.0, 20.0, 1.0))
    assert slow.median == 3
    assert slow.times(fast) == 2
    assert timing.Timing((1.0, 2.0, 3.0, 4.0, 5.0)).spread == pytest.approx(2 / 3)
    assert timing.Timing((1.0,)).spread == 0


def test_all_take_turns_in_an_order_that_rotates(timing: Any) -> None:
    order: list[str] = []

    def turn(name: str) -> Any:
        return lambda: order.append(name) or float(len(order))

    found = timing.interleave({"a": turn("a"), "b": turn("b"), "c": turn("c")}, rounds=3)
    assert "".join(order) == "abcbcacab"
    assert found["a"].seconds == (1.0, 6.0, 8.0)


def test_a_call_is_timed_as_often_as_fits_and_once_at_least(timing: Any) -> None:
    calls: list[int] = []
    took = timing.timed(lambda: calls.append(0) or time.sleep(0.02), seconds=0.0)
    assert len(calls) == 2  # the first is a warm-up
    assert 0.02 <= took < 0.2


def test_a_child_answers_and_tells_why_it_cannot(timing: Any) -> None:
    child = timing.Child(operator.attrgetter("upper"), "abc")
    assert child.result() == "ABC"
    assert 0 < child.turn(0.01) < 0.01
    child.close()
    with pytest.raises(RuntimeError, match="no attribute 'nothing'"):
        timing.Child(operator.attrgetter("nothing"), "abc")


def test_tables_and_digits(timing: Any) -> None:
    assert timing.table(["", "ms"], [["a", "1"]]) == "|  | ms |\n| --- | ---: |\n| a | 1 |"
    assert [timing.digits(each) for each in (0, 0.012345, 1.5, 99.96, 1234.5)] == [
        "0",
        "0.0123",
        "1.50",
        "100",
        "1,234",
    ]


def test_sections_of_a_page_are_replaced_and_the_rest_stays(timing: Any, tmp_path: Path) -> None:
    page = tmp_path / "README.md"
    page.write_text("# Benches\n")
    timing.record(page, "one", "first")
    timing.record(page, "two", "second")
    timing.record(page, "one", "third")
    expected = "# Benches\n\n<!-- one -->\n\nthird\n\n<!-- /one -->\n\n<!-- two -->\n\nsecond\n\n<!-- /two -->\n"
    assert page.read_text() == expected
