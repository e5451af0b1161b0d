"""WaveNet, compiled from wavenet.dl."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class WaveNet(nn.Module):
    """WaveNet (van den Oord et al., 2016): a causal network of dilated convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(256, 32)
        self.conv = nn.Conv1d(32, 64, 2)
        self.conv_2 = nn.Conv1d(32, 32, 1)
        self.conv_3 = nn.Conv1d(32, 32, 1)
        self.conv_4 = nn.Conv1d(32, 64, 2, dilation=2)
        self.conv_5 = nn.Conv1d(32, 32, 1)
        self.conv_6 = nn.Conv1d(32, 32, 1)
        self.conv_7 = nn.Conv1d(32, 64, 2, dilation=4)
        self.conv_8 = nn.Conv1d(32, 32, 1)
        self.conv_9 = nn.Conv1d(32, 32, 1)
        self.conv_10 = nn.Conv1d(32, 64, 2, dilation=8)
        self.conv_11 = nn.Conv1d(32, 32, 1)
        self.conv_12 = nn.Conv1d(32, 32, 1)
        self.conv_13 = nn.Conv1d(32, 256, 1)

    def forward(self, x: Tensor) -> Tensor:
        n, t = x.shape
        h = self.embedding(x).permute(0, 2, 1)
        skip = torch.zeros(n, 32, t, dtype=h.dtype, device=h.device)
        f, g = self.conv(F.pad(h, (1, 0))).chunk(2, dim=1)
        z = torch.tanh(f) * torch.sigmoid(g)
        skip = skip + self.conv_2(z)
        h = h + self.conv_3(z)
        f, g = self.conv_4(F.pad(h, (2, 0))).chunk(2, dim=1)
        z = torch.tanh(f) * torch.sigmoid(g)
        skip = skip + self.conv_5(z)
        h = h + self.conv_6(z)
        f, g = self.conv_7(F.pad(h, (4, 0))).chunk(2, dim=1)
        z = torch.tanh(f) * torch.sigmoid(g)
        skip = skip + self.conv_8(z)
        h = h + self.conv_9(z)
        f, g = self.conv_10(F.pad(h, (8, 0))).chunk(2, dim=1)
        z = torch.tanh(f) * torch.sigmoid(g)
        skip = skip + self.conv_11(z)
        logits = self.conv_13(F.relu(skip)).permute(0, 2, 1)
        return logits
