"""Claims that people make: what is proved and what is refused, each held against perturbed inputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dlc.compiler.program import Model
from dlc.compiler.torch.emit import emit_graph
from dlc.runtime.spec import read_spec

from .perturbing import Array, changes

EXAMPLES = Path(__file__).parents[2] / "examples"
HEAD = "model M(x: float[N, T, 8]) -> (y: float[N, T, 8]):\n    low = log(zeros(1))\n"
ATTEND = "    q, k, v = linear(x, 24) -> split(3, axis=2)\n    scores = q @ k.T / 3\n"


def attended(masked: str) -> str:
    return f"{ATTEND}    y = softmax({masked}) @ v\n"


CAUSAL = {
    "mask": attended("where(causal_mask(T), scores, low)"),
    "lower triangle": attended("where(tril(ones(T, T)) == 0, low, scores)"),
    "upper triangle": attended("where(triu(ones(T, T), 1) > 0, low, scores)"),
    "positions": attended("where(arange(T)[:, none] >= arange(T), scores, low)"),
    "added": attended("scores + where(arange(T) > arange(T)[:, none], low, zeros(1))"),
    "cast": attended('where(cast(tril(ones(T, T)), "bool"), scores, low)'),
    "negated": attended("where(not causal_mask(T), low, scores)"),
    "logarithm": attended("scores + log(tril(ones(T, T)))"),
    "window": attended("where(causal_mask(T) and arange(T)[:, none] - arange(T) < 3, scores, low)"),
    "linear attention": ATTEND + "    y = tril(scores) @ v\n",
    "weights": ATTEND
    + '    p = exp(scores) * cast(causal_mask(T), "float")\n'
    + "    y = p / sum(p, axis=-1, keep=true) @ v\n",
    "attention with a mask": ATTEND + "    y = attention(q, k, v, mask=causal_mask(T))\n",
    "einsum": ATTEND + '    y = einsum("n i j, n j d -> n i d", tril(scores), v)\n',
    "flipped twice": "    y = x -> flip(1) -> relu -> flip(1) -> cumsum(axis=1)\n",
    "shifted": "    y = concat(zeros(N, 1, 8), x[:, :-1], axis=1)\n",
    "padded": "    y = pad(x, left=2, axis=1)[:, :T]\n",
    "loop": "    cell = gru_cell(8)\n    h = zeros(N, 8)\n    loop x_t in x along 1 collecting h as y:\n"
    "        h = cell(x_t, h)\n",
    "loop of two turns": "    a = zeros(N, 8)\n    b = zeros(N, 8)\n    loop x_t in x along 1 collecting a as y:\n"
    "        a = b\n        b = x_t\n",
    "recurrent": "    y, last = gru(x, 8)\n",
    "convolution": '    y = x -> permute(0, 2, 1) -> conv(8, 3, pad="causal") -> permute(0, 2, 1)\n',
}
LEAKS = {
    "one ahead": attended("where(arange(T)[:, none] >= arange(T) - 1, scores, low)"),
    "no mask": attended("scores"),
    "mask the wrong way": attended("where(causal_mask(T), low, scores)"),
    "finite": attended("where(causal_mask(T), scores, -1.0)"),
    "masked too late": ATTEND + '    y = softmax(scores) * cast(causal_mask(T), "float") @ v\n',
    "or": attended("where(causal_mask(T) or arange(T) < 2, scores, low)"),
    "masked values": ATTEND + "    y = v - mean(where(arange(T)[:, none] < 3, v, zeros(1)), axis=1, keep=true)\n",
    "reversed loop": "    cell = gru_cell(8)\n    h = zeros(N, 8)\n"
    "    loop x_t in flip(x, 1) along 1 collecting h as hs:\n        h = cell(x_t, h)\n    y = flip(hs, 1)\n",
    "last state": "    states, last = gru(x, 8)\n    y = states + last[:, none]\n",
    "shifted back": "    y = concat(x[:, 1:], zeros(N, 1, 8), axis=1)\n",
    "interleaved": '    y = x -> rearrange("n t c -> n (t c)") -> flip(1) -> reshape(N, T, 8)\n',
}


def spec(tmp_path: Path, text: str) -> tuple[Any, list[str]]:
    path = tmp_path / "spec.dl"
    path.write_text(text)
    program, sink = read_spec(path)
    return program, [diagnostic.code for diagnostic in sink]


def module(model: Model) -> torch.nn.Module:
    names: dict[str, Any] = {"__name__": "claimed"}
    exec(compile(emit_graph(model.graph), "claimed.py", "exec"), names)
    torch.manual_seed(0)
    made: torch.nn.Module = names[model.name]()
    return made.eval()


def leaks(model: Model) -> bool:
    """Whether an element changes with a later position of x."""
    net = module(model)
    random = np.random.default_rng(0)
    x, fresh = (random.normal(size=(2, 6, 8)).astype(np.float32) for _ in range(2))

    def run(arrays: Any) -> list[Array]:
        with torch.no_grad():
            return [net(torch.from_numpy(arrays[0])).numpy()]

    return any(changed[0][:, :j].any() for j, changed in changes(run, [x], 0, 1, fresh))


@pytest.mark.parametrize("body", CAUSAL.values(), ids=CAUSAL.keys())
def test_what_is_causal_is_proved(body: str, tmp_path: Path) -> None:
    program, told = spec(tmp_path, f"{HEAD}{body}    ensure causal(y, x, T)\n    return y\n")
    assert told == []
    assert not leaks(program.models["M"])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("body", LEAKS.values(), ids=LEAKS.keys())
def test_a_leak_is_refused(body: str, tmp_path: Path) -> None:
    program, told = spec(tmp_path, f"{HEAD}{body}    return y\n")
    assert told == []
    assert leaks(program.models["M"])
    _, told = spec(tmp_path, f"{HEAD}{body}    ensure causal(y, x, T)\n    return y\n")
    assert told == ["DL4012"]


# --- axes split and merged ------------------------------------------------------------------------------------------

MERGED = '    y = x -> rearrange("n t d -> (n t) d") -> linear(8) -> reshape(N, T, 8)\n'
CHUNKS = '    y = x -> rearrange("n (c w) d -> n c w d", w=4) -> cumsum(axis=2) -> rearrange("n c w d -> n (c w) d")\n'


@pytest.mark.parametrize(
    ("body", "claim", "told"),
    [
        (MERGED, "independent(y, x, N)", []),
        (MERGED, "independent(y, x, T)", []),
        # It holds, and is refused: nothing is known of factors that do not divide each other.
        ("    y = x -> reshape(T, N, 8) -> reshape(N, T, 8)\n", "independent(y, x, N)", ["DL4012"]),
        ("    y = x -> reshape(T, N, 8) -> permute(1, 0, 2)\n", "independent(y, x, N)", ["DL4012"]),
        (CHUNKS, "causal(y, x, 1)", []),
        (CHUNKS, "local(y, x, 1, 4)", []),
        (CHUNKS, "local(y, x, 1, 3)", ["DL4012"]),
        (CHUNKS, "independent(y, x, 0)", []),
        ("    y = x - mean(x, axis=0)\n", "independent(y, x, N)", ["DL4012"]),
        ("    y = attention(x, x, x, window=3)\n", "local(y, x, T, 5)", []),
        ("    y = attention(x, x, x, window=3)\n", "local(y, x, T, 4)", ["DL4012"]),
        ("    y = attention(x, x, x, window=3, causal=true)\n", "local(y, x, T, 3)", []),
    ],
)
def test_axes(body: str, claim: str, told: list[str], tmp_path: Path) -> None:
    head = HEAD.replace("float[N, T, 8]", "float[N, 4*T, 8]") if "w=4" in body else HEAD
    _, found = spec(tmp_path, f"{head}{body}    ensure {claim}\n    return y\n")
    assert found == told


# --- the published ones ---------------------------------------------------------------------------------------------


def test_gpt_is_causal_and_is_not_without_its_mask(tmp_path: Path) -> None:
    text = (EXAMPLES / "gpt.dl").read_text()
    assert "ensure causal(logits, tokens, T)" in text
    assert spec(tmp_path, text)[1] == []
    path = tmp_path / "spec.dl"
    path.write_text(text.replace(", causal=true", ""))
    _, (refused,) = read_spec(path)
    line = next(n for n, each in enumerate(text.splitlines(), 1) if "attention(q" in each)
    assert [label.span.place.split(":")[0] for label in refused.labels] == [str(line)]


def test_wavenet_reaches_as_far_as_its_dilations(tmp_path: Path) -> None:
    text = (EXAMPLES / "wavenet.dl").read_text()
    assert "local(logits, x, T, 1 + sum(dilations))" in text
    assert spec(tmp_path, text)[1] == []
    assert spec(tmp_path, text.replace("T, 1 + sum", "T, sum"))[1] == ["DL4012"]


def test_layer_norm_keeps_examples_apart(tmp_path: Path) -> None:
    text = (
        "model C(x: float[N, 64]) -> (y: float[N, 10]):\n    y = x -> linear(32) -> NORM -> relu -> linear(10)\n"
        "    ensure independent(y, x, N)\n    return y\n"
    )
    assert spec(tmp_path, text.replace("NORM", "layer_norm"))[1] == []
    path = tmp_path / "spec.dl"
    path.write_text(text.replace("NORM", "batch_norm"))
    _, (refused,) = read_spec(path)
    assert refused.message.endswith("in training")
    assert "in evaluation it is proved" in refused.notes


GCN = (
    (EXAMPLES / "gcn.dl")
    .read_text()
    .replace(
        "    return h -> linear(classes)\n",
        "    logits = h -> linear(classes)\n    ensure equivariant(logits, x, V)\n    return logits\n",
    )
)
ADJACENT = """model M(x: float[V, d], near: float[V, V]) -> (y: float[V, 8]):
    near = near + eye(V)
    h = near @ linear(x, 8) / sum(near, axis=1, keep=true)
    y = relu(h) - mean(h, axis=0)
    ensure equivariant(y, x, V)
    return y
