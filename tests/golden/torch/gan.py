"""GAN, compiled from gan.dl."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Generator(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(32, 128)
        self.batch_norm = nn.BatchNorm1d(128)
        self.linear_2 = nn.Linear(128, 64)

    def forward(self, z: Tensor) -> Tensor:
        n = z.shape[0]
        z = F.relu(self.batch_norm(self.linear(z)))
        return torch.sigmoid(self.linear_2(z)).reshape(n, 1, 8, 8)


class Discriminator(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(64, 128)
        self.dropout = nn.Dropout(0.3)
        self.linear_2 = nn.Linear(128, 1)

    def forward(self, image: Tensor) -> Tensor:
        h = F.leaky_relu(self.linear(image.flatten(1)), 0.2)
        return self.linear_2(self.dropout(h)).squeeze(1)


def build() -> dict[str, nn.Module]:
    return {"G": Generator(), "D": Discriminator()}


def step(
    G: nn.Module, D: nn.Module, minimize: Callable[..., None], image: Tensor, label: Tensor
) -> dict[str, Tensor]:
    n = image.shape[0]
    fake = G(torch.randn(n, 32, dtype=image.dtype, device=image.device))
    ones = torch.ones(n, dtype=image.dtype, device=image.device)
    zeros = torch.zeros(n, dtype=image.dtype, device=image.device)
    loss = F.binary_cross_entropy_with_logits(D(image), ones)
    loss_2 = F.binary_cross_entropy_with_logits(D(fake.detach()), zeros)
    minimize(loss + loss_2, over=[D])
    ones = torch.ones(n, dtype=image.dtype, device=image.device)
    minimize(F.binary_cross_entropy_with_logits(D(fake), ones), over=[G])
    return {}
