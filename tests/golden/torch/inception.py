"""Stage, compiled from inception.dl."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Inception(nn.Module):
    """The Inception module (Szegedy et al., 2014): four branches at four scales, side by side."""

    def __init__(
        self,
        c: int,
        a: int,
        conv_2_out: int,
        conv_3_out: int,
        conv_4_out: int,
        conv_5_out: int,
        d: int,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(c, a, 1)
        self.conv_2 = nn.Conv2d(c, conv_2_out, 1)
        self.conv_3 = nn.Conv2d(conv_2_out, conv_3_out, 3, padding=1)
        self.conv_4 = nn.Conv2d(c, conv_4_out, 1)
        self.conv_5 = nn.Conv2d(conv_4_out, conv_5_out, 5, padding=2)
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
        self.Inception = Inception(
            c=192, a=64, conv_2_out=96, conv_3_out=128, conv_4_out=16, conv_5_out=32, d=32
        )
        self.Inception_2 = Inception(
            c=256, a=128, conv_2_out=128, conv_3_out=192, conv_4_out=32, conv_5_out=96, d=64
        )

    def forward(self, image: Tensor) -> Tensor:
        h = F.max_pool2d(self.Inception_2(self.Inception(image)), 3, stride=2, padding=1)
        return h.mean(dim=(2, 3), keepdim=True)
