"""Calls of a list's items, one after the other, as a loop."""

from __future__ import annotations

import torch

from .specs import body, emitted, module


def net(statements: str, before: str = "") -> str:
    return f"""
        block Layer(x: float[N, d]) -> float[N, d]:
            return x -> linear(d) -> tanh
        block Pair(x: float[N, d], y: float[N, d]) -> float[N, d]:
            return linear(x, d) + y
        model Net(x: float[N, 4]) -> (y: float[N, 4]):
            {before}
            {statements}
    """


LISTS = "layers = [Layer() for i in range(3)]"


def test_a_list_applied_in_order_is_a_loop() -> None:
    text = net("for layer in layers:\n                x = x + layer(x)\n            return x", LISTS)
    assert body(emitted(text)) == "for layer in self.layers:\n    x = x + layer(x)\nreturn x"
    made = module(text)
    expected = x = torch.randn(2, 4)
    for place in range(3):
        expected = expected + made.layers[place](expected)
    torch.testing.assert_close(made(x), expected)


def test_a_turn_may_have_several_statements() -> None:
    turn = "h = layer(x)\n                x = x + h * sigmoid(h)"
    text = net(f"for layer in layers:\n                {turn}\n            return x", LISTS)
    assert body(emitted(text)) == (
        "for layer in self.layers:\n    h = layer(x)\n    x = x + h * torch.sigmoid(h)\nreturn x"
    )


def test_what_flows_into_the_first_turn_is_bound_before_the_loop() -> None:
    text = net("h = x\n            for layer in layers:\n                h = layer(h)\n            return h", LISTS)
    assert body(emitted(text)) == "h = x\nfor layer in self.layers:\n    h = layer(h)\nreturn h"
    made = module(text)
    x = torch.randn(2, 4)
    torch.testing.assert_close(made(x), made.layers[2](made.layers[1](made.layers[0](x))))


def test_two_lists_are_walked_together() -> None:
    lists = f"{LISTS}\n            pairs = [Pair() for i in range(3)]"
    text = net("for i in range(3):\n                x = pairs[i](layers[i](x), x)\n            return x", lists)
    assert "in zip(self." in body(emitted(text))
    made = module(text)
    expected = x = torch.randn(2, 4)
    for layer, pair in zip(made.layers, made.pairs, strict=True):
        expected = pair(layer(expected), expected)
    torch.testing.assert_close(made(x), expected)


def test_a_part_of_a_list_is_a_slice() -> None:
    text = net("for i in range(2):\n                x = layers[i](x)\n            return layers[2](x) * 2 + x", LISTS)
    source = body(emitted(text))
    assert source.startswith("for layer in self.layers[:2]:\n    x = layer(x)")


def test_lists_in_lists_are_loops_in_loops() -> None:
    lists = "stages = [[Layer() for i in range(2)] for j in range(3)]"
    loops = "for stage in stages:\n                for layer in stage:\n                    x = layer(x)"
    text = net(f"{loops}\n            return x", lists)
    assert body(emitted(text)) == ("for stage in self.stages:\n    for layer in stage:\n        x = layer(x)\nreturn x")
    made = module(text)
    expected = x = torch.randn(2, 4)
    for stage in made.stages:
        for layer in stage:
            expected = layer(expected)
    torch.testing.assert_close(made(x), expected)


def test_another_order_is_no_loop() -> None:
    text = net("return layers[0](layers[2](layers[1](x)))", LISTS)
    source = body(emitted(text))
    assert "for " not in source
    made = module(text)
    x = torch.randn(2, 4)
    torch.testing.assert_close(made(x), made.layers[0](made.layers[2](made.layers[1](x))))


def test_turns_that_differ_are_no_loop() -> None:
    text = net("for i in range(3):\n                x = layers[i](x) * (i + 2)\n            return x", LISTS)
    assert "for " not in body(emitted(text))
    made = module(text)
    x = torch.randn(2, 4)
    torch.testing.assert_close(made(x), made.layers[2](made.layers[1](made.layers[0](x) * 2) * 3) * 4)


def test_results_of_all_turns_are_kept_apart() -> None:
    calls = "\n            ".join(f"{name} = layers[{place}](x)" for place, name in enumerate("abc"))
    text = net(f"{calls}\n            return a + b * c", LISTS)
    assert "for " not in body(emitted(text))
