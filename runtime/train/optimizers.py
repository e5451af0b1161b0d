"""The optimisers of a spec as PyTorch's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from dlc.compiler import optimizers as choices
from dlc.runtime.train.lion import Lion

Groups = Sequence[Mapping[str, Any]]
"""Weights by the factor of their learning rate: PyTorch's parameter groups, with `params` and `factor`."""


def make_optimizers(choice: choices.Optimizer, groups: Groups, *, fused: bool = True) -> list[torch.optim.Optimizer]:
    """The optimiser that a spec chose, over weights that are on their device already; several where each takes
    weights of one kind.

    fused: whether one kernel updates all weights where PyTorch has it for that device.
    """
    fused = fused and _fusible(groups)
    if isinstance(choice, choices.Muon):
        matrices, others = _split(groups)
        return [
            *([_muon(choice, matrices)] if matrices else []),
            *([_adamw(choice, others, fused)] if others else []),
        ]
    return [_make(choice, [dict(group) for group in groups], fused)]


def _make(choice: choices.Optimizer, groups: list[dict[str, Any]], fused: bool) -> torch.optim.Optimizer:
    match choice:
        case choices.SGD():
            return torch.optim.SGD(
                groups,
                lr=choice.lr,
                momentum=choice.momentum,
                nesterov=choice.nesterov,
                weight_decay=choice.weight_decay,
                fused=fused or None,
            )
        case choices.Adagrad():
            return torch.optim.Adagrad(groups, lr=choice.lr, eps=choice.eps, weight_decay=choice.weight_decay)
        case choices.RMSprop():
            return torch.optim.RMSprop(
                groups,
                lr=choice.lr,
                alpha=choice.decay,
                eps=choice.eps,
                momentum=choice.momentum,
                centered=choice.centered,
                weight_decay=choice.weight_decay,
            )
        case choices.AdamW():
            return _adamw(choice, groups, fused)
        case choices.Adam() | choices.NAdam() | choices.RAdam():
            made = {choices.Adam: torch.optim.Adam, choices.NAdam: torch.optim.NAdam, choices.RAdam: torch.optim.RAdam}
            one: dict[str, Any] = {"fused": True} if isinstance(choice, choices.Adam) and fused else {}
            return made[type(choice)](
                groups, lr=choice.lr, betas=choice.betas, eps=choice.eps, weight_decay=choice.weight_decay, **one
            )
        case choices.Lion():
            return Lion(groups, lr=choice.lr, betas=choice.betas, weight_decay=choice.weight_decay)
        case choices.LBFGS():
            return torch.optim.LBFGS(
                groups,
                lr=choice.lr,
                max_iter=choice.iterations,
                history_size=choice.history,
                tolerance_change=choice.tolerance,
                line_search_fn="strong_wolfe",
            )
        case _:
            raise NotImplementedError(f"no optimiser of PyTorch stands for {choice.name}")


def _adamw(choice: choices.AdamW | choices.Muon, groups: list[dict[str, Any]], fused: bool) -> torch.optim.Optimizer:
    return torch.optim.AdamW(
        groups,
        lr=choice.lr,
        betas=choice.betas,
        eps=choice.eps,
        weight_decay=choice.weight_decay,
        fused=fused or None,
    )


def _muon(choice: choices.Muon, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
    return torch.optim.Muon(
        groups,
        lr=choice.lr,
        weight_decay=choice.weight_decay,
        momentum=choice.momentum,
        nesterov=choice.nesterov,
        adjust_lr_fn="match_rms_adamw",
    )


def _split(groups: Groups) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The groups of weights with two axes, and those of all others."""
    kinds: list[list[dict[str, Any]]] = []
    for matrices in (True, False):
        kind = [
            {**group, "params": [weight for weight in group["params"] if (weight.dim() == 2) == matrices]}
            for group in groups
        ]
        kinds.append([group for group in kind if group["params"]])
    return kinds[0], kinds[1]


def _fusible(groups: Groups) -> bool:
    weights: list[nn.Parameter] = [weight for group in groups for weight in group["params"]]
    return all(weight.device.type in ("cpu", "cuda") and weight.is_floating_point() for weight in weights)
