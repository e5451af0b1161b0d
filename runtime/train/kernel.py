"""Adam and AdamW as one kernel, without what PyTorch's optimisers look up anew in each step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from dlc.runtime.train import foreach

_KERNELS: Mapping[type[torch.optim.Optimizer], Callable[..., None]] = {
    torch.optim.Adam: foreach.adam_,
    torch.optim.AdamW: foreach.adamw_,
}


@dataclass(frozen=True, slots=True)
class _Known:
    """A group of weights that have gradients, what is remembered of each, and the weights that have none."""

    group: Mapping[str, Any]
    weights: list[nn.Parameter]
    first: list[Tensor]
    second: list[Tensor]
    steps: list[Tensor]
    others: list[nn.Parameter]


class OneKernel:
    """The steps of an optimiser that updates its weights by one kernel.

    `torch.optim` gathers in each step which weights have gradients, what it remembers of them and which of them are of
    one kind: for a small network that takes longer than the kernel. Here it is gathered once, and again where other
    weights have gradients. All that is remembered is the optimiser's own.
    """

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self._optimizer = optimizer
        self._kernel = _KERNELS[type(optimizer)]
        self._known: list[_Known] = []  # none before the first step

    @staticmethod
    def runs(optimizer: torch.optim.Optimizer) -> bool:
        """Whether it has such a kernel, for weights of one kind."""
        groups = optimizer.param_groups
        weights = [weight for group in groups for weight in group["params"]]
        plain = all(type(weight) is nn.Parameter for weight in weights)  # not a shard of one
        alike = len({(weight.device, weight.dtype) for weight in weights}) == 1
        fused = all(group.get("fused") and not group.get("amsgrad") for group in groups)
        return type(optimizer) in _KERNELS and plain and alike and fused

    def forget(self) -> None:
        """What the optimiser remembers is in other tensors now."""
        self._known = []

    @torch.no_grad()
    def step(self) -> None:
        """Moves the weights along their gradients."""
        found = [_gradients(known) for known in self._known]
        if not found or None in found:
            self._optimizer.step()
            self._known = [self._gathered(group) for group in self._optimizer.param_groups]
            return
        for known, gradients in zip(self._known, found, strict=True):
            if not gradients:
                continue
            group = known.group
            first, second = group["betas"]
            foreach.add_(known.steps, 1)
            self._kernel(
                known.weights,
                gradients,
                known.first,
                known.second,
                [],
                known.steps,
                amsgrad=False,
                lr=group["lr"],
                beta1=first,
                beta2=second,
                weight_decay=group["weight_decay"],
                eps=group["eps"],
                maximize=False,
                grad_scale=None,
                found_inf=None,
            )

    def _gathered(self, group: Mapping[str, Any]) -> _Known:
        given = cast("list[nn.Parameter]", group["params"])
        weights = [weight for weight in given if weight.grad is not None]
        states = [self._optimizer.state[weight] for weight in weights]
        first, second, steps = ([state[name] for state in states] for name in ("exp_avg", "exp_avg_sq", "step"))
        return _Known(group, weights, first, second, steps, [weight for weight in given if weight.grad is None])


def _gradients(known: _Known) -> list[Tensor] | None:
    """The gradients of a group; none where other weights have some now."""
    gradients = [weight.grad for weight in known.weights if weight.grad is not None]
    same = len(gradients) == len(known.weights) and all(weight.grad is None for weight in known.others)
    return gradients if same else None
