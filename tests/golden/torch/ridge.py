"""ClosedForm, compiled from ridge.dl."""

from collections.abc import Callable

import torch
from torch import Tensor, nn


def r2_parts(prediction, target):
    """The number of rows; of each column the squared errors, the squared spread, and the mean."""
    count, mean = target.new_full((1,), len(target)), target.mean(0, keepdim=True)
    errors = [(target - each).square().sum(0, keepdim=True) for each in (prediction, mean)]
    return [count, *errors, mean]


def r2_score(count, error, spread, mean):
    """The share of each column's variance that is explained, averaged, from parts of the rows."""
    count = count.reshape(-1, *[1] * (mean.ndim - 1))
    centre = (count * mean).sum(0) / count.sum()
    spread = spread.sum(0) + (count * (mean - centre).square()).sum(0)
    return (1 - error.sum(0) / spread).mean()


class Ridge(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.empty(10))
        nn.init.constant_(self.w, 0.0)
        self.b = nn.Parameter(torch.empty(()))
        nn.init.constant_(self.b, 0.0)

    def forward(self, features: Tensor) -> Tensor:
        return features @ self.w + self.b


def build() -> dict[str, nn.Module]:
    return {"net": Ridge()}


@torch.no_grad()
def step(
    net: nn.Module, minimize: Callable[[Tensor], None], features: Tensor, target: Tensor
) -> dict:
    h = 1.0 * torch.eye(10, dtype=features.dtype, device=features.device)
    if net.training:
        net.w.copy_(torch.linalg.solve(features.T @ features + h, features.T @ target))
    return {"r2": r2_parts(net(features), target)}


def finish(measured: dict) -> dict[str, Tensor]:
    """The reports, from the averages, the sums and the joined tensors of what the batches
    measured.
    """
    return {"r2": r2_score(*measured["r2"])}
