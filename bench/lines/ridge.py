"""Ridge regression in closed form, in PyTorch: what specs/linear/ridge.dl says in `Closed`."""

import torch
from safetensors.torch import save_file
from sklearn.datasets import load_diabetes
from sklearn.model_selection import train_test_split
from torch import nn

STRENGTH = 10.0


class Ridge(nn.Module):
    def __init__(self, features: int) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.zeros(features))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x @ self.w


def standardize(train: torch.Tensor, other: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    mean, std = train.mean(0), train.std(0, unbiased=False)
    return (train - mean) / std, (other - mean) / std


def r2(guess: torch.Tensor, target: torch.Tensor) -> float:
    return float(1 - ((guess - target) ** 2).sum() / ((target - target.mean()) ** 2).sum())


def main() -> None:
    data = load_diabetes()
    parts = train_test_split(data.data, data.target, test_size=0.2, random_state=0)
    x_train, x_test, y_train, y_test = (torch.tensor(part, dtype=torch.float32) for part in parts)
    x_train, x_test = standardize(x_train, x_test)
    y_train, y_test = standardize(y_train, y_test)
    net = Ridge(x_train.shape[1])
    with torch.no_grad():
        gram = x_train.T @ x_train + STRENGTH * torch.eye(x_train.shape[1])
        net.w.copy_(torch.linalg.solve(gram, x_train.T @ y_train))
        print(f"train {r2(net(x_train), y_train):.3f}, test {r2(net(x_test), y_test):.3f}")
    save_file(net.state_dict(), "ridge.safetensors")
    batch = torch.export.Dim("N")
    torch.onnx.export(net, (x_test[:2],), "ridge.onnx", dynamic_shapes=({0: batch},), dynamo=True)


if __name__ == "__main__":
    main()
