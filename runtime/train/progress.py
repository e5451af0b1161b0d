"""What training shows while it goes on: a bar on a terminal, a line for each epoch in any case."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from dlc.runtime.train.loop import EpochEnded, Stepped

_REFRESHES = 1  # a second: drawing the bar takes some 5 ms of what a training on the processor could use


class Progress:
    """Told of each event of a training; a context that lasts as long as the training. This one shows nothing."""

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """The training has ended, one way or another."""

    def stepped(self, event: Stepped) -> None:
        """A step was taken."""

    def ended(self, event: EpochEnded) -> None:
        """An epoch ended."""


def progress(*, steps: int, done: int, epochs: int, quiet: bool) -> Progress:
    """The progress that suits the output. steps: in all, of which `done` were taken before."""
    if quiet:
        return Progress()
    if sys.stdout.isatty():
        return Bar(steps, done, epochs)
    return Lines(epochs)


class Lines(Progress):
    """A line for each epoch."""

    def __init__(self, epochs: int) -> None:
        self._epochs = epochs

    def ended(self, event: EpochEnded) -> None:
        print(describe(event, self._epochs), flush=True)


class Bar(Progress):
    """A bar with the rate and the time left, above it a line for each epoch."""

    def __init__(self, steps: int, done: int, epochs: int) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress

        self._epochs = epochs
        self._bar = RichProgress(
            TextColumn("epoch {task.fields[epoch]}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TextColumn("{task.fields[loss]}"),
            TimeRemainingColumn(),
            transient=True,
            refresh_per_second=_REFRESHES,
        )
        self._task = self._bar.add_task("", total=steps, completed=done, epoch=f"1/{epochs}", rate="", loss="")
        self._shown = time.monotonic()
        self._examples = 0

    def __enter__(self) -> Bar:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def stepped(self, event: Stepped) -> None:
        self._examples += event.examples
        now = time.monotonic()
        if now - self._shown < 1 / _REFRESHES:
            return
        fields: dict[str, Any] = {
            "epoch": f"{event.position.epoch + 1}/{self._epochs}",
            "rate": f"{self._examples / (now - self._shown):,.0f} examples/s",
            "loss": "" if event.loss is None else f"loss {event.loss:.4g}",
        }
        self._bar.update(self._task, completed=event.position.step, **fields)
        self._shown, self._examples = now, 0

    def ended(self, event: EpochEnded) -> None:
        self._bar.console.print(describe(event, self._epochs), highlight=False)


def describe(event: EpochEnded, epochs: int) -> str:
    """An epoch in one line: `epoch 3/20  train: loss 0.61 accuracy 0.93  valid: loss 0.58 accuracy 0.95`."""
    number = str(event.position.epoch).rjust(len(str(epochs)))
    parts = [f"{part}: {means(of)}" for part, of in event.parts.items() if of]
    return "  ".join(
        [
            f"epoch {number}/{epochs}",
            *parts,
            *([f"no better since epoch {event.best}: stopped early"] if event.stopped else []),
        ]
    )


def means(values: Mapping[str, float]) -> str:
    return " ".join(
        f"{name} {value:.4f}" if abs(value) >= 1e-3 else f"{name} {value:.3g}" for name, value in values.items()
    )
