"""What is trained, on what, and how it is measured."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dlc.compiler.settings import Settings
from dlc.runtime.emitted import SUFFIX
from dlc.runtime.seeds import Stream, derive, torch_seeded
from dlc.runtime.train.metrics import Averages, Finish, Measured, UndefinedError

Fields = Mapping[str, Tensor]


class StepError(Exception):
    """A step cannot be computed: PyTorch refuses a value, or a `require` of the spec does.

    line: the emitted line that it happened in. reason: what was said, on one line.
    """

    def __init__(self, error: Exception) -> None:
        self.reason = next(iter(str(error).splitlines()), type(error).__name__)
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.endswith(SUFFIX)]
        self.line = frames[-1].line if frames else None
        super().__init__(self.reason)


@dataclass(frozen=True, slots=True)
class Task:
    """What is trained, on what.

    step: called with the instances in order, then `minimize`, then the fields of a batch in order; gives what the
    batch measures. finish: makes the reports of what many batches measured, where they are more than averages.
    parts: for each part of the data its fields, each with one entry along axis 0 for each example. Modules and fields
    are on one device.
    """

    instances: Mapping[str, nn.Module]
    step: Callable[..., Mapping[str, Measured]]
    parts: Mapping[str, Fields]
    finish: Finish | None = None

    def call(self, minimize: Callable[[Tensor], None], fields: Sequence[Tensor]) -> Mapping[str, Measured]:
        """One step on a batch. Raises StepError."""
        try:
            return self.step(*self.instances.values(), minimize, *fields)
        except (RuntimeError, IndexError, ValueError) as error:
            raise StepError(error) from error


def batches(count: int, size: int) -> list[tuple[int, int]]:
    """The bounds of the batches of an epoch. The last may be smaller, except that a single example that is left joins
    the batch before: what normalises over a batch needs two."""
    starts = list(range(0, count, size))
    if len(starts) > 1 and size > 1 and count - starts[-1] == 1:
        starts.pop()
    return list(zip(starts, [*starts[1:], count], strict=True))


def measure(task: Task, part: str, settings: Settings) -> dict[str, float]:
    """The means of what a step minimises and reports over a part, with nothing updated.

    Layers are in evaluation mode. Random draws are the same each time, and leave those of the training alone.
    """
    fields = task.parts[part]
    count = length(fields)
    averages = Averages(task.finish)
    devices = [field.device for field in fields.values() if field.device.type == "cuda"][:1]
    with _evaluating(task.instances.values(), settings.seed, devices), torch.no_grad():
        for start, stop in batches(count, count if settings.batch == "all" else settings.batch):
            losses: list[Tensor] = []
            batch = [field[start:stop] for field in fields.values()]
            reports = task.call(losses.append, batch)
            averages.add({**named(losses), **reports}, stop - start)
    return means(averages)


def means(averages: Averages) -> dict[str, float]:
    """What was measured. Raises StepError for a report that has no value."""
    try:
        return averages.means()
    except UndefinedError as error:
        raise StepError(error) from error


@contextmanager
def _evaluating(
    modules: Iterable[nn.Module], seed: int, devices: Sequence[torch.device]
) -> Generator[None, None, None]:
    were = [(module, module.training) for module in modules]
    with torch_seeded(derive(seed, Stream.EVALUATION), devices):
        try:
            for module, _ in were:
                module.eval()
            yield
        finally:
            for module, training in were:
                module.train(training)


def named(losses: Sequence[Tensor] | Sequence[float]) -> dict[str, Tensor | float]:
    """What is minimised as reports: `loss`, or `loss_1`, `loss_2` where a step has several."""
    if len(losses) == 1:
        return {"loss": losses[0]}
    return {f"loss_{number}": loss for number, loss in enumerate(losses, 1)}


def length(fields: Fields) -> int:
    """The number of examples."""
    return next(iter(fields.values())).shape[0]
