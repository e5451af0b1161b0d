"""What a plan can do to a step: each lever with where it applies, and how it is pulled."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass

import torch

from dlc.compiler.optimizers import SGD, Adam, AdamW, Muon
from dlc.compiler.settings import Settings
from dlc.runtime.train.plan import allocator, attention, inductor, layout, precision
from dlc.runtime.train.recomputing import recomputes
from dlc.runtime.train.task import Task

FUSED = "fused optimiser"
MEMORY = "memory kept"
PRECISION = "matmul precision medium"
CHANNELS = "channels-last"
WRITTEN = "attention written out"
INDUCTOR = "inductor"


@dataclass(frozen=True, slots=True)
class Lever:
    """One way to run a step faster. applies: whether it can change anything here. pulled: the task with it.

    free: it is worth pulling without a measurement, for nothing is known to get slower by it. prepares: seconds that
    it takes once, before the first step. gains: the least that it must gain to be taken, as what it costs otherwise
    has to come back.
    """

    name: str
    applies: Callable[[Task, Settings, torch.device], bool]
    pulled: Callable[[Task], AbstractContextManager[None]]
    free: bool = False
    prepares: float = 0.0
    gains: float = 1.03


def _fusible(task: Task, settings: Settings, device: torch.device) -> bool:
    chosen = [settings.optimizer, *task.using.values()]
    return device.type in ("cpu", "cuda") and any(isinstance(choice, SGD | Adam | AdamW | Muon) for choice in chosen)


def _spares_memory(task: Task, settings: Settings, device: torch.device) -> bool:
    return device.type == "cpu" and allocator.adjustable()


def _rounds_nothing(task: Task, settings: Settings, device: torch.device) -> bool:
    return settings.precision == "fp32" and precision.stays_accurate(task.instances.values(), device)


def _convolves(task: Task, settings: Settings, device: torch.device) -> bool:
    return any(True for _ in layout.convolutions(task.instances.values()))


def _attends(task: Task, settings: Settings, device: torch.device) -> bool:
    return attention.attends(task)


def _compiles(task: Task, settings: Settings, device: torch.device) -> bool:
    again = any(recomputes(module) for module in task.instances.values())
    return inductor.available(device) and not (task.differentiates or again or inductor.unrolls(task))


@contextmanager
def _memory(task: Task) -> Generator[None, None, None]:
    allocator.keep_memory()
    yield


@contextmanager
def _medium(task: Task) -> Generator[None, None, None]:
    with ExitStack() as stack:
        stack.enter_context(precision.medium())
        if attention.attends(task):
            stack.enter_context(attention.replaced(task, attention.at_highest))
        yield


LEVERS: Sequence[Lever] = (
    Lever(MEMORY, _spares_memory, _memory, free=True),
    Lever(FUSED, _fusible, lambda task: nullcontext(), free=True),  # optimisers are made with it
    Lever(PRECISION, _rounds_nothing, _medium),
    Lever(CHANNELS, _convolves, lambda task: layout.channels_last(task.instances.values())),
    Lever(WRITTEN, _attends, lambda task: attention.replaced(task, attention.written_out)),
    Lever(
        INDUCTOR,
        _compiles,
        lambda task: inductor.compiled(task.instances.values()),
        prepares=inductor.SECONDS,
        gains=1.1,
    ),
)

TOGETHER = (PRECISION, WRITTEN)
"""Levers that may gain by one another what neither gains alone: written out, attention is products like all others."""

BY_NAME: Mapping[str, Lever] = {lever.name: lever for lever in LEVERS}


@contextmanager
def pulled(names: Iterable[str], task: Task) -> Generator[None, None, None]:
    """The task with these levers."""
    with ExitStack() as stack:
        for name in names:
            stack.enter_context(BY_NAME[name].pulled(task))
        yield
