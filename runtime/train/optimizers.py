"""The optimisers of a spec as PyTorch's."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from dlc.compiler import settings


def make_optimizer(choice: settings.Optimizer, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    """The optimiser that a spec chose, over weights that are on their device already.

    One fused kernel updates all weights where PyTorch has it for that device.
    """
    weights = list(parameters)
    fused: dict[str, Any] = {"fused": True} if _fusible(weights) else {}
    match choice:
        case settings.SGD():
            return torch.optim.SGD(
                weights,
                lr=choice.lr,
                momentum=choice.momentum,
                nesterov=choice.nesterov,
                weight_decay=choice.weight_decay,
                **fused,
            )
        case settings.AdamW():
            return torch.optim.AdamW(
                weights, lr=choice.lr, betas=choice.betas, eps=choice.eps, weight_decay=choice.weight_decay, **fused
            )
        case settings.Adam():
            return torch.optim.Adam(
                weights, lr=choice.lr, betas=choice.betas, eps=choice.eps, weight_decay=choice.weight_decay, **fused
            )
        case _:
            raise NotImplementedError(f"no optimiser of PyTorch stands for {choice.name}")


def _fusible(weights: list[nn.Parameter]) -> bool:
    return all(weight.device.type in ("cpu", "cuda") and weight.is_floating_point() for weight in weights)
