"""The networks of `bench/train.py`: as specs, as modules of PyTorch with weights in the same order, and in Keras."""

from __future__ import annotations

from typing import Any

import numpy as np

TITLE = {
    "mlp": "MLP 784-512-512-10, batch 128",
    "convnet": "convnet 32x32, batch 64",
    "lstm": "LSTM 256, T 64, batch 32",
    "gpt": "GPT 4 x 256, T 128, batch 16",
}
BATCH = {"mlp": 128, "convnet": 64, "lstm": 32, "gpt": 16}
_VOCABULARY, _LENGTH = 64, 128

_MODELS = {
    "mlp": """
model Net(x: float[N, 784]) -> (logits: float[N, 10]):
    return x -> linear(512) -> relu -> linear(512) -> relu -> linear(10)
""",
    "convnet": """
model Net(x: float[N, 3, 32, 32]) -> (logits: float[N, 10]):
    h = x -> conv(32, 3) -> batch_norm -> relu -> max_pool(2)
    h = h -> conv(64, 3) -> batch_norm -> relu -> max_pool(2)
    h = h -> conv(128, 3) -> batch_norm -> relu
    return mean(h, axes=[2, 3]) -> linear(10)
""",
    "lstm": """
model Net(x: float[N, T, 256]) -> (logits: float[N, 10]):
    hs, last, _ = x -> lstm(256)
    return last -> linear(10)
""",
    "gpt": """
block Layer(x: float[N, T, d], heads = 4) -> float[N, T, d]:
    before = layer_norm()
    query = linear(d)
    key = linear(d)
    value = linear(d)
    out = linear(d)
    behind = layer_norm()
    wide = linear(4 * d)
    narrow = linear(d)
    h = x -> before
    q = h -> query -> rearrange("n t (h e) -> n h t e", h=heads)
    k = h -> key -> rearrange("n t (h e) -> n h t e", h=heads)
    v = h -> value -> rearrange("n t (h e) -> n h t e", h=heads)
    x = x + (attention(q, k, v, causal=true) -> rearrange("n h t e -> n t (h e)") -> out)
    return x + (x -> behind -> wide -> gelu -> narrow)

model Net(x: int[N, 128] < 64) -> (logits: float[N, 128, 64]):
    weight place: float[128, 256] ~ normal(0, 0.02)
    h = embedding(x, 64, 256) + place
    return h -> Layer -> Layer -> Layer -> Layer -> layer_norm -> linear(64)
""",
}
_FIELDS = {
    "mlp": "    x: float[784] = x\n    y: int[] < 10 = y\n",
    "convnet": "    x: float[3, 32, 32] = x\n    y: int[] < 10 = y\n",
    "lstm": "    x: float[64, 256] = x\n    y: int[] < 10 = y\n",
    "gpt": "    x: int[128] < 64 = x\n    y: int[128] < 64 = y\n",
}
_DEEP = "    x: float[128] = x\n    y: int[] < 10 = y\n"


def batch(kind: str) -> int:
    """The size of its batches; `deep-8-32` is a network of 8 layers of 128 with batches of 32."""
    return BATCH[kind] if kind in BATCH else int(kind.split("-")[2])


def _model(kind: str) -> str:
    if kind in _MODELS:
        return _MODELS[kind]
    chain = " -> ".join(["linear(128) -> relu"] * int(kind.split("-")[1]))
    return f"\nmodel Net(x: float[N, 128]) -> (logits: float[N, 10]):\n    return x -> {chain} -> linear(10)\n"


def spec(kind: str, precision: str, plan: str, steps: int) -> str:
    """A training on `data.npz`, in the order that the examples have there."""
    return f"""language 1
{_model(kind)}
data D:
    source = npz("data.npz")
{_FIELDS.get(kind, _DEEP)}    split = (train=1.0)

train Fit on D:
    net = Net()
    settings:
        batch = {batch(kind)}
        steps = {steps}
        shuffle = false
        optimizer = adamw(lr=1e-3)
        precision = "{precision}"
        plan = "{plan}"
    step:
        minimize cross_entropy(net(x), y)
"""


def data(kind: str, batches: int) -> dict[str, Any]:
    """Random examples, so many batches."""
    random = np.random.default_rng(0)
    count = batches * batch(kind)
    if kind == "gpt":
        text = random.integers(0, _VOCABULARY, (count, _LENGTH + 1))
        return {"x": text[:, :-1].copy(), "y": text[:, 1:].copy()}
    shapes = {"mlp": (784,), "convnet": (3, 32, 32), "lstm": (64, 256)}
    x = random.normal(size=(count, *shapes.get(kind, (128,)))).astype(np.float32)
    return {"x": x, "y": random.integers(0, 10, count)}


