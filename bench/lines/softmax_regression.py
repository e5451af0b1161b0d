"""Softmax regression on digits in PyTorch: what specs/linear/softmax_regression.dl says."""

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

EPOCHS, BATCH = 60, 64


class Softmax(nn.Module):
    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.linear = nn.Linear(64, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(x)


def main() -> None:
    torch.manual_seed(0)
    digits = load_digits()
    x = torch.tensor(digits.data, dtype=torch.float32) / 16
    y = torch.tensor(digits.target)
    x_train, x_test, y_train, y_test = train_test_split(x, y, test_size=0.2, random_state=0)
    net = Softmax()
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
    steps = EPOCHS * -(-len(x_train) // BATCH)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for epoch in range(EPOCHS):
        for index in torch.randperm(len(x_train)).split(BATCH):
            loss = F.cross_entropy(net(x_train[index]), y_train[index])
            loss = loss + 1e-4 * sum((weight**2).sum() for weight in net.parameters())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        with torch.no_grad():
            accuracy = (net(x_test).argmax(1) == y_test).float().mean()
        print(f"epoch {epoch + 1}: loss {loss.item():.3f}, test accuracy {accuracy:.3f}")
    save_file(net.state_dict(), "softmax_regression.safetensors")
    batch = torch.export.Dim("N")
    torch.onnx.export(net, (x_test[:2],), "softmax_regression.onnx", dynamic_shapes=({0: batch},), dynamo=True)


if __name__ == "__main__":
    main()
