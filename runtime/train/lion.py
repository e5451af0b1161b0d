"""Lion: steps of one size for all weights, in the direction of a momentum's sign.

Chen, Liang, Huang and others, "Symbolic Discovery of Optimization Algorithms", 2023, algorithm 2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from dlc.runtime.train import foreach


class Lion(torch.optim.Optimizer):
    """betas: how much of the momentum counts in a step, and how much of it is kept."""

    def __init__(
        self, params: Iterable[dict[str, Any]], lr: float, betas: tuple[float, float], weight_decay: float
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Updates the weights that have gradients. A closure is not called: one evaluation is enough."""
        for group in self.param_groups:
            weights: list[Tensor] = [weight for weight in group["params"] if weight.grad is not None]
            if not weights:
                continue
            first, second = group["betas"]
            gradients = [weight.grad for weight in weights if weight.grad is not None]
            momenta = [self._momentum(weight) for weight in weights]
            directions = foreach.lerp(momenta, gradients, 1 - first)
            foreach.sign_(directions)
            foreach.mul_(weights, 1 - group["lr"] * group["weight_decay"])
            foreach.add_(weights, directions, alpha=-group["lr"])
            foreach.lerp_(momenta, gradients, 1 - second)

    def _momentum(self, weight: Tensor) -> Tensor:
        state = self.state[weight]
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(weight)
        return state["momentum"]