"""


ATTENTION = """model M(x: float[N, T, 8]) -> (y: float[N, T, 8]):
    y = attention(x, x, x)
    ensure equivariant(y, x, T)
    return y
"""
SORTED = """model M(x: float[N, T, 8]) -> (y: float[N, 8]):
    y, places = x -> max(axis=1) -> sort
    ensure equivariant(y, x, N)
    return y
"""


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (GCN, []),
        (GCN.replace("    logits = h", "    h = cumsum(h, axis=0)\n    logits = h"), ["DL4012"]),
        (GCN.replace("int[2, E] < V", "int[2, E]"), ["DL4012"]),  # nothing says that they are nodes
        (GCN.replace("edges[0]", "edges[0] * 0 + edges[1]"), ["DL4012"]),  # the nodes' names are reckoned with
        (ADJACENT, []),
        (ADJACENT.replace("eye(V)", "tril(ones(V, V))"), ["DL4012"]),
        (ADJACENT.replace("near: float[V, V]", "near: float[V, 8]").replace("near + eye(V)", "near @ near.T"), []),
        (ATTENTION, []),
        (ATTENTION.replace("x, x)\n", "x, x, causal=true)\n"), ["DL4012"]),
        (SORTED, []),
        (SORTED.replace("max(axis=1) -> sort", "max(axis=1) -> sort(axis=0)"), ["DL4012"]),
    ],
)
def test_permutations(text: str, told: list[str], tmp_path: Path) -> None:
    assert spec(tmp_path, text)[1] == told


def test_bounds_hold_at_the_sizes_they_are_claimed_for(tmp_path: Path) -> None:
    text = (
        "model M(x: float[N, T, 64]) -> (y: float[N, T, 10]):\n    y = x -> linear(10)\n"
        "    ensure parameters() <= 650 and macs(N=2, T=3) <= 3840\n    return y\n"
    )
    assert spec(tmp_path, text)[1] == []
    assert spec(tmp_path, text.replace("650", "649"))[1] == ["DL4012"]
    assert spec(tmp_path, text.replace("3840", "3839"))[1] == ["DL4012"]
