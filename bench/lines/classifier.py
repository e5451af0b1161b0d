"""A perceptron with dropout, batch norm and early stopping in PyTorch: what specs/mlp/classifier.dl says."""

import copy
import math

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

EPOCHS, BATCH, PATIENCE, WARMUP = 60, 64, 20, 40


class Classifier(nn.Module):
    def __init__(self, width: int = 256, classes: int = 10) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inner = 64
        for _ in range(2):
            layers += [nn.Linear(inner, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Dropout(0.3)]
            inner = width
        self.layers = nn.Sequential(*layers, nn.Linear(inner, classes))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.layers(image)


def measure(net: nn.Module, x: torch.Tensor, y: torch.Tensor) -> tuple[float, float]:
    net.eval()
    with torch.no_grad():
        logits = net(x)
    net.train()
    loss = F.cross_entropy(logits, y, label_smoothing=0.1)
    return loss.item(), (logits.argmax(1) == y).float().mean().item()


def main() -> None:
    torch.manual_seed(0)
    digits = load_digits()
    x = torch.tensor(digits.data, dtype=torch.float32) / 16
    y = torch.tensor(digits.target)
    x_train, x_rest, y_train, y_rest = train_test_split(x, y, test_size=0.3, random_state=0)
    x_valid, x_test, y_valid, y_test = train_test_split(x_rest, y_rest, test_size=2 / 3, random_state=0)
    net = Classifier()
    optimizer = torch.optim.AdamW(net.parameters(), lr=2e-3, weight_decay=0.01)
    steps = EPOCHS * -(-len(x_train) // BATCH)

    def rate(step: int) -> float:
        if step < WARMUP:
            return (step + 1) / WARMUP
        return 0.5 * (1 + math.cos(math.pi * (step - WARMUP) / (steps - WARMUP)))

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    best, since, kept = math.inf, 0, copy.deepcopy(net.state_dict())
    for epoch in range(EPOCHS):
        for index in torch.randperm(len(x_train)).split(BATCH):
            loss = F.cross_entropy(net(x_train[index]), y_train[index], label_smoothing=0.1)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        valid, accuracy = measure(net, x_valid, y_valid)
        print(f"epoch {epoch + 1}: valid loss {valid:.3f}, accuracy {accuracy:.3f}")
        if valid < best:
            best, since, kept = valid, 0, copy.deepcopy(net.state_dict())
        else:
            since += 1
            if since == PATIENCE:
                break
    net.load_state_dict(kept)
    print("test accuracy", measure(net, x_test, y_test)[1])
    save_file(net.state_dict(), "classifier.safetensors")
    batch = torch.export.Dim("N")
    torch.onnx.export(net.eval(), (x_test[:2],), "classifier.onnx", dynamic_shapes=({0: batch},), dynamo=True)


if __name__ == "__main__":
    main()
