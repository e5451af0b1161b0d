"""Steps that leave no trace: what is measured before a training must not change what it learns."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import torch
from torch import Tensor

from dlc.runtime.train.task import Task


@contextmanager
def undone(task: Task, device: torch.device) -> Generator[None, None, None]:
    """All that steps change is afterwards as it was, bit for bit: weights, buffers, modes, random generators.

    Optimisers and averages are not the task's: they are made anew for a training.
    """
    modules = [part for whole in task.instances.values() for part in whole.modules()]
    modes = [(part, part.training) for part in modules]
    held = list({id(tensor): tensor for part in modules for tensor in _own(part)}.values())
    copies = [tensor.detach().clone() for tensor in held]
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices):  # pyright: ignore[reportUnknownMemberType]
        try:
            yield
        finally:
            with torch.no_grad():
                for tensor, copy in zip(held, copies, strict=True):
                    tensor.copy_(copy)
            for tensor in held:
                tensor.grad = None
            for part, mode in modes:
                part.training = mode


def _own(part: torch.nn.Module) -> list[Tensor]:
    return [*part.parameters(recurse=False), *part.buffers(recurse=False)]
