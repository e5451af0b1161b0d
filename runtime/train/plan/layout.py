"""The layout of images in memory: a pixel's channels beside one another, which is how convolutions read them.

Weights of convolutions are laid out so; what they compute takes on their layout, and nothing else changes.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def channels_last(instances: Iterable[nn.Module]) -> Generator[None, None, None]:
    """The weights of convolutions over images with their channels last, and afterwards as they were."""
    weights = list(convolutions(instances))
    before = [weight.stride() for weight in weights]
    for weight in weights:
        weight.data = weight.data.contiguous(memory_format=torch.channels_last)
    try:
        yield
    finally:
        for weight, stride in zip(weights, before, strict=True):
            restored = torch.empty_strided(weight.shape, stride, dtype=weight.dtype, device=weight.device)
            weight.data = restored.copy_(weight.data)


def convolutions(instances: Iterable[nn.Module]) -> Iterator[nn.Parameter]:
    """The weights of convolutions over images, each once."""
    found: dict[int, nn.Parameter] = {}
    for instance in instances:
        for module in instance.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                weight = module.weight
                assert isinstance(weight, nn.Parameter)
                found.setdefault(id(weight), weight)
    yield from found.values()
