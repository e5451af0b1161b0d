"""The weights of attention that a report draws, against what PyTorch makes of them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

import dlc
from dlc.runtime.report.attention import looks, weights_of
from dlc.runtime.train.run import Run

GENERATOR = torch.Generator().manual_seed(0)
Q, K, V = (torch.randn(2, 4, size, 8, generator=GENERATOR) for size in (5, 7, 7))
SEEN = torch.rand(2, 1, 5, 7, generator=GENERATOR) > 0.3
SEEN[..., 0] = True


@pytest.mark.parametrize(
    "options",
    [{}, {"is_causal": True}, {"scale": 0.3}, {"attn_mask": SEEN}, {"attn_mask": torch.randn(5, 7)}],
    ids=["plain", "causal", "scaled", "masked", "biased"],
)
def test_weights_are_those_by_which_values_are_summed(options: dict[str, object]) -> None:
    weights = weights_of(Q, K, V, **options)  # pyright: ignore[reportArgumentType]
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 4, 5))
    torch.testing.assert_close(weights @ V, functional.scaled_dot_product_attention(Q, K, V, **options))  # pyright: ignore


def test_heads_may_share_keys() -> None:
    k, v = K[:, :2], V[:, :2]
    due = functional.scaled_dot_product_attention(Q, k, v, enable_gqa=True)
    torch.testing.assert_close(weights_of(Q, k, v, enable_gqa=True) @ v.repeat_interleave(2, 1), due)


SPEC = """
block Attend(x: float[N, T, d], heads = 2) -> float[N, T, d]:
    require d % heads == 0, "heads divide the width"
    q, k, v = x -> linear(3*d) -> rearrange("n t (three h e) -> three n h t e", three=3, h=heads)
    return attention(q, k, v, causal=true) -> rearrange("n h t e -> n t (h e)")

model Net(x: float[N, T, d]) -> (y: float[N, T, d]):
    return x -> Attend -> Attend

data Drawn:
    source = generate(40)
    x: float[6, 4] = normal(6, 4)
    split = (train=0.5, valid=0.5)

train Fit on Drawn:
    net = Net()
    settings:
        batch = 10
        epochs = 1
    step:
        minimize mse(net(x), x)
"""


def test_a_report_draws_each_use_of_the_first_example(tmp_path: Path) -> None:
    (tmp_path / "net.dl").write_text(SPEC)
    dlc.train(tmp_path / "net.dl", output=tmp_path / "run")
    run = Run.open(tmp_path / "run")
    x = np.random.default_rng(0).normal(size=(3, 6, 4)).astype(np.float32)
    found = looks(run, run.spec, {"x": x}, "cpu")
    assert [look.path for look in found] == ["net.Attend", "net.Attend_2"]
    assert all(look.weights.shape == (2, 6, 6) for look in found)
    assert all(np.triu(look.weights[0], 1).max() == 0 for look in found)
    text = (tmp_path / "run" / "report.html").read_text("utf-8")
    assert "Attention, first example of valid" in text
    assert '<img alt="net.Attend_2"' in text
