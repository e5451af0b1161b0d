"""Reader, compiled from gru.dl."""

import torch
import torch.nn.functional as F
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
        gates = F.linear(x, self.gates.weight[:, :6], self.gates.bias)
        gates_h = self.gates.weight[:, 6:].T
        candidate = F.linear(x, self.candidate.weight[:, :6], self.candidate.bias)
        candidate_h = self.candidate.weight[:, 6:].T
        hs = []
        for gates_t, candidate_t in zip(gates.unbind(1), candidate.unbind(1), strict=True):
            u, r = torch.sigmoid(torch.addmm(gates_t, h, gates_h)).chunk(2, dim=1)
            c = torch.tanh(torch.addmm(candidate_t, r * h, candidate_h))
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
