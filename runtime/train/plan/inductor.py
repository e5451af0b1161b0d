"""Networks compiled by PyTorch's inductor, which takes many seconds and has to come back within the run."""

from __future__ import annotations

import shutil
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from dlc.runtime.train.plan.text import called
from dlc.runtime.train.task import Task

_TURNS = {"unbind", "gru_states", "lstm_states"}

SECONDS = 20.0  # what compiling a network of medium size took, forward and backward


def available(device: torch.device) -> bool:
    """Whether there is what it compiles with."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (7, 0)
    return device.type == "cpu" and (shutil.which("g++") or shutil.which("clang++")) is not None


def unrolls(task: Task) -> bool:
    """Whether the emitted text has loops over turns, each of which would be compiled by itself: 64 took a minute."""
    return not _TURNS.isdisjoint(called(task))


@contextmanager
def compiled(instances: Iterable[nn.Module]) -> Generator[None, None, None]:
    """The modules compiled, each for the very sizes that it meets: which code runs must not depend on what came
    before, or a resumed training would not repeat it."""
    modules: list[Any] = list(instances)
    for module in modules:
        module.compile(dynamic=False)
    try:
        yield
    finally:
        for module in modules:
            module._compiled_call_impl = None
