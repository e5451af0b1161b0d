"""Repeated layers, and compositions with a name."""

from __future__ import annotations

import torch

from .specs import body, emitted, module

LAYER = """
        block Layer(x: float[N, d]) -> float[N, d]:
            return x -> linear(d) -> tanh
"""


def test_a_repeated_layer_is_a_list_and_a_loop() -> None:
    text = f"""{LAYER}
        model Net(x: float[N, 4]) -> (y: float[N, 4]):
            return x -> repeat(3, Layer)
    """
    source = emitted(text)
    assert "self.repeat = nn.ModuleList([Layer() for _ in range(3)])" in source
    assert body(source) == "for layer in self.repeat:\n    x = layer(x)\nreturn x"
    made, x = module(text), torch.randn(2, 4)
    torch.testing.assert_close(made(x), made.repeat[2](made.repeat[1](made.repeat[0](x))))


def test_a_list_in_the_middle_of_a_pipe_is_a_loop() -> None:
    text = f"""{LAYER}
        model Net(x: float[N, 4]) -> (y: float[N, 2]):
            layers = repeat(12, Layer)
            return x -> linear(8) -> layers -> linear(2)
    """
    assert (
        body(emitted(text))
        == "x = self.linear(x)\nfor layer in self.layers:\n    x = layer(x)\nreturn self.linear_2(x)"
    )


def test_an_operation_is_repeated_too() -> None:
    text = """
        model Net(x: float[N, 4]) -> (y: float[N, 4]):
            return x -> repeat(2, linear(4) -> relu) -> repeat(2, batch_norm)
    """
    made, x = module(text).eval(), torch.randn(2, 4)
    first, second = made.repeat
    expected = torch.relu(second.linear(torch.relu(first.linear(x))))
    torch.testing.assert_close(made(x), made.repeat_2[1](made.repeat_2[0](expected)))


def test_a_composition_with_a_name_is_a_class_of_that_name() -> None:
    source = emitted("""
        model Net(x: float[N, 8]) -> (y: float[N, 8]):
            feed_forward = linear(32) -> gelu -> linear(8)
            return x + feed_forward(x)
    """)
    assert "class FeedForward(nn.Module):" in source
    assert "return self.linear_2(F.gelu(self.linear(x)))" in source
    assert body(source) == "return x + self.feed_forward(x)"
