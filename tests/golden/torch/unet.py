"""Segment, compiled from unet.dl."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Double(nn.Module):
    def __init__(self, c: int, out: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(c, out, 3, padding=1, bias=False)
        self.batch_norm = nn.BatchNorm2d(out)
        self.conv_2 = nn.Conv2d(out, out, 3, padding=1, bias=False)
        self.batch_norm_2 = nn.BatchNorm2d(out)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.batch_norm(self.conv(x)))
        return F.relu(self.batch_norm_2(self.conv_2(x)))


class UNetDepth0(nn.Module):
    """A U-Net of any depth, by recursion."""

    def __init__(self) -> None:
        super().__init__()
        self.Double = Double(512, 1024)

    def forward(self, x: Tensor) -> Tensor:
        here = self.Double(x)
        return here


class UNet(nn.Module):
    """A U-Net of any depth, by recursion."""

    def __init__(self, c: int, width: int, unet: nn.Module) -> None:
        super().__init__()
        self.Double = Double(c, width)
        self.UNet = unet
        self.conv_transpose = nn.ConvTranspose2d(2 * width, width, 2, stride=2)
        self.Double_2 = Double(2 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        here = self.Double(x)
        below = self.conv_transpose(self.UNet(F.max_pool2d(here, 2)))
        return self.Double_2(torch.cat((here, below), dim=1))


class Segment(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.UNet = UNet(3, 64, UNet(64, 128, UNet(128, 256, UNet(256, 512, UNetDepth0()))))
        self.conv = nn.Conv2d(64, 2, 1)

    def forward(self, image: Tensor) -> Tensor:
        h, w = image.shape[2:]
        if h % 16 != 0 or w % 16 != 0:
            raise ValueError("every level halves the image")
        return self.conv(self.UNet(image))
