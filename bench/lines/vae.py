"""A variational autoencoder in PyTorch: what tests/examples/vae.dl says."""

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

EPOCHS, BATCH, LATENT = 50, 128, 8


class Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(64, 128)
        self.linear_2 = nn.Linear(128, 2 * LATENT)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        mu, logvar = self.linear_2(F.relu(self.linear(x))).chunk(2, dim=1)
        return mu, logvar


class Decoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(LATENT, 128)
        self.linear_2 = nn.Linear(128, 64)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(self.linear_2(F.relu(self.linear(z))))


def main() -> None:
    torch.manual_seed(0)
    x = torch.tensor(load_digits().data, dtype=torch.float32) / 16
    x_train, x_valid = train_test_split(x, test_size=0.2, random_state=0)
    encode, decode = Encoder(), Decoder()
    parameters = [*encode.parameters(), *decode.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=1e-3)

    def losses(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        mu, logvar = encode(x)
        z = mu + (logvar / 2).exp() * torch.randn_like(mu)
        reconstruction = F.mse_loss(decode(z), x)
        kl = (logvar.exp() + mu**2 - logvar - 1).sum(1).mean() / 2
        return reconstruction, reconstruction + 0.01 * kl

    for epoch in range(EPOCHS):
        for index in torch.randperm(len(x_train)).split(BATCH):
            _, loss = losses(x_train[index])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            reconstruction, loss = losses(x_valid)
        print(f"epoch {epoch + 1}: loss {loss:.4f}, reconstruction {reconstruction:.4f}")
    weights = {f"encode.{name}": weight for name, weight in encode.state_dict().items()}
    weights |= {f"decode.{name}": weight for name, weight in decode.state_dict().items()}
    save_file(weights, "vae.safetensors")
    batch = torch.export.Dim("N")
    torch.onnx.export(decode, (torch.randn(2, LATENT),), "vae.onnx", dynamic_shapes=({0: batch},), dynamo=True)


if __name__ == "__main__":
    main()
