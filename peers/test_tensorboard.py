"""TensorBoard reads the event files of a run: every value, and what was taken back after a kill only once."""

from __future__ import annotations

from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from dlc.runtime.train.events import EventFile
from dlc.runtime.train.loop import EpochEnded, Position


def ended(step: int, value: float) -> EpochEnded:
    parts = {"train": {"loss": value}, "valid": {"loss": value / 2, "wrong": float("nan")}}
    return EpochEnded(Position(step // 10, 0, step), 0.1 / step, parts)


def read(folder: Path) -> EventAccumulator:
    events = EventAccumulator(str(folder))
    events.Reload()
    return events


def test_all_values_are_read(tmp_path: Path) -> None:
    with EventFile(tmp_path) as file:
        for step in (10, 20, 300):
            file.ended(ended(step, 3.0 / step))
    found = read(tmp_path)
    assert sorted(found.Tags()["scalars"]) == ["loss/train", "loss/valid", "lr"]
    assert [(event.step, event.value) for event in found.Scalars("loss/train")] == [
        (step, pytest.approx(3.0 / step)) for step in (10, 20, 300)
    ]
    assert [event.value for event in found.Scalars("lr")] == [pytest.approx(0.1 / step) for step in (10, 20, 300)]


def test_what_comes_again_after_a_kill_is_there_once(tmp_path: Path) -> None:
    with EventFile(tmp_path) as file:
        for step in (10, 20, 30):
            file.ended(ended(step, 1.0))
    with EventFile(tmp_path, purges=20) as file:
        for step in (30, 40):
            file.ended(ended(step, 2.0))
    found = read(tmp_path)
    values = [(event.step, event.value) for event in found.Scalars("loss/train")]
    assert values == [(10, 1.0), (20, 1.0), (30, 2.0), (40, 2.0)]
