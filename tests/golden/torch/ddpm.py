"""DDPM, compiled from ddpm.dl."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Stage(nn.Module):
    def __init__(self, out: int, c: int) -> None:
        super().__init__()
        self.linear = nn.Linear(64, out)
        self.conv = nn.Conv2d(c, out, 3, padding=1)
        self.group_norm = nn.GroupNorm(8, out)
        self.conv_2 = nn.Conv2d(out, out, 3, padding=1)
        self.group_norm_2 = nn.GroupNorm(8, out)

    def forward(self, x: Tensor, when: Tensor) -> Tensor:
        shift = self.linear(when).unsqueeze(2).unsqueeze(3)
        h = F.silu(self.group_norm(self.conv(x)))
        return F.silu(self.group_norm_2(self.conv_2(h + shift)))


class Denoiser(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(200, 64)
        self.Stage = Stage(32, 1)
        self.Stage_2 = Stage(64, 32)
        self.Stage_3 = Stage(32, 96)
        self.conv = nn.Conv2d(32, 1, 1)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        when = F.silu(self.embedding(t))
        here = self.Stage(x, when)
        h = self.Stage_2(F.max_pool2d(here, 2), when)
        below = F.interpolate(h, scale_factor=2, mode="nearest")
        return self.conv(self.Stage_3(torch.cat((here, below), dim=1), when))


def build() -> dict[str, nn.Module]:
    return {"eps": Denoiser()}


def step(
    eps: nn.Module, minimize: Callable[[Tensor], None], image: Tensor, label: Tensor
) -> dict[str, Tensor]:
    n = image.shape[0]
    t = torch.randint(200, (n,), device=image.device)
    noise = torch.randn_like(image)
    h = 1 - torch.linspace(0.0001, 0.02, 200, dtype=image.dtype, device=image.device)
    a = h.cumprod(dim=-1)[t].reshape(n, 1, 1, 1)
    loss = F.mse_loss(eps(torch.sqrt(a) * image + torch.sqrt(1 - a) * noise, t), noise)
    minimize(loss)
    return {}
