"""VAE, compiled from vae.dl."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(64, 128)
        self.linear_2 = nn.Linear(128, 16)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x, h = self.linear_2(F.relu(self.linear(x))).chunk(2, dim=1)
        return x, h


class Decoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 128)
        self.linear_2 = nn.Linear(128, 64)

    def forward(self, z: Tensor) -> Tensor:
        z = self.linear_2(F.relu(self.linear(z)))
        return torch.sigmoid(z)


def build() -> dict[str, nn.Module]:
    return {"encode": Encoder(), "decode": Decoder()}


def step(
    encode: nn.Module,
    decode: nn.Module,
    minimize: Callable[[Tensor], None],
    image: Tensor,
    label: Tensor,
) -> dict[str, Tensor]:
    x = image.flatten(1)
    mu, logvar = encode(x)
    z = mu + torch.exp(logvar / 2) * torch.randn_like(mu)
    rebuilt = decode(z)
    kl = (torch.exp(logvar) + mu**2 - logvar - 1).sum(dim=1).mean() / 2
    reconstruction = F.mse_loss(rebuilt, x)
    minimize(F.mse_loss(rebuilt, x) + 0.01 * kl)
    return {"reconstruction": reconstruction}
