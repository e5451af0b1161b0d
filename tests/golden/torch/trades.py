"""Robust, compiled from trades.dl."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ResidualStride2(nn.Module):
    def __init__(self, c: int, out: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(c, out, 1, stride=2)
        self.conv_2 = nn.Conv2d(c, out, 3, stride=2, padding=1)
        self.batch_norm = nn.BatchNorm2d(out)
        self.conv_3 = nn.Conv2d(out, out, 3, padding=1)
        self.batch_norm_2 = nn.BatchNorm2d(out)

    def forward(self, x: Tensor) -> Tensor:
        skip = self.conv(x)
        x = F.relu(self.batch_norm(self.conv_2(x)))
        return F.relu(skip + self.batch_norm_2(self.conv_3(x)))


class ResidualStride1(nn.Module):
    def __init__(self, out: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(out, out, 3, padding=1)
        self.batch_norm = nn.BatchNorm2d(out)
        self.conv_2 = nn.Conv2d(out, out, 3, padding=1)
        self.batch_norm_2 = nn.BatchNorm2d(out)

    def forward(self, x: Tensor) -> Tensor:
        h = F.relu(self.batch_norm(self.conv(x)))
        return F.relu(x + self.batch_norm_2(self.conv_2(h)))


class Classifier(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 32, 3, padding=1)
        self.batch_norm = nn.BatchNorm2d(32)
        self.Residual = ResidualStride2(32, 32)
        self.Residual_2 = ResidualStride1(32)
        self.Residual_3 = ResidualStride2(32, 64)
        self.Residual_4 = ResidualStride1(64)
        self.Residual_5 = ResidualStride2(64, 128)
        self.Residual_6 = ResidualStride1(128)
        self.linear = nn.Linear(128, 10)

    def forward(self, image: Tensor) -> Tensor:
        h = F.relu(self.batch_norm(self.conv(image)))
        h = self.Residual_2(self.Residual(h))
        h = self.Residual_4(self.Residual_3(h))
        h = self.Residual_6(self.Residual_5(h))
        logits = self.linear(h.mean(dim=(2, 3)))
        return logits


def build() -> dict[str, nn.Module]:
    return {"f": Classifier()}


@torch.enable_grad()
def step(
    f: nn.Module, minimize: Callable[[Tensor], None], image: Tensor, label: Tensor
) -> dict[str, Tensor]:
    clean = f(image)
    adv = image + 0.001 * torch.randn_like(image)
    for _ in range(10):
        adv = adv.detach().requires_grad_()
        h = clean.detach()
        h2 = f(adv)
        loss = F.kl_div(
            F.log_softmax(h2, dim=-1),
            F.log_softmax(h, dim=-1),
            reduction="batchmean",
            log_target=True,
        )
        g = torch.autograd.grad(loss, adv)[0]
        adv = (adv + 0.025 * torch.sign(g)).clamp(image - 0.1, image + 0.1).clamp(0, 1)
    h = f(adv)
    divergence = F.kl_div(
        F.log_softmax(h, dim=-1),
        F.log_softmax(clean, dim=-1),
        reduction="batchmean",
        log_target=True,
    )
    minimize(F.cross_entropy(clean, label) + 6.0 * divergence)
    h = (f(adv).argmax(-1) == label).float().mean()
    return {"accuracy": (clean.argmax(-1) == label).float().mean(), "robust": h}
