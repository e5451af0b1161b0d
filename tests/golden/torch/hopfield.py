"""Memory, compiled from hopfield.dl."""

from collections.abc import Callable

import torch
from torch import Tensor, nn


class Hopfield(nn.Module):
    """A Hopfield network: Hebbian weights by assignment, recall by repeated updates, its energy."""

    def __init__(self) -> None:
        super().__init__()
        self.W = nn.Parameter(torch.empty(64, 64))
        nn.init.constant_(self.W, 0.0)

    def forward(self, probe: Tensor) -> tuple[Tensor, Tensor]:
        state = probe
        for _ in range(10):
            state = torch.where(state @ self.W >= 0, 1.0, -1.0).to(probe.dtype)
        return state, -0.5 * (state @ self.W * state).sum(dim=1)


def build() -> dict[str, nn.Module]:
    return {"net": Hopfield()}


@torch.no_grad()
def step(net: nn.Module, minimize: Callable[[Tensor], None], pattern: Tensor) -> dict[str, Tensor]:
    h = torch.eye(64, dtype=pattern.dtype, device=pattern.device)
    if net.training:
        net.W.copy_(pattern.T @ pattern / pattern.shape[0] - h)
    state, _ = net(pattern)
    return {"kept": (state == pattern).to(pattern.dtype).mean()}
