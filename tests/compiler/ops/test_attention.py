"""Attention and positions: against PyTorch and the papers' formulas, and what they refuse."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from dlc.compiler.op import operations

from .refusals import evaluate, example, refusal
from .targets import Torch

OPS = operations()


def test_attention_is_the_formula() -> None:
    q, k, v = (torch.randn(2, 3, 5, 8) for _ in range(3))
    seen = torch.ones(5, 5, dtype=torch.bool).tril()
    scores = (q @ k.mT / math.sqrt(8)).masked_fill(~seen, -torch.inf)
    case = example(OPS["attention"], *["2 3 5 8"] * 3, causal=True)
    torch.testing.assert_close(evaluate(case, q, k, v), scores.softmax(-1) @ v)


@pytest.mark.parametrize("causal", [False, True])
def test_attention_is_that_of_multi_head_attention(causal: bool) -> None:
    module = torch.nn.MultiheadAttention(16, 4, batch_first=True).eval()
    x, seen = torch.randn(3, 7, 16), torch.randn(3, 5 if not causal else 7, 16)
    hidden = torch.ones(7, 7, dtype=torch.bool).triu(1) if causal else None
    expected, _ = module(x, seen, seen, attn_mask=hidden, need_weights=False)
    weights, biases = module.in_proj_weight.chunk(3), module.in_proj_bias.chunk(3)
    q, k, v = (
        torch.nn.functional.linear(each, weight, bias).unflatten(-1, (4, 4)).transpose(1, 2)
        for each, weight, bias in zip((x, seen, seen), weights, biases, strict=True)
    )
    case = example(OPS["attention"], "3 4 7 4", *[f"3 4 {seen.shape[1]} 4"] * 2, causal=causal)
    given = module.out_proj(evaluate(case, q, k, v).transpose(1, 2).flatten(2))
    torch.testing.assert_close(given, expected, rtol=0, atol=1e-6)


def test_attention_drops_in_training_alone() -> None:
    case = example(OPS["attention"], *["2 3 5 8"] * 3, dropout=0.5)
    assert case.op.stateful
    assert not OPS["attention"]().stateful
    values = case.arrays({})
    network = Torch(case)
    torch.testing.assert_close(network(values), network(values))
    network.module.train()
    assert not torch.equal(network(values)[0], network(values)[0])


def test_a_window_sees_its_nearest() -> None:
    q, k, v = (torch.randn(1, 1, 6, 4) for _ in range(3))
    case = example(OPS["attention"], *["1 1 6 4"] * 3, causal=True, window=2)
    seen = torch.tensor([[0 <= t - s < 2 for s in range(6)] for t in range(6)])
    expected = scaled_dot_product_attention(q, k, v, attn_mask=seen)
    torch.testing.assert_close(evaluate(case, q, k, v), expected)
    wide = example(OPS["attention"], *["1 1 6 4"] * 3, window=3)
    seen = torch.tensor([[abs(t - s) < 3 for s in range(6)] for t in range(6)])
    expected = scaled_dot_product_attention(q, k, v, attn_mask=seen)
    torch.testing.assert_close(evaluate(wide, q, k, v), expected)


def test_key_heads_serve_several_query_heads() -> None:
    q, k, v = torch.randn(2, 6, 5, 4), torch.randn(2, 2, 5, 4), torch.randn(2, 2, 5, 4)
    case = example(OPS["attention"], "2 6 5 4", "2 2 5 4", "2 2 5 4")
    expected = scaled_dot_product_attention(q, k.repeat_interleave(3, 1), v.repeat_interleave(3, 1))
    torch.testing.assert_close(evaluate(case, q, k, v), expected)


def test_rope_depends_on_the_distance_alone() -> None:
    q, k = torch.randn(1, 1, 1, 8), torch.randn(1, 1, 1, 8)
    for interleaved in (False, True):

        def turned(x: torch.Tensor, place: int, interleaved: bool = interleaved) -> torch.Tensor:
            return evaluate(example(OPS["rope"], "1 1 1 8", offset=place, interleaved=interleaved), x)

        near = (turned(q, 3) * turned(k, 1)).sum()
        far = (turned(q, 103) * turned(k, 101)).sum()
        torch.testing.assert_close(near, far, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(turned(q, 0), q)
        torch.testing.assert_close(turned(q, 7).norm(), q.norm())


def test_sinusoid_is_the_formula() -> None:
    table = evaluate(example(OPS["sinusoid"], length=50, width=16))
    for place, i in ((0, 0), (7, 3), (49, 7)):
        angle = place / 10000 ** (2 * i / 16)
        assert float(table[place, 2 * i]) == pytest.approx(math.sin(angle), abs=1e-5)
        assert float(table[place, 2 * i + 1]) == pytest.approx(math.cos(angle), abs=1e-5)


def test_alibi_has_the_published_slopes() -> None:
    from dlc.compiler.ops.positions import slopes

    assert slopes(8) == tuple(2.0**-i for i in range(1, 9))
    assert slopes(1) == (2**-8,)
    assert slopes(3) == (2**-4, 2**-8, 2**-2)
    bias = evaluate(example(OPS["alibi"], heads=8, length=4))
    assert bias[0, 3].tolist() == [-1.5, -1.0, -0.5, 0.0]


@pytest.mark.parametrize(
    ("name", "inputs", "static", "argument", "words"),
    [
        ("attention", ("N 2 T 4", "N 2 T 5", "N 2 T 5"), {}, "k", "width of k is 5, and that of q is 4"),
        ("attention", ("N 2 T 4", "N 2 S 4", "N 2 T 4"), {}, "v", "length of v is T, and that of k is S"),
        ("attention", ("N 4 T 4", "N 3 T 4", "N 3 T 4"), {}, "k", "3 heads of keys cannot serve 4"),
        ("attention", ("N 4 T 4", "S 4 T 4", "S 4 T 4"), {}, "k", "size of axis 0"),
        ("attention", ("N 4 T 4", "N T 4", "N T 4"), {}, "k", "k has 3 axes, and q has 4"),
        ("attention", ("N 2 T 4", "N 2 T 4", "N 2 T 4", "bool S S"), {}, "mask", "does not fit the scores"),
        ("attention", ("N 2 T 4", "N 2 T 4", "N 2 T 4", "bool 2 N 2 T T"), {}, "mask", "does not fit the scores"),
        ("attention", ("N 2 T 4", "N 2 T 4", "N 2 T 4", "int T T"), {}, "mask", "must be bool"),
        ("attention", ("int N 2 T 4", "N 2 T 4", "N 2 T 4"), {}, "q", "must be float"),
        ("rope", ("N T 5",), {}, "x", "5 is not even"),
        ("rope", ("5",), {}, "x", "1 axis"),
        ("sinusoid", (), {"length": 4, "width": 5}, "width", "5 is not even"),
        ("alibi", (), {"heads": 4, "length": -1}, "length", "not negative"),
    ],
)
def test_refuses(name: str, inputs: tuple[str, ...], static: dict[str, Any], argument: str, words: str) -> None:
    error = refusal(OPS[name], *inputs, **static)
    assert error.argument == argument
    assert words in error.message
