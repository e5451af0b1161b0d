"""A residual convolutional classifier in PyTorch: what specs/vision/digits.dl says."""

import math

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

EPOCHS, BATCH, WARMUP, WIDTH = 20, 64, 100, 32


class Residual(nn.Module):
    def __init__(self, inner: int, out: int, stride: int = 1) -> None:
        super().__init__()
        same = inner == out and stride == 1
        self.skip = nn.Identity() if same else nn.Conv2d(inner, out, 1, stride=stride)
        self.conv = nn.Conv2d(inner, out, 3, stride=stride, padding=1)
        self.batch_norm = nn.BatchNorm2d(out)
        self.conv_2 = nn.Conv2d(out, out, 3, padding=1)
        self.batch_norm_2 = nn.BatchNorm2d(out)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = F.relu(self.batch_norm(self.conv(x)))
        return F.relu(self.skip(x) + self.batch_norm_2(self.conv_2(h)))


class Classifier(nn.Module):
    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, WIDTH, 3, padding=1)
        self.batch_norm = nn.BatchNorm2d(WIDTH)
        blocks: list[nn.Module] = []
        inner = WIDTH
        for out in (WIDTH, 2 * WIDTH, 4 * WIDTH):
            blocks += [Residual(inner, out, stride=2), Residual(out, out)]
            inner = out
        self.blocks = nn.Sequential(*blocks)
        self.linear = nn.Linear(inner, classes)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        h = F.relu(self.batch_norm(self.conv(image)))
        return self.linear(self.blocks(h).mean((2, 3)))


def main() -> None:
    torch.manual_seed(0)
    digits = load_digits()
    x = torch.tensor(digits.images, dtype=torch.float32).unsqueeze(1) / 16
    y = torch.tensor(digits.target)
    x_train, x_valid, y_train, y_valid = train_test_split(x, y, test_size=0.2, random_state=0)
    net = Classifier()
    optimizer = torch.optim.AdamW(net.parameters(), lr=3e-3, weight_decay=0.01)
    steps = EPOCHS * -(-len(x_train) // BATCH)

    def rate(step: int) -> float:
        if step < WARMUP:
            return (step + 1) / WARMUP
        return 0.5 * (1 + math.cos(math.pi * (step - WARMUP) / (steps - WARMUP)))

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    for epoch in range(EPOCHS):
        net.train()
        for index in torch.randperm(len(x_train)).split(BATCH):
            loss = F.cross_entropy(net(x_train[index]), y_train[index], label_smoothing=0.1)
            loss = loss + 1e-4 * sum((weight**2).sum() for weight in net.parameters())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        net.eval()
        with torch.no_grad():
            accuracy = (net(x_valid).argmax(1) == y_valid).float().mean()
        print(f"epoch {epoch + 1}: loss {loss.item():.3f}, accuracy {accuracy:.3f}")
    save_file(net.state_dict(), "digits.safetensors")
    n, h, w = (torch.export.Dim(name) for name in "NHW")
    torch.onnx.export(net, (x_valid[:2],), "digits.onnx", dynamic_shapes=({0: n, 2: h, 3: w},), dynamo=True)


if __name__ == "__main__":
    main()
