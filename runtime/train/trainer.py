"""Training and measuring a run: data, modules, the loop, checkpoints, signals, in this order."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import nn

from dlc.compiler.program import Minimize, Program, TrainSpec
from dlc.grammar.diagnostics import Refusal
from dlc.grammar.suggest import nearest
from dlc.runtime.data.statistics import save_statistics
from dlc.runtime.errors import BrokenRun, NoDevice, NonFiniteLoss, RunExists, RunFinished, StepFailed, UnknownPart
from dlc.runtime.train.checkpoint import BrokenCheckpointError, Checkpoint, read_tensors
from dlc.runtime.train.data import describe, read_data
from dlc.runtime.train.loop import EpochEnded, Loop, NonFiniteError, Stepped
from dlc.runtime.train.making import make_task
from dlc.runtime.train.metrics import plain
from dlc.runtime.train.process import reproducible, stop_requests
from dlc.runtime.train.progress import progress
from dlc.runtime.train.run import METRICS, Run, weights_file
from dlc.runtime.train.task import StepError, Task, measure
from dlc.runtime.train.weights import load_weights, start_from_runs, weights_of

# Where the settings name no interval, a checkpoint is due at the end of an epoch that took a second or more since the
# last, and within longer ones.
_EPOCH_SECONDS = 1.0
_STEP_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a training. finished: false where it was interrupted. parts: the last epoch's means by part."""

    finished: bool
    epochs: int
    steps: int
    seconds: float
    parts: Mapping[str, Mapping[str, float | None]]


def train(
    spec: TrainSpec,
    program: Program,
    run: Run,
    *,
    epochs: int | None = None,
    resume: bool = False,
    quiet: bool = False,
    device: str | None = None,
) -> Result:
    """Trains a spec in its run, from the start or from the last checkpoint, to the end or until it is interrupted.

    epochs: how many in all, in place of what the run was started with. device: as PyTorch names it; by default the
    accelerator where there is one. Raises Refusal: a run of another spec, data that does not fit, a loss that is not
    finite, ...
    """
    run.check(program, spec, run.config.overrides)
    place = choose_device(device)
    with run.locked(), reproducible(run.config.threads):
        last = _last(run)
        if last is not None and not resume:
            help = "go on with it by --resume, or name another folder"
            raise Refusal(RunExists(f"{run.folder} has been trained already", None, help=help))
        if epochs is not None and epochs != run.config.epochs:
            run.extend(epochs)
        data = read_data(run, spec).to(place)
        task = make_task(spec, data, place)
        loop = Loop(task, spec.settings, epochs=run.config.epochs)
        if last is not None:
            _restore(run, spec, task, loop, last)
        else:
            start_from_runs(spec, task.instances)
        if loop.finished:
            raise Refusal(_finished(run, loop))
        with run.writing():
            save_statistics(run.folder, data.statistics)
        run.begin(torch.get_num_threads(), str(place), describe(data))
        return _Session(run, spec, task, loop, last).train(quiet)


def evaluate(
    run: Run,
    part: str,
    *,
    device: str | None = None,
    prepare: Callable[[Mapping[str, nn.Module]], None] | None = None,
) -> dict[str, float]:
    """The means of what a run's step reports over a part of its data. Raises Refusal.

    prepare: is handed the instances, with their weights, before anything is measured.
    """
    spec = run.spec
    place = choose_device(device)
    if part not in spec.data.split:
        near = nearest(part, spec.data.split)
        help = f"did you mean `{near}`?" if near else f"its parts are {', '.join(spec.data.split)}"
        raise Refusal(UnknownPart(f"the data {spec.data.name} has no part `{part}`", None, help=help))
    path = weights_file(run)
    with reproducible(run.config.threads):
        data = read_data(run, spec).to(place)
        task = make_task(spec, data, place)
        try:
            tensors = read_tensors(path)
        except BrokenCheckpointError as error:
            raise Refusal(BrokenRun(f"{path} cannot be read", None, notes=(error.reason,))) from error
        load_weights(run, spec, task.instances, tensors)
        if prepare is not None:
            prepare(task.instances)
        try:
            return measure(task, part, spec.settings)
        except StepError as error:
            raise Refusal(_failed(spec, f"measuring the part {part}", error)) from error


def choose_device(name: str | None) -> torch.device:
    """The device of that name; without one the accelerator, or else the processor. Raises Refusal."""
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise Refusal(NoDevice(f"there is no device {name} here", None, notes=(reason,))) from error
    return device


# --- one training, from where it stands -------------------------------------------------------------------------


class _Session:
    """A training under way, with its files."""

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

    def train(self, quiet: bool) -> Result:
        with self._run.writing():
            self._cut_metrics()
        loop = self._loop
        bar = progress(steps=loop.steps, done=loop.position.step, epochs=loop.epochs, quiet=quiet)
        last: EpochEnded | None = None
        try:
            with stop_requests() as interrupted, bar:
                for event in loop.events():
                    if isinstance(event, EpochEnded):
                        last = event
                        with self._run.writing():
                            self._note(event)
                        bar.ended(event)
                    else:
                        bar.stepped(event)
                    if interrupted.is_set():
                        break
                    if self._due(event):
                        self._save()
                if self._saved_at != loop.position:
                    self._save()
        except NonFiniteError as error:
            raise Refusal(self._not_finite(error)) from error
        except StepError as error:
            raise Refusal(_failed(self._spec, f"step {loop.position.step + 1}", error)) from error
        parts = {part: plain(means) for part, means in last.parts.items()} if last else {}
        return Result(loop.finished, loop.position.epoch, loop.position.step, self._seconds(), parts)

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
        with self._run.writing(), self._loop.averaged():
            checkpoint = Checkpoint(weights_of(self._spec, self._task.instances), tensors, record)
            self._run.checkpoints.save(checkpoint, self._spec.settings.checkpoint.keep)
        self._saved = time.monotonic()
        self._saved_at = self._loop.position

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


def _failed(spec: TrainSpec, what: str, error: StepError) -> StepFailed:
    notes = (f"in the emitted line: {error.line}",) if error.line else ()
    return StepFailed(f"{what} failed: {error.reason}", spec.step.graph.span, notes=notes)


# --- checkpoints and weights ------------------------------------------------------------------------------------


def _last(run: Run) -> Checkpoint | None:
    try:
        return run.checkpoints.load()
    except BrokenCheckpointError as error:
        raise Refusal(_broken(run, error)) from error


def _broken(run: Run, error: BrokenCheckpointError) -> BrokenRun:
    folder = error.path.parent
    return BrokenRun(
        f"{error.path} cannot be read",
        None,
        notes=(error.reason,),
        help=f"remove the folder {folder} to go on from the checkpoint before it",
    )


def _restore(run: Run, spec: TrainSpec, task: Task, loop: Loop, last: Checkpoint) -> None:
    """Goes back to a checkpoint. Raises Refusal where it belongs to another spec or is incomplete."""
    load_weights(run, spec, task.instances, last.model)
    try:
        loop.restore(last.state, last.record)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        place = run.checkpoints.last() or run.folder
        broken = BrokenCheckpointError(place / "state.json", f"it lacks what training needs: {error}")
        raise Refusal(_broken(run, broken)) from error


def _finished(run: Run, loop: Loop) -> RunFinished:
    done = loop.position
    return RunFinished(
        f"{run.folder} is finished: it has been trained for {done.epoch} epochs, {done.step} steps",
        None,
        help=f"--epochs {done.epoch * 2} goes on to twice as many",
    )
