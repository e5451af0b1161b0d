"""One training of a run, from where it stands: the loop's events, and what becomes of them on disk and screen."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass

from dlc.compiler.program import Minimize, TrainSpec
from dlc.grammar.diagnostics import Refusal
from dlc.runtime.errors import BrokenRun, NonFiniteLoss, StepFailed
from dlc.runtime.train.checkpoint import Checkpoint
from dlc.runtime.train.events import EventFile
from dlc.runtime.train.loop import EpochEnded, Loop, NonFiniteError, Stepped
from dlc.runtime.train.metrics import plain
from dlc.runtime.train.process import stop_requests
from dlc.runtime.train.progress import progress
from dlc.runtime.train.run import METRICS, Run
from dlc.runtime.train.task import StepError, Task
from dlc.runtime.train.weights import weights_of

# Where the settings name no interval, a checkpoint is due at the end of an epoch that took a second or more since the
# last, and within longer ones.
_EPOCH_SECONDS = 1.0
_STEP_SECONDS = 30.0

Watcher = Callable[[Stepped | EpochEnded, Callable[[], None]], None]
"""Called after each event with the event, and with what writes a checkpoint."""


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a training. finished: false where it was interrupted. parts: the last epoch's means by part. best:
    the epoch, from 1, whose weights are kept where the settings ask for an early stop."""

    finished: bool
    epochs: int
    steps: int
    seconds: float
    parts: Mapping[str, Mapping[str, float | None]]
    best: int | None = None


class Session:
    """A training under way, with its files. last: the checkpoint that it goes on from."""

    def __init__(self, run: Run, spec: TrainSpec, task: Task, loop: Loop, last: Checkpoint | None) -> None:
        self._run = run
        self._spec = spec
        self._task = task
        self._loop = loop
        self._metrics = run.folder / METRICS
        self._written = int(last.record["metrics"]) if last else 0  # bytes of metrics.jsonl that count
        self._before = float(last.record["seconds"]) if last else 0.0
        self._saved_at = loop.position if last else None
        self._started = self._saved = time.monotonic()

    def train(self, quiet: bool, watcher: Watcher | None = None) -> Result:
        """Trains to the end, or until it is interrupted. Raises Refusal."""
        loop, leads = self._loop, self._task.team.leads
        events: EventFile | None = None
        if leads:
            with self._run.writing():
                self._cut_metrics()
                events = EventFile(self._run.folder, purges=loop.position.step if loop.position.step else None)
        bar = progress(steps=loop.steps, done=loop.position.step, epochs=loop.epochs, quiet=quiet or not leads)
        last: EpochEnded | None = None
        saves = False
        try:
            with stop_requests() as interrupted, bar, events or nullcontext():
                for event in loop.events():
                    if isinstance(event, EpochEnded):
                        last = event
                        if events is not None:
                            with self._run.writing():
                                self._note(event)
                                events.ended(event)
                        bar.ended(event)
                    else:
                        bar.stepped(event)
                    stops, due = self._task.team.any(interrupted.is_set(), leads and self._due(event))
                    saves = saves or due
                    if loop.waits and self._task.team.size > 1:  # what waits is of all processes when it is used
                        continue
                    if stops:
                        break
                    if saves:
                        self._save()
                        saves = False
                    if watcher is not None:
                        watcher(event, self._save)
                if self._saved_at != loop.position:
                    self._save()
        except NonFiniteError as error:
            raise Refusal(self._not_finite(error)) from error
        except StepError as error:
            raise Refusal(step_failed(self._spec, f"step {loop.position.step + 1}", error)) from error
        parts = {part: plain(means) for part, means in last.parts.items()} if last else {}
        return Result(loop.finished, loop.position.epoch, loop.position.step, self._seconds(), parts, loop.best)

    def _due(self, event: Stepped | EpochEnded) -> bool:
        """Whether a checkpoint is to be written after this event."""
        interval, ended = self._spec.settings.checkpoint, isinstance(event, EpochEnded)
        if interval.epochs is not None:
            return ended and event.position.epoch % interval.epochs == 0
        if interval.steps is not None:
            return not ended and event.position.step % interval.steps == 0
        since = time.monotonic() - self._saved
        if interval.minutes is not None:
            return since >= 60 * interval.minutes
        return since >= (_EPOCH_SECONDS if ended else _STEP_SECONDS)

    def _seconds(self) -> float:
        return self._before + time.monotonic() - self._started

    def _save(self) -> None:
        record = {**self._loop.record(), "metrics": self._written, "seconds": round(self._seconds(), 3)}
        record["fingerprint"] = self._run.config.fingerprint
        tensors = self._loop.tensors()
        team = self._task.team
        if team.leads or team.shards:
            with self._run.writing(), self._loop.shown():
                weights = weights_of(self._spec, self._task.instances)
                self._write(Checkpoint(weights, tensors, record))
        self._saved = time.monotonic()
        self._saved_at = self._loop.position

    def _write(self, checkpoint: Checkpoint) -> None:
        keep, team = self._spec.settings.checkpoint.keep, self._task.team
        if not team.shards:
            self._run.checkpoints.save(checkpoint, keep)
            return
        from dlc.runtime.train.several.shards import follow, write_whole

        if team.leads:
            self._run.checkpoints.save(checkpoint, keep, write_whole)
        else:
            follow(checkpoint.model)
            follow(checkpoint.state)

    def _cut_metrics(self) -> None:
        """Takes back the lines of epochs that the last checkpoint does not know of: they come again."""
        with open(self._metrics, "ab") as file:
            if file.tell() < self._written:
                raise Refusal(BrokenRun(f"{self._metrics} lacks lines that the last checkpoint knows of", None))
            file.truncate(self._written)

    def _note(self, event: EpochEnded) -> None:
        position = {"epoch": event.position.epoch, "step": event.position.step, "lr": event.lr}
        line = json.dumps({**position, **{part: plain(means) for part, means in event.parts.items()}})
        with open(self._metrics, "ab") as file:
            file.write(f"{line}\n".encode())
            file.flush()
            os.fsync(file.fileno())
            self._written = file.tell()

    def _not_finite(self, error: NonFiniteError) -> NonFiniteLoss:
        losses = [effect for _, effect in self._spec.step.effects if isinstance(effect, Minimize)]
        number, weight = error.found.number, error.found.weight
        span = losses[number].span if number < len(losses) else self._spec.span
        what = "the loss" if weight is None else f"the gradient of `{weight}`"
        first = (error.first or "the outputs of all layers are finite",)
        reports = tuple(f"{name} is {value:g}" for name, value in error.reports.items())
        kept = (
            f"the run keeps the checkpoint of step {self._saved_at.step}"
            if self._saved_at
            else "the run has no checkpoint yet"
        )
        return NonFiniteLoss(
            f"{what} is {error.found.value} at step {error.step}, in batch {error.batch} of epoch {error.epoch}",
            span,
            label="no update was made",
            notes=(*first, *reports, kept),
            help="lower the learning rate, or add a warmup to the schedule",
        )


def step_failed(spec: TrainSpec, what: str, error: StepError) -> StepFailed:
    """The report of a step that PyTorch could not compute."""
    notes = (f"in the emitted line: {error.line}",) if error.line else ()
    return StepFailed(f"{what} failed: {error.reason}", spec.step.graph.span, notes=notes)
