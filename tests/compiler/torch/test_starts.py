"""Weights and constants that start at the value of an expression."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dlc.compiler.torch.emit import emit_graph
from dlc.compiler.weights import OpenWeight, draw_weights
from dlc.grammar.diagnostics import Sink
from dlc.grammar.parse import parse
from dlc.grammar.source import Source
from dlc.runtime.build import compute

from .specs import Sources, elaborate, emitted, graph, module

SPEC = """
        block Sinusoid(T: int, d: int) -> float[T, d]:
            angle = unsqueeze(cast(arange(T), "float"), 1) * exp(cast(arange(d // 2), "float") * (-9.21 * 2 / d))
            return concat(sin(angle), cos(angle), axis=1)
        block Layer(x: float[N, T, d], scale: int) -> float[N, T, d]:
            weight W: float[d, d] = scale * eye(d)
            constant place: float[T, d] = Sinusoid(T, d)
            weight b: float[d] = expand(ones(1), d)
            return (x + place) @ W + b
        model Net(x: float[N, 8, 6]) -> (y: float[N, 8, 6]):
            h = x -> Layer(2)
            return h -> Layer(3)
"""


def sinusoid(steps: int, width: int) -> np.ndarray:
    angle = np.arange(steps)[:, None] * np.exp(np.arange(width // 2) * (-9.21 * 2 / width))
    return np.concatenate((np.sin(angle), np.cos(angle)), axis=1)


def test_the_expression_stands_in_the_constructor() -> None:
    source = emitted(SPEC)
    assert "def __init__(self, scale: int) -> None:" in source
    assert "self.W = nn.Parameter(scale * torch.eye(6))" in source
    assert 'self.register_buffer("place", sinusoid())' in source
    assert "self.b = nn.Parameter(torch.ones(1).expand(6).contiguous())" in source


def test_the_value_is_what_the_expression_gives() -> None:
    net = module(SPEC)
    np.testing.assert_allclose(net.Layer.place.numpy(), sinusoid(8, 6), atol=1e-6)
    np.testing.assert_array_equal(net.Layer_2.W.detach().numpy(), 3 * np.eye(6))
    net.load_state_dict(net.state_dict())
    learned = ["Layer.W", "Layer.b", "Layer_2.W", "Layer_2.b"]
    assert [name for name, _ in net.named_parameters()] == learned
    x = torch.zeros(2, 8, 6)
    h = 2 * net.Layer.place + 1
    torch.testing.assert_close(net(x)[0], 3 * (h + net.Layer.place) + 1)


def test_weights_drawn_without_torch_have_the_same_values() -> None:
    drawn = draw_weights(graph(SPEC).weights(), 0, compute)
    for path, value in module(SPEC).state_dict().items():
        np.testing.assert_allclose(drawn[path], value.numpy(), atol=1e-6)


def test_what_computes_is_asked_for() -> None:
    with pytest.raises(TypeError, match=r"Layer\.W"):
        draw_weights(graph(SPEC).weights(), 0)


def test_a_weight_may_be_drawn_by_an_expression() -> None:
    net = module("""
        model Net(x: float[N, 64]) -> (y: float[N, 64]):
            weight W: float[64, 64] = 0.1 * normal(64, 64) + eye(64)
            return x @ W
    """)
    rest = (net.W - torch.eye(64)).detach()
    assert 0.09 < rest.std() < 0.11


def test_statements_on_the_way_do_not_hide_parameters() -> None:
    text = """
        block Mix(x: float[N, H], by: int) -> float[N, H]:
            weight W: float[H, H] = Twice(eye(H) * by + ones(H, H))
            return (x @ W) -> linear(H)
        block Twice(W: float[H, H]) -> float[H, H]:
            h = exp(W)
            loop 2:
                h = h @ h + h
            return h
        model Net(x: float[N, 3]) -> (y: float[N, 3]):
            return x -> Mix(1) -> linear(4) -> Mix(2) -> linear(3)
    """
    net = module(text)
    h = torch.exp(torch.eye(4) * 2 + 1)
    for _ in range(2):
        h = h @ h + h
    torch.testing.assert_close(net.Mix_2.W.detach(), h)


def test_an_open_size_in_the_expression_is_refused() -> None:
    made = graph("""
        model Net(x: float[N, d]) -> (y: float[N]):
            weight w: float[] = mean(ones(d))
            return sum(x, axis=1) * w
    """)
    with pytest.raises(OpenWeight) as refused:
        emit_graph(made)
    assert (refused.value.path, str(refused.value.size)) == ("w", "d")


@pytest.mark.parametrize(
    ("statement", "code", "message"),
    [
        ("weight w: float[4] = x[0]", "DL2016", "a weight starts at what is known before the model runs, and this"),
        ("weight w: float[4] = x", "DL2016", "a weight starts at what is known before the model runs, and this"),
        ("weight w: float[3, 4] = f.weight", "DL2016", "a weight starts at what is known before the model runs, and"),
        ("weight w: float[4] = zeros(4) -> linear(4)", "DL2016", "a weight starts at what is known before the model"),
        ("constant w: float[4] = normal(4)", "DL2016", "a constant has one value, and this draws random numbers"),
        ("constant w: float[4] = Noise(4)", "DL2016", "a constant has one value, and this draws random numbers"),
        ("weight w: float[4] = zeros(5)", "DL3002", "`w` is declared as float[4], and this is float[5]"),
        ("constant w: float[4] = arange(4)", "DL3003", "`w` is declared as float[4], and this is int[4] < 4"),
        ("weight w: float[4] = relu", "DL4001", "a weight starts at a number, a tensor or a distribution, not at"),
    ],
)
def test_what_cannot_be_a_start_is_told(statement: str, code: str, message: str) -> None:
    text = f"""
block Noise(d: int) -> float[d]:
    return normal(d)

model Net(x: float[N, 4]) -> (y: float[N, 3]):
    f = linear(3)
    y = f(x)
    {statement}
    return y + sum(w)
"""
    sink = Sink()
    elaborate(parse(Source("spec.dl", text), sink), sink, loader=Sources({}, sink))
    (found,) = sink
    assert found.code == code
    assert found.message.startswith(message)
