"""The standard library: each block in both targets, against the same thing built from torch.nn."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

import dlc
from dlc.grammar.ast import Block
from dlc.runtime.spec import read_tree

LIBRARY = Path(__file__).parent.parent.parent / "specs" / "std"
BLOCKS = {
    item.name.id: (path.stem, item)
    for path in LIBRARY.glob("*.dl")
    for item in read_tree(path).items
    if isinstance(item, Block)
}
State = dict[str, Tensor]
Build = Callable[[State], Callable[..., Tensor]]


def sequence(*sizes: int) -> Tensor:
    return torch.randn(*sizes, generator=torch.Generator().manual_seed(sum(sizes)))


SEEN = torch.rand(2, 1, 5, 5, generator=torch.Generator().manual_seed(1)) > 0.4
SEEN[..., 0] = True
CAUSAL = torch.ones(5, 5, dtype=torch.bool).tril()

# What blocks are given: its type, whose axes are open where no weight is as long, and a value.
X = ("float[N, T, 16]", sequence(2, 5, 16))
MASK = ("bool[N, 1, T, T]", SEEN)
MEMORY = ("float[N, S, 16]", sequence(2, 7, 16))
NOTES = ("float[N, S, 12]", sequence(2, 7, 12))
STATE = ("float[N, 6]", sequence(2, 6))
IMAGE = ("float[N, 8, H, W]", sequence(2, 8, 9, 10))
VECTORS = ("float[N, 6]", sequence(4, 6))
DRAWN = ("float[N, K]", sequence(4, 9))
TABLE = ("float[V, 6]", sequence(20, 6))
SHARE = ("float[V]", sequence(30).softmax(0))
KEEP = ("float[V]", sequence(30).flip(0).sigmoid())
NOISE = ("float[V]", sequence(31)[1:].softmax(0))


@dataclass(frozen=True)
class Case:
    """A block, its static arguments, what it is given, and how torch.nn makes the same from its weights."""

    block: str
    arguments: str
    inputs: dict[str, tuple[str, Tensor]]
    reference: Build

    def spec(self, folder: Path) -> dlc.Spec:
        """A model of nothing but the block."""
        module, block = BLOCKS[self.block]
        parameters = ", ".join(f"{name}: {type_}" for name, (type_, _) in self.inputs.items())
        arguments = ", ".join(f"{name}={name}" for name in self.inputs)
        results = "abc"[: len(block.results or ())]
        (folder / "spec.dl").write_text(
            f"from std.{module} import {self.block}\n"
            f"model Whole({parameters}):\n"
            f"    layer = {self.block}({self.arguments})\n"
            f"    {', '.join(results)} = layer({arguments})\n"
            f"    return {', '.join(results)}\n"
        )
        return dlc.load(folder / "spec.dl")

    @property
    def values(self) -> list[Tensor]:
        return [value for _, value in self.inputs.values()]


def linear(state: State, path: str) -> nn.Linear:
    weight, bias = state[f"{path}.weight"], state.get(f"{path}.bias")
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    layer.load_state_dict({"weight": weight} if bias is None else {"weight": weight, "bias": bias})
    return layer


def below(state: State, path: str) -> State:
    return {name.removeprefix(f"{path}."): value for name, value in state.items() if name.startswith(f"{path}.")}


# --- transformers -----------------------------------------------------------------------------------------------


def attention(state: State, heads: int) -> nn.MultiheadAttention:
    """PyTorch's attention with our weights; keys and values that heads share are repeated."""
    width = state["query.weight"].shape[0]

    def spread(value: Tensor) -> Tensor:
        each = width // heads
        return value.unflatten(0, (-1, each)).repeat_interleave(width // len(value), 0).flatten(0, 1)

    source = state["key.weight"].shape[1]
    layer = nn.MultiheadAttention(width, heads, kdim=source, vdim=source, batch_first=True)
    names = ("query", "key", "value")
    weights = [spread(state[f"{name}.weight"]) for name in names]
    projections = (
        {"in_proj_weight": torch.cat(weights)}
        if source == width
        else {f"{name[0]}_proj_weight": weight for name, weight in zip(names, weights, strict=True)}
    )
    layer.load_state_dict(
        {
            **projections,
            "in_proj_bias": torch.cat([spread(state[f"{name}.bias"]) for name in names]),
            "out_proj.weight": state["out.weight"],
            "out_proj.bias": state["out.bias"],
        }
    )
    return layer.eval()


def attending(heads: int, mask: Tensor | None = None) -> Build:
    def build(state: State) -> Callable[..., Tensor]:
        layer = attention(below(state, "attend") or state, heads)
        hidden = None if mask is None else ~mask.expand(2, heads, 5, -1).flatten(0, 1)

        def run(x: Tensor, other: Tensor | None = None) -> Tensor:
            source = x if other is None or other.dtype == torch.bool else other
            return layer(x, source, source, attn_mask=hidden, need_weights=False)[0]

        return run

    return build


def transformer_layer(kind: type[nn.Module], activation: str, first: bool, mask: Tensor | None, **sizes: int) -> Build:
    def build(state: State) -> Callable[..., Tensor]:
        layer = kind(16, 4, sizes["hidden"], 0.0, activation, norm_first=first, batch_first=True)
        parts = {
            "self_attn": attention(below(state, "attend"), 4).state_dict(),
            "linear1": below(state, "feed.linear"),
            "linear2": below(state, "feed.linear_2"),
            "norm1": below(state, "layer_norm"),
            "norm2": below(state, "layer_norm_2"),
        }
        if kind is nn.TransformerDecoderLayer:
            parts["multihead_attn"] = attention(below(state, "consult"), 4).state_dict()
            parts["norm3"] = below(state, "layer_norm_3")
        layer.load_state_dict({f"{part}.{name}": value for part, held in parts.items() for name, value in held.items()})
        layer.eval()
        hidden = None if mask is None else ~mask.expand(2, 4, 5, 5).flatten(0, 1)
        if kind is nn.TransformerDecoderLayer:
            return lambda x, memory: layer(x, memory, tgt_mask=~CAUSAL)
        return lambda x, *_: layer(x, src_mask=hidden)

    return build


def encoder(activation: str, first: bool, mask: Tensor | None = None) -> Build:
    return transformer_layer(nn.TransformerEncoderLayer, activation, first, mask, hidden=24)


def decoder(activation: str, first: bool) -> Build:
    return transformer_layer(nn.TransformerDecoderLayer, activation, first, None, hidden=24)


def perceptron(*paths: str, activation: type[nn.Module]) -> Build:
    def build(state: State) -> Callable[..., Tensor]:
        layers = [part for path in paths for part in (linear(state, path), activation())]
        return nn.Sequential(*layers[:-1])

    return build


# --- convolutions -----------------------------------------------------------------------------------------------


def conv(state: State, path: str, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    weight, bias = state[f"{path}.weight"], state.get(f"{path}.bias")
    out, into, kernel, _ = weight.shape
    layer = nn.Conv2d(into * groups, out, kernel, stride, kernel // 2, groups=groups, bias=bias is not None)
    layer.load_state_dict(below(state, path))
    return layer


def norm(state: State, path: str) -> nn.BatchNorm2d:
    layer = nn.BatchNorm2d(len(state[f"{path}.weight"]))
    layer.load_state_dict(below(state, path), strict=False)
    return layer.eval()


def normed(state: State, path: str = "", stride: int = 1, groups: int = 1, number: str = "") -> nn.Sequential:
    """A convolution and its normalisation."""
    place = f"{path}." if path else ""
    return nn.Sequential(conv(state, f"{place}conv{number}", stride, groups), norm(state, f"{place}batch_norm{number}"))


def conv_block(state: State) -> Callable[..., Tensor]:
    return nn.Sequential(normed(state, stride=2), nn.ReLU())


def separable(state: State) -> Callable[..., Tensor]:
    depthwise = normed(state, "depthwise", stride=2, groups=8)
    return nn.Sequential(depthwise, nn.SiLU(), normed(state, "pointwise"), nn.SiLU())


def squeeze(state: State) -> Callable[..., Tensor]:
    gate = nn.Sequential(nn.AdaptiveAvgPool2d(1), conv(state, "conv"), nn.ReLU(), conv(state, "conv_2"), nn.Sigmoid())
    return lambda x: x * gate(x)


def residual(stride: int, blocks: tuple[str, ...], shortcut: bool) -> Build:
    """Stages with a normalisation each, activated but for the last, beside a shortcut."""

    def build(state: State) -> Callable[..., Tensor]:
        strides = [stride if place == len(blocks) - 1 else 1 for place in range(len(blocks))]
        stages = [
            part for path, by in zip(blocks, strides, strict=True) for part in (normed(state, path, by), nn.ReLU())
        ]
        main = nn.Sequential(*stages, normed(state))
        side = normed(state, stride=stride, number="_2") if shortcut else nn.Identity()
        return lambda x: torch.relu(main(x) + side(x))

    return build


# --- sequences --------------------------------------------------------------------------------------------------


def reader(state: State) -> Callable[..., tuple[Tensor, Tensor]]:
    layer = nn.GRU(16, 6, batch_first=True, bidirectional=True)
    layer.load_state_dict(below(state, "gru"))
    bridge = linear(state, "linear")

    def run(x: Tensor) -> tuple[Tensor, Tensor]:
        notes, last = layer(x)
        return notes, torch.tanh(bridge(torch.cat((last[0], last[1]), 1)))

    return run


def additive(state: State) -> Callable[..., tuple[Tensor, Tensor]]:
    query, key, score = (linear(state, name) for name in ("query", "key", "score"))

    def run(now: Tensor, notes: Tensor) -> tuple[Tensor, Tensor]:
        scores = [score(torch.tanh(query(now) + key(note))) for note in notes.unbind(1)]
        weights = torch.softmax(torch.cat(scores, 1), 1)
        return torch.stack([(weights[n, :, None] * notes[n]).sum(0) for n in range(len(notes))]), weights

    return run


def products(state: State) -> Callable[..., tuple[Tensor, Tensor]]:
    query, key = (linear(state, name) for name in ("query", "key"))

    def run(now: Tensor, notes: Tensor) -> tuple[Tensor, Tensor]:
        looked = [torch.softmax(key(own) @ query(one) / 6**0.5, 0) for one, own in zip(now, notes, strict=True)]
        return torch.stack([weights @ own for weights, own in zip(looked, notes, strict=True)]), torch.stack(looked)

    return run


def writer(state: State) -> Callable[..., Tensor]:
    attend = additive(below(state, "attend"))
    cell = nn.GRUCell(16 + 12, 6)
    cell.load_state_dict(below(state, "cell"))

    def run(x: Tensor, now: Tensor, notes: Tensor) -> Tensor:
        states = []
        for turn in x.unbind(1):
            now = cell(torch.cat((turn, attend(now, notes)[0]), 1), now)
            states.append(now)
        return torch.stack(states, 1)

    return run


# --- words ------------------------------------------------------------------------------------------------------


def nearest(_: State) -> Callable[..., Tensor]:
    return lambda vector, table: tuple(nn.functional.cosine_similarity(vector[:, None], table[None], dim=2).topk(3))


def sampling(_: State) -> Callable[..., Tensor]:
    """The ratios of a word's frequency to a threshold, as the papers' C code has them."""

    def rates(share: Tensor) -> Tensor:
        noise = share.double() ** 0.75
        return torch.minimum(share.new_ones(()), (0.02 / share).sqrt()), (noise / noise.sum()).float()

    return rates


def negative_sampling(_: State) -> Callable[..., Tensor]:
    return lambda near, far: -nn.functional.logsigmoid(near) - nn.functional.logsigmoid(-far).sum(1, keepdim=True)


def unigram(_: State) -> Callable[..., Tensor]:
    """A word is there with probability p / (p + 5 q), p its share among those that are kept, and q among the noise."""

    def scores(share: Tensor, keep: Tensor, noise: Tensor) -> Tensor:
        kept = share * keep / (share * keep).sum()
        return torch.logit(kept / (kept + 5 * noise))

    return scores


CASES = [
    Case("FeedForward", "24", {"x": X}, perceptron("linear", "linear_2", activation=nn.GELU)),
    Case("FeedForward", "activation=silu, drop=0.5", {"x": X}, perceptron("linear", "linear_2", activation=nn.SiLU)),
    Case("MultiHead", "4", {"x": X}, attending(4)),
    Case("MultiHead", "2, causal=true", {"x": X}, attending(2, CAUSAL)),
    Case("MultiHead", "4", {"x": X, "mask": MASK}, attending(4, SEEN)),
    Case("GroupedQuery", "4, 2", {"x": X}, attending(4)),
    Case("GroupedQuery", "4, 2, causal=true", {"x": X, "mask": MASK}, attending(4, SEEN & CAUSAL)),
    Case("MultiQuery", "4", {"x": X, "mask": MASK}, attending(4, SEEN)),
    Case("CrossAttention", "4", {"x": X, "memory": NOTES}, attending(4)),
    Case("EncoderLayer", "heads=4, hidden=24", {"x": X}, encoder("gelu", True)),
    Case("EncoderLayer", "heads=4, hidden=24, pre_norm=false", {"x": X}, encoder("gelu", False)),
    Case("EncoderLayer", "heads=4, hidden=24, activation=relu", {"x": X, "mask": MASK}, encoder("relu", True, SEEN)),
    Case("EncoderLayer", "heads=4, hidden=24, causal=true", {"x": X}, encoder("gelu", True, CAUSAL)),
    Case("DecoderLayer", "heads=4, hidden=24", {"x": X, "memory": MEMORY}, decoder("gelu", True)),
    Case(
        "DecoderLayer",
        "heads=4, hidden=24, pre_norm=false, activation=relu",
        {"x": X, "memory": MEMORY},
        decoder("relu", False),
    ),
    Case("MLP", "3, [8, 6], tanh", {"x": X}, perceptron("linear", "linear_2", "linear_3", activation=nn.Tanh)),
    Case("MLP", "3, [], drop=0.5", {"x": X}, perceptron("linear", activation=nn.Identity)),
    Case("ConvBlock", "6, 5, 2", {"x": IMAGE}, conv_block),
    Case("DepthwiseSeparable", "6, 3, 2, activation=silu", {"x": IMAGE}, separable),
    Case("SqueezeExcite", "4", {"x": IMAGE}, squeeze),
    Case("Residual", "", {"x": IMAGE}, residual(1, ("ConvBlock",), False)),
    Case("Residual", "6, 2", {"x": IMAGE}, residual(2, ("ConvBlock",), True)),
    Case("Bottleneck", "", {"x": IMAGE}, residual(1, ("ConvBlock", "ConvBlock_2"), False)),
    Case("Bottleneck", "4, 2", {"x": IMAGE}, residual(2, ("ConvBlock", "ConvBlock_2"), True)),
    Case("Nearest", "3", {"vector": VECTORS, "table": TABLE}, nearest),
    Case("Sampling", "0.02", {"share": SHARE}, sampling),
    Case("NegativeSampling", "", {"near": VECTORS, "far": DRAWN}, negative_sampling),
    Case("Unigram", "5", {"share": SHARE, "keep": KEEP, "noise": NOISE}, unigram),
    Case("Encoder", "6", {"x": X}, reader),
    Case("AdditiveAttention", "", {"state": STATE, "notes": NOTES}, additive),
    Case("DotAttention", "", {"state": STATE, "notes": NOTES}, products),
    Case("Decoder", "", {"x": X, "state": STATE, "notes": NOTES}, writer),
]


def name(case: Case) -> str:
    return f"{case.block}({case.arguments}){'+mask' * ('mask' in case.inputs)}"


@pytest.mark.parametrize("case", CASES, ids=name)
def test_equal_to_torch_and_in_both_targets(case: Case, tmp_path: Path) -> None:
    spec = case.spec(tmp_path)
    torch.manual_seed(0)
    net = spec.torch("Whole").eval()
    with torch.no_grad():
        for path, value in net.state_dict().items():
            if value.is_floating_point():  # far from where norms start
                value.add_(0.2 * torch.rand_like(value) if "running_var" in path else 0.2 * torch.randn_like(value))
        results = net(*case.values)
        reference = case.reference(below(dict(net.state_dict()), "layer"))(*case.values)
    ours = results if isinstance(results, tuple) else (results,)
    theirs = reference if isinstance(reference, tuple) else (reference,)
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other, rtol=0, atol=1e-5)

    weights = {path: value.numpy() for path, value in net.state_dict().items() if "num_batches" not in path}
    session = onnxruntime.InferenceSession(spec.onnx("Whole", weights=weights).SerializeToString())
    exported = session.run(None, {name: value.numpy() for name, (_, value) in case.inputs.items()})
    for mine, other in zip(ours, exported, strict=True):
        np.testing.assert_allclose(mine.numpy(), other, rtol=0, atol=1e-5)


def test_every_block_is_tested() -> None:
    assert {case.block for case in CASES} == set(BLOCKS)


@pytest.mark.parametrize("block", BLOCKS)
def test_every_block_has_its_source(block: str) -> None:
    assert re.search(r"\b(?:19|20)\d\d\b", BLOCKS[block][1].doc)
