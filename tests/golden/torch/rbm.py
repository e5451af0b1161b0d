"""ContrastiveDivergence, compiled from rbm.dl."""

from collections.abc import Callable

import torch
from torch import Tensor, nn


class RBM(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.W = nn.Parameter(torch.empty(64, 64))
        nn.init.normal_(self.W, 0.0, 0.01)
        self.b = nn.Parameter(torch.empty(64))
        nn.init.constant_(self.b, 0.0)
        self.c = nn.Parameter(torch.empty(64))
        nn.init.constant_(self.c, 0.0)

    def forward(self, v: Tensor) -> Tensor:
        return torch.sigmoid(v @ self.W + self.c)


def gibbs(v: Tensor, net: nn.Module) -> Tensor:
    h = torch.bernoulli(net(v))
    return torch.bernoulli(torch.sigmoid(h @ net.W.T + net.b))


def build() -> dict[str, nn.Module]:
    return {"net": RBM()}


@torch.no_grad()
def step(
    net: nn.Module, minimize: Callable[[Tensor], None], image: Tensor, label: Tensor
) -> dict[str, Tensor]:
    data_v = (image.flatten(1) > 0.5).to(image.dtype)
    v = data_v
    for _ in range(1):
        v = gibbs(v, net)
    h0 = net(data_v)
    h1 = net(v)
    if net.training:
        net.W.copy_(net.W + 0.05 * (data_v.T @ h0 - v.T @ h1) / image.shape[0])
        net.b.copy_(net.b + 0.05 * (data_v - v).mean(dim=0))
        net.c.copy_(net.c + 0.05 * (h0 - h1).mean(dim=0))
    return {}
