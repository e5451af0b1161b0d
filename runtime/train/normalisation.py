"""Statistics of batch normalisation, measured anew for weights that no batch has passed yet: averaged ones."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from dlc.compiler.settings import Settings
from dlc.runtime.seeds import Stream, derive, torch_seeded
from dlc.runtime.train.batches import Batches, in_order
from dlc.runtime.train.feed import feed
from dlc.runtime.train.task import Over, Task


def batch_norms(instances: Mapping[str, nn.Module]) -> list[nn.Module]:
    """The layers that keep running statistics of batches."""
    kind: Any = nn.modules.batchnorm._BatchNorm  # pyright: ignore[reportPrivateUsage]
    return [
        part
        for module in instances.values()
        for part in module.modules()
        if isinstance(part, kind) and part.track_running_stats
    ]


def measure_statistics(task: Task, settings: Settings, index: int) -> None:
    """Gives batch norms the mean of what the batches of the training part have, with the weights that they have now,
    as `torch.optim.swa_utils.update_bn` does (Izmailov and others, 2018).

    Nothing is learned or assigned. Random draws depend on the seed and `index` alone, and leave those of the training
    as they were.
    """
    norms = batch_norms(task.instances)
    examples = task.examples("train")
    bounds = Batches(examples.count, examples.count if settings.batch == "all" else settings.batch)
    devices = [examples.device] if examples.device.type == "cuda" else []
    differentiates = torch.set_grad_enabled(task.differentiates)
    with _cumulative(norms), torch_seeded(derive(settings.seed, Stream.NORMALISATION, index), devices), differentiates:
        for module in task.instances.values():
            module.train()
            module.training = not task.assigns  # a step assigns weights where the instance itself says that it learns
        with feed(examples, task.team.shares(in_order(bounds))) as batches:
            for (start, stop), fields in zip(bounds, batches, strict=True):
                with task.team.batch(stop - start):
                    task.call(_nothing, fields)
        for module in task.instances.values():
            module.train()


def _nothing(loss: Tensor, *, over: Over | None = None, using: str | None = None) -> None:
    """A `minimize` that updates nothing."""


@contextmanager
def _cumulative(norms: list[nn.Module]) -> Generator[None, None, None]:
    """Batch norms that average all batches alike, from none on, instead of forgetting old ones."""
    untyped: list[Any] = [*norms]
    momenta = [norm.momentum for norm in untyped]
    for norm in untyped:
        norm.reset_running_stats()
        norm.momentum = None
    try:
        yield
    finally:
        for norm, momentum in zip(untyped, momenta, strict=True):
            norm.momentum = momentum
