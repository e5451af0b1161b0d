"""Net, compiled from borrowed.dl."""

import torch
from torch import Tensor, nn


def twice(x: Tensor, f: nn.Module) -> Tensor:
    """A layer that is passed in, called in a block of its own, and one that owns nothing."""
    return f(f(x))


class Gate(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Parameter(torch.empty(8))
        nn.init.normal_(self.mix, 0.0, 0.1)

    def forward(self, x: Tensor, y: Tensor, f: nn.Module) -> Tensor:
        g = torch.sigmoid(f(x) + self.mix)
        return g * x + (1 - g) * y


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.shared = nn.Linear(8, 8)
        self.Gate = Gate()

    def forward(self, x: Tensor) -> Tensor:
        y = twice(x, self.shared)
        return self.Gate(x, y, self.shared)
