"""Prices, compiled from regression.dl."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Hidden(nn.Module):
    """A small regression with a weight of its own, and what a step reports before and after."""

    def __init__(self, d: int, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(d, width)
        self.layer_norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.layer_norm(self.linear(x)))


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.empty(()))
        nn.init.constant_(self.scale, 1.0)
        self.Hidden = Hidden(10, 32)
        self.Hidden_2 = Hidden(32, 16)
        self.linear = nn.Linear(16, 1)

    def forward(self, features: Tensor) -> Tensor:
        h = self.Hidden_2(self.Hidden(features))
        return self.scale * self.linear(h).squeeze(1)


def build() -> dict[str, nn.Module]:
    return {"net": Net()}


def step(
    net: nn.Module, minimize: Callable[[Tensor], None], features: Tensor, price: Tensor
) -> dict[str, Tensor]:
    guess = net(features)
    before = torch.abs(guess - price).mean()
    minimize(((guess - price) ** 2).mean())
    return {"before": before, "after": torch.abs(net(features) - price).mean()}