def net(kind: str, *, written_out: bool = False) -> Any:
    """The same as a module of PyTorch, as one writes it."""
    import torch
    from torch import nn
    from torch.nn import functional

    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(256, 256, batch_first=True)
            self.out = nn.Linear(256, 10)

        def forward(self, x: Any) -> Any:
            return self.out(self.lstm(x)[1][0][0])

    class Layer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.before = nn.LayerNorm(256)
            self.query, self.key, self.value, self.out = (nn.Linear(256, 256) for _ in range(4))
            self.behind = nn.LayerNorm(256)
            self.wide, self.narrow = nn.Linear(256, 1024), nn.Linear(1024, 256)

        def forward(self, x: Any) -> Any:
            h = self.before(x)
            q, k, v = (part(h).unflatten(-1, (4, 64)).transpose(1, 2) for part in (self.query, self.key, self.value))
            if written_out:
                ahead = torch.ones(_LENGTH, _LENGTH, dtype=torch.bool).triu(1)
                seen = (q @ k.transpose(-2, -1) * 0.125).masked_fill(ahead, float("-inf")).softmax(-1) @ v
            else:
                seen = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + self.out(seen.transpose(1, 2).flatten(2))
            return x + self.narrow(functional.gelu(self.wide(self.behind(x))))

    class GPT(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.place = nn.Parameter(torch.zeros(_LENGTH, 256))
            self.embed = nn.Embedding(_VOCABULARY, 256)
            self.layers = nn.Sequential(*(Layer() for _ in range(4)))
            self.norm, self.out = nn.LayerNorm(256), nn.Linear(256, _VOCABULARY)

        def forward(self, x: Any) -> Any:
            return self.out(self.norm(self.layers(self.embed(x) + self.place)))

    def convolution(channels: int, out: int, *pool: nn.Module) -> list[nn.Module]:
        return [nn.Conv2d(channels, out, 3, padding=1), nn.BatchNorm2d(out), nn.ReLU(), *pool]

    match kind:
        case "mlp":
            return nn.Sequential(nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10))
        case "convnet":
            pooled = [*convolution(3, 32, nn.MaxPool2d(2)), *convolution(32, 64, nn.MaxPool2d(2))]
            head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, 10)]
            return nn.Sequential(*pooled, *convolution(64, 128), *head)
        case "lstm":
            return Recurrent()
        case "gpt":
            return GPT()
        case _:
            layers = int(kind.split("-")[1])
            hidden = [part for _ in range(layers) for part in (nn.Linear(128, 128), nn.ReLU())]
            return nn.Sequential(*hidden, nn.Linear(128, 10))


def keras_net(kind: str) -> Any:
    """The same in Keras, as its guides write it."""
    import keras

    layers = keras.layers
    if kind == "mlp":
        dense = [layers.Dense(512, activation="relu"), layers.Dense(512, activation="relu"), layers.Dense(10)]
        return keras.Sequential([keras.Input((784,)), *dense])
    if kind == "convnet":

        def convolution(out: int, *pool: Any) -> list[Any]:
            return [layers.Conv2D(out, 3, padding="same"), layers.BatchNormalization(), layers.ReLU(), *pool]

        pooled = [*convolution(32, layers.MaxPooling2D(2)), *convolution(64, layers.MaxPooling2D(2))]
        head = [*convolution(128), layers.GlobalAveragePooling2D(), layers.Dense(10)]
        return keras.Sequential([keras.Input((32, 32, 3)), *pooled, *head])
    if kind == "lstm":
        return keras.Sequential([keras.Input((64, 256)), layers.LSTM(256), layers.Dense(10)])
    tokens = keras.Input((_LENGTH,), dtype="int32")
    places = keras.ops.cumsum(keras.ops.ones_like(tokens), axis=1) - 1
    h = layers.Embedding(_VOCABULARY, 256)(tokens) + layers.Embedding(_LENGTH, 256)(places)
    for _ in range(4):
        seen = layers.LayerNormalization()(h)
        h = h + layers.MultiHeadAttention(4, 64)(seen, seen, use_causal_mask=True)
        wide = layers.Dense(1024, activation="gelu")(layers.LayerNormalization()(h))
        h = h + layers.Dense(256)(wide)
    return keras.Model(tokens, layers.Dense(_VOCABULARY)(layers.LayerNormalization()(h)))
