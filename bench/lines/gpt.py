"""A small GPT with its sampler in PyTorch: what the last step of docs/tutorial.md says."""

import math
from pydoc_data import topics

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import nn

EPOCHS, BATCH, WARMUP = 2, 32, 50
VOCAB, CONTEXT, WIDTH, DEPTH, HEADS = 256, 32, 64, 2, 4


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(WIDTH, 3 * WIDTH)
        self.linear_2 = nn.Linear(WIDTH, WIDTH)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n, t, _ = x.shape
        q, k, v = self.linear(x).reshape(n, t, 3, HEADS, -1).permute(2, 0, 3, 1, 4)
        out = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.linear_2(out.transpose(1, 2).reshape(n, t, WIDTH))


class Layer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer_norm = nn.LayerNorm(WIDTH)
        self.attention = Attention()
        self.layer_norm_2 = nn.LayerNorm(WIDTH)
        self.linear = nn.Linear(WIDTH, 4 * WIDTH)
        self.linear_2 = nn.Linear(4 * WIDTH, WIDTH)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = x + self.attention(self.layer_norm(x))
        return h + self.linear_2(F.gelu(self.linear(self.layer_norm_2(h))))


class GPT(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(VOCAB, WIDTH)
        self.place = nn.Parameter(0.02 * torch.randn(CONTEXT, WIDTH))
        self.layers = nn.Sequential(*(Layer() for _ in range(DEPTH)))
        self.layer_norm = nn.LayerNorm(WIDTH)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        t = tokens.shape[1]
        if t > CONTEXT:
            raise ValueError("a sequence may not be longer than the context")
        h = self.layers(self.embed(tokens) + self.place[:t])
        return self.layer_norm(h) @ self.embed.weight.T


@torch.no_grad()
def write(net: GPT, start: torch.Tensor, count: int = 100) -> torch.Tensor:
    seen, text = start, []
    for _ in range(count):
        logits = net(seen)
        following = torch.multinomial(F.softmax(logits[:, -1] / 0.8, dim=1), 1)
        text.append(following)
        seen = torch.cat([seen[:, 1:], following], 1)
    return torch.cat(text, 1)


def main() -> None:
    torch.manual_seed(0)
    text = "\n".join(topics.topics.values()).encode()
    tokens = torch.tensor(list(text))[: len(text) // 33 * 33].reshape(-1, 33)
    tokens = tokens[torch.randperm(len(tokens))]
    train, valid = tokens[: len(tokens) // 20], tokens[-len(tokens) // 100 :]
    net = GPT()
    optimizer = torch.optim.AdamW(net.parameters(), lr=2e-3)
    steps = EPOCHS * -(-len(train) // BATCH)

    def rate(step: int) -> float:
        if step < WARMUP:
            return (step + 1) / WARMUP
        return 0.5 * (1 + math.cos(math.pi * (step - WARMUP) / (steps - WARMUP)))

    def loss_of(tokens: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(net(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten())

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    for epoch in range(EPOCHS):
        for index in torch.randperm(len(train)).split(BATCH):
            loss = loss_of(train[index])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        with torch.no_grad():
            print(f"epoch {epoch + 1}: loss {loss.item():.3f}, valid {loss_of(valid):.3f}")
    print(bytes(write(net, valid[:1, :CONTEXT])[0].tolist()).decode(errors="replace"))
    save_file(net.state_dict(), "gpt.safetensors")
    n, t = torch.export.Dim("N"), torch.export.Dim("T", max=CONTEXT)
    torch.onnx.export(net.eval(), (valid[:2, :9],), "gpt.onnx", dynamic_shapes=({0: n, 1: t},), dynamo=True)


if __name__ == "__main__":
    main()
