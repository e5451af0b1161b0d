"""Sizes that are computed when the model is called, and conditions on them."""

from __future__ import annotations

import pytest
import torch

from dlc.compiler.torch.emit import OpenWeight, emit_graph

from .specs import body, emitted, graph, module


def test_a_size_that_is_used_once_is_read_in_place() -> None:
    assert body(
        emitted("""
        model Net(x: float[N, 4]) -> (y: float[N, 2]):
            return x + zeros(N, 1) -> linear(2)
    """)
    ).startswith("return self.linear(x + torch.zeros(x.shape[0], 1, dtype=x.dtype, device=x.device))")


@pytest.mark.parametrize(
    ("shape", "result", "unpacked"),
    [
        ("N, T", "N, T, 1", "n, t = x.shape"),
        ("N, T, 4", "N, T, 4, 1", "n, t = x.shape[:2]"),
        ("3, H, W", "3, 1, H, W", "h, w = x.shape[1:]"),
        ("N, 3, W", "N, W, 3", "n, _, w = x.shape"),
        ("N, 3, 2, 5, W", "N, W, 30", "n = x.shape[0]\nw = x.shape[4]"),
    ],
)
def test_sizes_are_unpacked_once(shape: str, result: str, unpacked: str) -> None:
    text = f"""
        model Net(x: float[{shape}]) -> (y: float[{result}]):
            return reshape(x, {result})
    """
    assert body(emitted(text)).startswith(f"{unpacked}\n")
    sizes = [7 if size.strip().isalpha() else int(size) for size in shape.split(",")]
    x = torch.randn(sizes)
    assert module(text)(x).numel() == x.numel()


def test_a_size_of_an_input_that_is_bound_again_is_read_before() -> None:
    text = """
        model Net(x: float[N, T]) -> (y: float[N, 1]):
            x = mean(x, axis=1, keep=true)
            return x * T
    """
    assert body(emitted(text)).startswith("t = x.shape[1]\n")
    x = torch.randn(3, 5)
    torch.testing.assert_close(module(text)(x), x.sum(1, keepdim=True))


def test_a_name_that_is_taken_leaves_a_size_its_own() -> None:
    text = """
        model Net(x: float[N, H]) -> (y: float[N, H]):
            h = exp(x)
            return (h + N * H) * H
    """
    assert "H = x.shape" in body(emitted(text))
    x = torch.randn(2, 3)
    torch.testing.assert_close(module(text)(x), (torch.exp(x) + 6) * 3)


def test_a_size_follows_from_another() -> None:
    text = """
        model Net(x: float[N, 2*T - 1]) -> (y: float[N]):
            return sum(x[:, :T], axis=1) * T
    """
    x = torch.randn(2, 9)
    torch.testing.assert_close(module(text)(x), x[:, :5].sum(1) * 5)


def test_a_block_is_given_the_sizes_that_its_inputs_do_not_tell() -> None:
    text = """
        block Inner(x: float[N, 4], T: int) -> float[N, 4]:
            return linear(x, 4) * T
        block Outer(x: float[N, 4], T: int) -> float[N, 4]:
            return Inner(x, T) + 1
        model Net(x: float[N, T, 4]) -> (y: float[N, 4]):
            return Outer(mean(x, axis=1), T)
    """
    source = emitted(text)
    assert source.count("def forward(self, x: Tensor, t: int) -> Tensor:") == 2
    net = module(text)
    x = torch.randn(2, 6, 4)
    torch.testing.assert_close(net(x), net.Outer.Inner.linear(x.mean(1)) * 6 + 1)


def test_a_condition_on_sizes_is_tested_when_the_model_is_called() -> None:
    net = module("""
        model Net(x: float[N, T]) -> (y: float[N, T]):
            require T <= 8, "at most \\"eight\\" steps"
            return exp(x)
    """)
    assert net(torch.zeros(2, 8)).shape == (2, 8)
    with pytest.raises(ValueError, match=r'^at most "eight" steps$'):
        net(torch.zeros(2, 9))


def test_a_weight_of_open_size_is_refused() -> None:
    made = graph("""
        model Net(x: float[N, d]) -> (y: float[N]):
            weight w: float[d] = 0
            return x @ w
    """)
    with pytest.raises(OpenWeight) as refused:
        emit_graph(made)
    assert (refused.value.path, str(refused.value.size)) == ("w", "d")


def test_new_tensors_follow_the_precision_of_the_model() -> None:
    text = """
        model Net(tokens: int[N, T] < 10) -> (y: float[N, T, 4]):
            embed = embedding(10, 4)
            return embed(tokens) + zeros(T, 4)
    """
    assert module(text).double()(torch.zeros(2, 3, dtype=torch.int64)).dtype is torch.float64
