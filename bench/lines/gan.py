"""A generative adversarial network in PyTorch: what tests/examples/gan.dl says."""

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from sklearn.datasets import load_digits
from torch import nn

EPOCHS, BATCH, LATENT = 100, 64, 32


class Generator(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(LATENT, 128)
        self.batch_norm = nn.BatchNorm1d(128)
        self.linear_2 = nn.Linear(128, 64)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        h = F.relu(self.batch_norm(self.linear(z)))
        return torch.sigmoid(self.linear_2(h)).reshape(-1, 1, 8, 8)


class Discriminator(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(64, 128)
        self.linear_2 = nn.Linear(128, 1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        h = F.leaky_relu(self.linear(image.flatten(1)), 0.2)
        return self.linear_2(F.dropout(h, 0.3, self.training)).squeeze(1)


class Sample(nn.Module):
    def __init__(self, generator: Generator, n: int) -> None:
        super().__init__()
        self.generator, self.n = generator, n

    def forward(self) -> torch.Tensor:
        return self.generator(torch.randn(self.n, LATENT))


def main() -> None:
    torch.manual_seed(0)
    images = torch.tensor(load_digits().images, dtype=torch.float32).unsqueeze(1) / 16
    generator, discriminator = Generator(), Discriminator()
    g_optimizer = torch.optim.Adam(generator.parameters(), lr=2e-4, betas=(0.5, 0.999))
    d_optimizer = torch.optim.Adam(discriminator.parameters(), lr=2e-4, betas=(0.5, 0.999))
    for epoch in range(EPOCHS):
        for index in torch.randperm(len(images)).split(BATCH):
            image = images[index]
            ones, zeros = torch.ones(len(image)), torch.zeros(len(image))
            fake = generator(torch.randn(len(image), LATENT))
            d_loss = F.binary_cross_entropy_with_logits(discriminator(image), ones)
            d_loss = d_loss + F.binary_cross_entropy_with_logits(discriminator(fake.detach()), zeros)
            d_optimizer.zero_grad()
            d_loss.backward()
            d_optimizer.step()
            g_loss = F.binary_cross_entropy_with_logits(discriminator(fake), ones)
            g_optimizer.zero_grad()
            g_loss.backward()
            g_optimizer.step()
        print(f"epoch {epoch + 1}: discriminator {d_loss.item():.3f}, generator {g_loss.item():.3f}")
    weights = {f"G.{name}": weight for name, weight in generator.state_dict().items()}
    weights |= {f"D.{name}": weight for name, weight in discriminator.state_dict().items()}
    save_file(weights, "gan.safetensors")
    torch.onnx.export(Sample(generator, 16).eval(), (), "gan_sample.onnx", dynamo=True)


if __name__ == "__main__":
    main()
