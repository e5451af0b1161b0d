"""Denoising diffusion in PyTorch: what tests/examples/ddpm.dl says."""

import copy

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from sklearn.datasets import load_digits
from torch import nn

EPOCHS, BATCH, STEPS, WIDTH, DECAY = 30, 64, 200, 32, 0.999
BETA = torch.linspace(1e-4, 0.02, STEPS)
KEPT = torch.cumprod(1 - BETA, 0)


class Stage(nn.Module):
    def __init__(self, inner: int, out: int) -> None:
        super().__init__()
        self.linear = nn.Linear(64, out)
        self.conv = nn.Conv2d(inner, out, 3, padding=1)
        self.group_norm = nn.GroupNorm(8, out)
        self.conv_2 = nn.Conv2d(out, out, 3, padding=1)
        self.group_norm_2 = nn.GroupNorm(8, out)

    def forward(self, x: torch.Tensor, when: torch.Tensor) -> torch.Tensor:
        h = F.silu(self.group_norm(self.conv(x))) + self.linear(when)[:, :, None, None]
        return F.silu(self.group_norm_2(self.conv_2(h)))


class Denoiser(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(STEPS, 64)
        self.here = Stage(1, WIDTH)
        self.below = Stage(WIDTH, 2 * WIDTH)
        self.joined = Stage(3 * WIDTH, WIDTH)
        self.conv = nn.Conv2d(WIDTH, 1, 1)

    def forward(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        when = F.silu(self.embedding(t))
        here = self.here(x, when)
        below = F.interpolate(self.below(F.max_pool2d(here, 2), when), scale_factor=2)
        return self.conv(self.joined(torch.cat([here, below], 1), when))


class Sample(nn.Module):
    def __init__(self, eps: Denoiser, n: int) -> None:
        super().__init__()
        self.eps, self.n = eps, n

    def forward(self) -> torch.Tensor:
        x = torch.randn(self.n, 1, 8, 8)
        for t in reversed(range(STEPS)):
            e = self.eps(x, torch.full((self.n,), t))
            x = (x - BETA[t] / (1 - KEPT[t]).sqrt() * e) / (1 - BETA[t]).sqrt()
            if t > 0:
                x = x + BETA[t].sqrt() * torch.randn_like(x)
        return x


def main() -> None:
    torch.manual_seed(0)
    images = torch.tensor(load_digits().images, dtype=torch.float32).unsqueeze(1) / 16
    eps = Denoiser()
    averaged = copy.deepcopy(eps)
    optimizer = torch.optim.AdamW(eps.parameters(), lr=1e-3)
    for epoch in range(EPOCHS):
        for index in torch.randperm(len(images)).split(BATCH):
            image = images[index]
            t = torch.randint(STEPS, (len(image),))
            noise = torch.randn_like(image)
            a = KEPT[t].reshape(-1, 1, 1, 1)
            loss = F.mse_loss(eps(a.sqrt() * image + (1 - a).sqrt() * noise, t), noise)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            with torch.no_grad():
                for mean, weight in zip(averaged.parameters(), eps.parameters(), strict=True):
                    mean.lerp_(weight, 1 - DECAY)
        print(f"epoch {epoch + 1}: loss {loss.item():.4f}")
    save_file(averaged.state_dict(), "ddpm.safetensors")
    # The exporter unrolls the loop: one copy of the network for each of the steps.
    torch.onnx.export(Sample(averaged, 16).eval(), (), "ddpm_sample.onnx", dynamo=True)


if __name__ == "__main__":
    main()
