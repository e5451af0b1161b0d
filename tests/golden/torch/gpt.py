"""GPT, compiled from gpt.dl."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(256, 768)
        self.linear_2 = nn.Linear(256, 256)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.linear(x).unflatten(2, (3, 8, 32)).permute(2, 0, 3, 1, 4).unbind(0)
        out = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.linear_2(out.permute(0, 2, 1, 3).flatten(2))


class FeedForward(nn.Module):
    """The position-wise feed-forward network of a transformer: two linear layers with an
    activation in between. Vaswani et al., "Attention Is All You Need", 2017; GELU after
    Hendrycks and Gimpel, 2016.
    """

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(256, 1024)
        self.linear_2 = nn.Linear(1024, 256)

    def forward(self, x: Tensor) -> Tensor:
        h = F.gelu(self.linear(x))
        return self.linear_2(h)


class Layer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer_norm = nn.LayerNorm(256)
        self.Attention = Attention()
        self.layer_norm_2 = nn.LayerNorm(256)
        self.FeedForward = FeedForward()

    def forward(self, x: Tensor) -> Tensor:
        h = x + self.Attention(self.layer_norm(x))
        return h + self.FeedForward(self.layer_norm_2(h))


class GPT(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(256, 256)
        self.place = nn.Parameter(torch.empty(128, 256))
        nn.init.normal_(self.place, 0.0, 0.02)
        self.layers = nn.ModuleList([Layer() for _ in range(4)])
        self.dropout = nn.Dropout(0.1)
        self.layer_norm = nn.LayerNorm(256)

    def forward(self, tokens: Tensor) -> Tensor:
        t = tokens.shape[1]
        if t > 128:
            raise ValueError("a sequence may not be longer than the context")
        h = self.embed(tokens) + self.place[:t]
        for layer in self.layers:
            h = self.dropout(layer(h))
        logits = self.layer_norm(h) @ self.embed.weight.T
        return logits
