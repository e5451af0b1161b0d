"""Stage, compiled from inception.dl."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Inception(nn.Module):
    """The Inception module (Szegedy et al., 2014): four branches at four scales, side by side."""

    def __init__(self, c: int, a: int, b0: int, b1: int, c0: int, c1: int, d: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(c, a, 1)
        self.conv_2 = nn.Conv2d(c, b0, 1)
        self.conv_3 = nn.Conv2d(b0, b1, 3, padding=1)
        self.conv_4 = nn.Conv2d(c, c0, 1)
        self.conv_5 = nn.Conv2d(c0, c1, 5, padding=2)
        self.conv_6 = nn.Conv2d(c, d, 1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat(
            (
                F.relu(self.conv(x)),
                F.relu(self.conv_3(F.relu(self.conv_2(x)))),
                F.relu(self.conv_5(F.relu(self.conv_4(x)))),
                F.relu(self.conv_6(F.max_pool2d(x, 3, stride=1, padding=1))),
            ),
            dim=1,
        )


class Stage(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.Inception = Inception(c=192, a=64, b0=96, b1=128, c0=16, c1=32, d=32)
        self.Inception_2 = Inception(c=256, a=128, b0=128, b1=192, c0=32, c1=96, d=64)

    def forward(self, image: Tensor) -> Tensor:
        h = F.max_pool2d(self.Inception_2(self.Inception(image)), 3, stride=2, padding=1)
        return h.mean(dim=(2, 3), keepdim=True)
