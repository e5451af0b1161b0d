"""Reader, compiled from gru.dl."""

import torch
from torch import Tensor, nn


class GRU(nn.Module):
    """The gated recurrent unit, written from its equations."""

    def __init__(self) -> None:
        super().__init__()
        self.gates = nn.Linear(38, 64)
        self.candidate = nn.Linear(38, 32)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        n = x.shape[0]
        h = torch.zeros(n, 32, dtype=x.dtype, device=x.device)
        hs = []
        for x_t in x.unbind(1):
            u, r = torch.sigmoid(self.gates(torch.cat((x_t, h), dim=1))).chunk(2, dim=1)
            c = torch.tanh(self.candidate(torch.cat((x_t, r * h), dim=1)))
            h = (1 - u) * h + u * c
            hs.append(h)
        hs = torch.stack(hs, dim=1) if hs else h.new_zeros(n, 0, 32)
        return hs, h


class Reader(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.GRU = GRU()

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        hs, last = self.GRU(x)
        return hs, last
