"""The training loop: an epoch's order, batches, gradient steps. It touches no file and no terminal."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from dlc.compiler.settings import Settings
from dlc.runtime.seeds import Stream, permutation
from dlc.runtime.train.metrics import Averages
from dlc.runtime.train.optimizers import make_optimizer
from dlc.runtime.train.schedules import factor
from dlc.runtime.train.task import Task, batches, length, means, measure, named


@dataclass(frozen=True, slots=True)
class Position:
    """How far a training has come: whole epochs, batches of the one that is under way, steps in all."""

    epoch: int = 0
    batch: int = 0
    step: int = 0


@dataclass(frozen=True, slots=True)
class Stepped:
    """A step was taken. loss: the sum of what it minimised."""

    position: Position
    loss: float
    examples: int


@dataclass(frozen=True, slots=True)
class EpochEnded:
    """An epoch ended, or the last steps did. lr: of the last step. parts: the means of each part's reports."""

    position: Position
    lr: float
    parts: Mapping[str, Mapping[str, float]]


class NonFiniteError(Exception):
    """A loss is infinite or not a number. Nothing has been updated by it.

    number: which of the step's losses it is, from 0. step: counted from 1. reports: what the step reports.
    """

    def __init__(self, loss: float, number: int, position: Position, reports: Mapping[str, float]) -> None:
        super().__init__(f"the loss is {loss} at step {position.step + 1}")
        self.loss = loss
        self.number = number
        self.epoch = position.epoch + 1
        self.step = position.step + 1
        self.reports = reports


class Loop:
    """A training, from where it stands to its end, as a series of events.

    Between two events everything is at rest: `tensors` and `record` hold all that it takes to go on from there, bit
    for bit. epochs: how many, in place of what the settings say.
    """

    def __init__(self, task: Task, settings: Settings, *, epochs: int | None = None) -> None:
        self._task = task
        self._settings = settings
        self._train = task.parts["train"]
        self._count = length(self._train)
        self._bounds = batches(self._count, self._count if settings.batch == "all" else settings.batch)
        if epochs is None and settings.steps is not None:
            self.steps = settings.steps
        else:
            self.steps = (epochs or settings.epochs or 0) * len(self._bounds)
        self.epochs = math.ceil(self.steps / len(self._bounds))
        self._names, weights = _trainable(task.instances)
        self._optimizer = make_optimizer(settings.optimizer, weights)
        self._averages = Averages(task.finish)
        self.position = Position()

    @property
    def finished(self) -> bool:
        """Whether all steps were taken and the last epoch was measured."""
        return self.position.step >= self.steps and self.position.batch == 0

    @property
    def device(self) -> torch.device:
        return next(iter(self._train.values())).device

    # --- training ---

    def events(self) -> Iterator[Stepped | EpochEnded]:
        """Trains. Raises NonFiniteError before an update that would spoil the weights."""
        while not self.finished:
            order = self._order()
            for module in self._task.instances.values():
                module.train()
            while self.position.batch < len(self._bounds) and self.position.step < self.steps:
                yield self._step(order)
            yield self._end_epoch()

    def _order(self) -> Tensor | None:
        """The order of this epoch's examples: a function of the seed and the epoch, whatever came before."""
        if self._settings.batch == "all":
            return None
        order = permutation(self._count, self._settings.seed, Stream.SHUFFLE, self.position.epoch)
        return torch.as_tensor(order).to(self.device)

    def _step(self, order: Tensor | None) -> Stepped:
        start, stop = self._bounds[self.position.batch]
        fields = list(self._train.values())
        if order is not None:
            chosen = order[start:stop]
            fields = [field.index_select(0, chosen) for field in fields]
        for group in self._optimizer.param_groups:
            group["lr"] = self._rate(self.position.step)
        descent = _Descent(self._optimizer)
        reports = self._task.call(descent, fields)
        if descent.refused is not None:
            measured = {name: float(value.detach()) for name, value in reports.items() if isinstance(value, Tensor)}
            raise NonFiniteError(*descent.refused, self.position, measured)
        self._averages.add({**named(descent.losses), **reports}, stop - start)
        self.position = replace(self.position, batch=self.position.batch + 1, step=self.position.step + 1)
        return Stepped(self.position, sum(descent.losses), stop - start)

    def _rate(self, step: int) -> float:
        return self._settings.optimizer.lr * factor(self._settings.schedule, step, self.steps)

    def _end_epoch(self) -> EpochEnded:
        parts = {"train": means(self._averages)}
        if "valid" in self._task.parts:
            parts["valid"] = measure(self._task, "valid", self._settings)
        self._averages = Averages(self._task.finish)
        self.position = Position(self.position.epoch + 1, 0, self.position.step)
        return EpochEnded(self.position, self._rate(self.position.step - 1), parts)

    # --- what it takes to go on ---

    def tensors(self) -> dict[str, Tensor]:
        """The optimiser's state by weight, and the states of the random generators."""
        found: dict[str, Tensor] = {"random.cpu": torch.get_rng_state()}
        if self.device.type == "cuda":
            found["random.cuda"] = torch.cuda.get_rng_state(self.device)
        states: Mapping[int, Mapping[str, Any]] = self._optimizer.state_dict()["state"]
        for index, state in states.items():
            for key, value in state.items():
                if value is not None:  # a momentum that is not used
                    found[f"optimizer.{self._names[index]}.{key}"] = torch.as_tensor(value)
        return found

    def record(self) -> dict[str, Any]:
        """The position and the sums of the epoch that is under way, as JSON holds them."""
        return {"position": asdict(self.position), "finished": self.finished, "averages": self._averages.state()}

    def restore(self, tensors: Mapping[str, Tensor], record: Mapping[str, Any]) -> None:
        """Goes back to where a checkpoint was taken. The weights are restored by whoever owns them."""
        self.position = Position(**record["position"])
        self._averages = Averages.restored(record["averages"], self._task.finish)
        whole = self._optimizer.state_dict()
        states: dict[int, dict[str, Tensor]] = {}
        for index, name in enumerate(self._names):
            prefix = f"optimizer.{name}."
            # A weight's name may start another's, but what an optimiser keeps has no dot in its name.
            state = {
                key.removeprefix(prefix): tensor.clone()
                for key, tensor in tensors.items()
                if key.startswith(prefix) and "." not in key.removeprefix(prefix)
            }
            if state:
                states[index] = state
        self._optimizer.load_state_dict({**whole, "state": states})
        torch.set_rng_state(tensors["random.cpu"])
        if self.device.type == "cuda" and "random.cuda" in tensors:
            torch.cuda.set_rng_state(tensors["random.cuda"], self.device)


class _Descent:
    """`minimize` while training: a gradient step on each loss, until one is not finite."""

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self._optimizer = optimizer
        self.losses: list[float] = []
        self.refused: tuple[float, int] | None = None

    def __call__(self, loss: Tensor) -> None:
        if self.refused is not None:
            return
        value = float(loss.detach())
        if not math.isfinite(value):
            self.refused = value, len(self.losses)
            return
        self.losses.append(value)
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()  # pyright: ignore[reportUnknownMemberType]
        self._optimizer.step()


def _trainable(instances: Mapping[str, nn.Module]) -> tuple[list[str], list[nn.Parameter]]:
    """The weights that are learned, each once, with their names."""
    found: dict[int, tuple[str, nn.Parameter]] = {}
    for instance, module in instances.items():
        for name, weight in module.named_parameters():
            if weight.requires_grad:
                found.setdefault(id(weight), (f"{instance}.{name}", weight))
    return [name for name, _ in found.values()], [weight for _, weight in found.values()]
