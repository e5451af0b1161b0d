"""The training loop: an epoch's order, batches, gradient steps. It touches no file and no terminal."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from dlc.compiler.schedules import Plateau
from dlc.compiler.settings import Settings
from dlc.runtime.train.averaging import WeightAverage
from dlc.runtime.train.batches import Batches, drawn
from dlc.runtime.train.descent import Descent, Minimize, NotFinite
from dlc.runtime.train.feed import feed
from dlc.runtime.train.metrics import Averages, Measured
from dlc.runtime.train.normalisation import batch_norms, measure_statistics
from dlc.runtime.train.order import EpochOrder
from dlc.runtime.train.schedules import factor
from dlc.runtime.train.task import Task, means_of, measure, named
from dlc.runtime.train.team import Share
from dlc.runtime.train.tracing import first_spoilt
from dlc.runtime.train.versions import Version, Versions, copied
from dlc.runtime.train.watching import Watch

if TYPE_CHECKING:
    from dlc.runtime.data.examples import Rows


@dataclass(frozen=True, slots=True)
class Position:
    """How far a training has come: whole epochs, batches of the one that is under way, steps in all."""

    epoch: int = 0
    batch: int = 0
    step: int = 0


@dataclass(frozen=True, slots=True)
class Stepped:
    """A step was taken. loss: the sum of what it minimised, if it minimised anything."""

    position: Position
    loss: float | None
    examples: int


@dataclass(frozen=True, slots=True)
class EpochEnded:
    """An epoch ended, or the last steps did. lr: of the last step. parts: the means of each part's reports. stopped:
    whether training ends here because it gets no better. best: the epoch, from 1, with whose weights a training that
    may stop early ends."""

    position: Position
    lr: float
    parts: Mapping[str, Mapping[str, float]]
    stopped: bool = False
    best: int | None = None


class NonFiniteError(Exception):
    """A loss or a gradient is infinite or not a number. Nothing has been updated by it.

    found: which. step, epoch, batch: counted from 1, the batch within its epoch. reports: the scalars that the step
    measures. first: what was the first to hold such a number, where it is known.
    """

    def __init__(self, found: NotFinite, position: Position, reports: Mapping[str, float], first: str | None) -> None:
        what = "the loss" if found.weight is None else f"the gradient of {found.weight}"
        super().__init__(f"{what} is {found.value} at step {position.step + 1}")
        self.found = found
        self.epoch = position.epoch + 1
        self.batch = position.batch + 1
        self.step = position.step + 1
        self.reports = reports
        self.first = first


class Loop:
    """A training, from where it stands to its end, as a series of events.

    Between two events everything is at rest: `tensors` and `record` hold all that it takes to go on from there, bit
    for bit, beside the weights as `shown` shows them. epochs: how many, in place of what the settings say. fused:
    whether optimisers are.
    """

    def __init__(self, task: Task, settings: Settings, *, epochs: int | None = None, fused: bool = True) -> None:
        self._task = task
        self._settings = settings
        self._train = task.examples("train")
        count = self._train.count
        self._bounds = Batches(count, count if settings.batch == "all" else settings.batch)
        self._by_epochs = epochs is not None or settings.steps is None
        if self._by_epochs:
            self.steps = (epochs or settings.epochs or 0) * len(self._bounds)
        else:
            self.steps = settings.steps or 0
        self.epochs = math.ceil(self.steps / len(self._bounds))
        self._team = task.team
        self._descent = Descent(task, settings, fused=fused, team=task.team)
        self._versions = Versions(task.instances)
        self._average = WeightAverage(settings.average, self._versions, self.steps)
        self._normalises = settings.average is not None and bool(batch_norms(task.instances))
        self._plateau = Watch(settings.schedule) if isinstance(settings.schedule, Plateau) else None
        self._reduced = 1.0
        self._stop = Watch(settings.stop_early) if settings.stop_early is not None else None
        self.best: int | None = None  # the epoch, from 1, that was the best of those that an early stop goes by
        self._means = Averages(self._task.finish, self._team)
        self.position = Position()

    @property
    def stopped(self) -> bool:
        """Whether training ended because it got no better."""
        early = self._settings.stop_early
        return self._stop is not None and early is not None and self._stop.waited >= early.patience

    @property
    def finished(self) -> bool:
        """Whether all steps were taken, or as many as make it better, and the last epoch was measured."""
        return (self.position.step >= self.steps or self.stopped) and self.position.batch == 0

    @property
    def waits(self) -> bool:
        """Whether gradients are gathered that a later step uses."""
        return self.position.batch != 0 and self._descent.waits

    @property
    def device(self) -> torch.device:
        return self._train.device

    def shown(self) -> AbstractContextManager[None]:
        """The modules with the weights that are saved: where a training has ended that may stop early, those of its
        best epoch; else those that are measured."""
        return self._versions.shown(self._shown())

    def _shown(self) -> Version:
        return "best" if self.finished and self.best is not None else self._measured()

    def _measured(self) -> Version:
        """The averages of weights, if the settings ask for them and there are any yet; else the weights themselves."""
        return "average" if self._average.begun else "own"

    # --- training ---

    def events(self) -> Iterator[Stepped | EpochEnded]:
        """Trains. Raises NonFiniteError before an update that would spoil the weights."""
        while not self.finished:
            for module in self._task.instances.values():
                module.train()
            with feed(self._train, self._batches()) as batches:
                while self.position.batch < len(self._bounds) and self.position.step < self.steps:
                    yield self._step(next(batches))
            yield self._end_epoch()

    def endless(self) -> Iterator[Stepped]:
        """Steps without an end, in which nothing is measured, saved or ended early: for timing them."""
        while True:
            for module in self._task.instances.values():
                module.train()
            with feed(self._train, self._batches()) as batches:
                while self.position.batch < len(self._bounds):
                    yield self._step(next(batches))
            self._means = Averages(self._task.finish, self._team)
            self.position = Position(self.position.epoch + 1, 0, self.position.step)

    def _batches(self) -> Iterator[Rows]:
        """The examples of each batch that is left of this epoch."""
        by = self._settings.bucket
        lengths = None if by is None else self._train[by].cpu().numpy()
        train = self._train
        order = EpochOrder(train.count, self._settings, self.position.epoch, train.size, lengths)
        return self._team.shares(drawn(order, self._bounds, self.position.batch))

    def _step(self, fields: Sequence[Tensor]) -> Stepped:
        start, stop = self._bounds[self.position.batch]
        with self._team.batch(stop - start) as share:
            return self._stepped(fields, stop - start, share)

    def _stepped(self, fields: Sequence[Tensor], examples: int, share: Share) -> Stepped:
        random = self._random()
        minimize = Minimize(
            self._descent,
            self._settings,
            self._rate(self.position.step),
            examples,
            due := self._due(),
            self._task.keep_graph,
            lambda minimize: self._again(minimize, fields, random),
            share,
            self._task.sums,
        )
        measured = self._task.call(minimize, fields)
        if minimize.refused is not None:
            raise self._refused(minimize.refused, measured, fields, random)
        if due:
            self._average.update(self.position.step)
        own = self._team.part(measured, share, self._task.summed)
        self._means.add({**named(minimize.own), **own}, examples)
        self.position = replace(self.position, batch=self.position.batch + 1, step=self.position.step + 1)
        return Stepped(self.position, sum(minimize.losses) if minimize.losses else None, examples)

    def _due(self) -> bool:
        """Whether gradients are used in this step, or gathered for a later one of the epoch."""
        taken = self.position.batch + 1
        last = taken == len(self._bounds) or self.position.step + 1 == self.steps
        return last or taken % self._settings.accumulate == 0

    def _rate(self, step: int) -> float:
        """What learning rates are multiplied by."""
        return self._reduced * factor(self._settings.schedule, step, self.steps, len(self._bounds))

    def _again(self, minimize: Callable[..., None], fields: Sequence[Tensor], random: Mapping[str, Tensor]) -> None:
        """Does a step once more with the same random draws; all but the weights is as it was afterwards."""
        buffers = [buffer for module in self._task.instances.values() for buffer in module.buffers()]
        before, drawn = [buffer.clone() for buffer in buffers], self._random()
        self._set_random(random)
        self._task.call(minimize, fields)
        self._set_random(drawn)
        with torch.no_grad():
            for buffer, value in zip(buffers, before, strict=True):
                buffer.copy_(value)

    def _refused(
        self, found: NotFinite, measured: Mapping[str, Measured], fields: Sequence[Tensor], random: Mapping[str, Tensor]
    ) -> NonFiniteError:
        scalars = {name: float(value.detach()) for name, value in measured.items() if isinstance(value, Tensor)}
        self._set_random(random)
        first = self._team.first(first_spoilt(self._task, list(self._train), fields))
        return NonFiniteError(found, self.position, scalars, first)

    def _end_epoch(self) -> EpochEnded:
        parts = {"train": means_of(self._means)}
        if self._normalises and self._average.begun:
            with self._versions.shown("average"):
                measure_statistics(self._task, self._settings, self.position.epoch)
                self._versions.held["average"] = copied(self._versions.modules)
        if "valid" in self._task.parts:
            with self._versions.shown(self._measured()):
                parts["valid"] = measure(self._task, "valid", self._settings)
        self._means = Averages(self._task.finish, self._team)
        lr = self._settings.optimizer.lr * self._rate(self.position.step - 1)
        self._watch(parts)
        self.position = Position(self.position.epoch + 1, 0, self.position.step)
        return EpochEnded(self.position, lr, parts, self.stopped, self.best)

    def _watch(self, parts: Mapping[str, Mapping[str, float]]) -> None:
        schedule = self._settings.schedule
        if self._plateau is not None and isinstance(schedule, Plateau):
            self._plateau.see(parts)
            if self._plateau.waited > schedule.patience:
                self._reduced *= schedule.factor
                self._plateau.waited = 0
        if self._stop is not None and self._stop.see(parts):
            measured = self._measured()
            weights = self._versions.modules if measured == "own" else self._versions.held[measured]
            self._versions.held["best"] = copied(weights)
            self.best = self.position.epoch + 1

    # --- what it takes to go on ---

    def _random(self) -> dict[str, Tensor]:
        """The states of the random generators."""
        found = {"random.cpu": torch.get_rng_state()}
        if self.device.type == "cuda":
            found["random.cuda"] = torch.cuda.get_rng_state(self.device)
        return found

    def _set_random(self, states: Mapping[str, Tensor]) -> None:
        torch.set_rng_state(states["random.cpu"])
        if self.device.type == "cuda" and "random.cuda" in states:
            torch.cuda.set_rng_state(states["random.cuda"], self.device)

    def tensors(self) -> dict[str, Tensor]:
        """The states of optimisers and random generators, gradients that wait, and the versions of the weights that
        `shown` does not show."""
        return {**self._random(), **self._descent.tensors(), **self._versions.tensors(self._shown())}

    def record(self) -> dict[str, Any]:
        """The position, the sums of the epoch that is under way and the like, as JSON holds them."""
        return {
            "position": asdict(self.position),
            "finished": self.finished,
            "averages": self._means.state(),
            "descent": self._descent.record(),
            "averaged": self._average.count,
            "best": self.best,
            "versions": list(self._versions.held),
            "shown": self._shown(),
            "reduced": self._reduced.hex(),
            "plateau": self._plateau.state() if self._plateau else None,
            "stop": self._stop.state() if self._stop else None,
        }

    def restore(self, tensors: Mapping[str, Tensor], record: Mapping[str, Any]) -> None:
        """Goes back to where a checkpoint was taken, whose model is in the modules. Raises KeyError, TypeError,
        ValueError or RuntimeError where the state does not fit."""
        self.position = Position(**record["position"])
        if self._by_epochs:  # which may have had another length before, if training is forced to go on with other data
            left = (self.epochs - self.position.epoch) * len(self._bounds) - self.position.batch
            self.steps = self.position.step + max(0, left)
        self._means = Averages.restored(record["averages"], self._task.finish, self._team)
        self._average.count = int(record["averaged"])
        self.best = record["best"]
        self._versions.restore(tensors, record["versions"], record["shown"])
        self._descent.restore(tensors, record["descent"])
        self._reduced = float.fromhex(record["reduced"])
        if self._plateau is not None:
            self._plateau.restore(record["plateau"])
        if self._stop is not None:
            self._stop.restore(record["stop"])
        self._set_random(tensors)
