"""Signatures of one block as one class, and what the parameters of its constructor are called."""

from __future__ import annotations

import torch

from .specs import emitted, module


def classes(source: str) -> list[str]:
    return [line[6:].partition("(")[0] for line in source.split("\n") if line.startswith("class ")]


def test_sizes_that_differ_become_parameters_named_as_in_the_spec() -> None:
    text = """
        block Wide(x: float[N, d], width: int) -> float[N, d]:
            return x -> linear(4*width) -> relu -> linear(d)
        model Net(x: float[N, 8]) -> (y: float[N, 8]):
            return x -> Wide(2) -> linear(6) -> Wide(3) -> linear(8) -> Wide(5)
    """
    source = emitted(text)
    assert classes(source) == ["Wide", "Net"]
    assert "def __init__(self, d: int, width: int) -> None:" in source
    assert "self.linear = nn.Linear(d, 4 * width)" in source
    assert "self.linear_2 = nn.Linear(4 * width, d)" in source
    assert "self.Wide_2 = Wide(6, 3)" in source
    assert module(text)(torch.randn(2, 8)).shape == (2, 8)


def test_a_number_that_agrees_everywhere_stays_a_number() -> None:
    source = emitted("""
        block Conv(x: float[N, C, H, W], out: int) -> float[N, out, H, W]:
            return x -> conv(out, 3) -> relu
        model Net(x: float[N, 3, H, W]) -> (y: float[N, 16, H, W]):
            return x -> Conv(8) -> Conv(16)
    """)
    assert "self.conv = nn.Conv2d(c, out, 3, padding=1)" in source


def test_a_number_in_forward_is_kept_by_the_module() -> None:
    text = """
        block Scaled(x: float[N, d], by: int) -> float[N, d]:
            weight shift: float[d] = 0
            return x * by + shift
        model Net(x: float[N, 4]) -> (y: float[N, 4]):
            return x -> Scaled(2) -> Scaled(7)
    """
    source = emitted(text)
    assert classes(source) == ["Scaled", "Net"]
    assert "self.by = by" in source
    assert "return x * self.by + self.shift" in source
    x = torch.randn(2, 4)
    torch.testing.assert_close(module(text)(x), 14 * x)


def test_a_number_without_a_name_takes_that_of_its_argument() -> None:
    source = emitted("""
        block Normed(x: float[N, d], eps: float) -> float[N, d]:
            return x -> layer_norm(eps=eps)
        model Net(x: float[N, 4]) -> (y: float[N, 4]):
            return x -> Normed(0.1) -> Normed(0.01)
    """)
    assert "def __init__(self, eps: float) -> None:" in source
    assert "self.Normed_2 = Normed(0.01)" in source


def test_blocks_of_different_structure_are_classes_named_by_what_tells_them_apart() -> None:
    text = """
        block Residual(x: float[N, C, H, W], out = C, stride = 1) -> float[N, out, H2, W2]:
            skip = x if out == C and stride == 1 else x -> conv(out, 1, stride=stride)
            return skip + (x -> conv(out, 3, stride=stride) -> batch_norm)
        model Net(x: float[N, 4, 8, 8]) -> (y: float[N, 16, 2, 2]):
            return x -> Residual(8, stride=2) -> Residual -> Residual(16, stride=2) -> Residual
    """
    assert classes(emitted(text)) == ["ResidualStride2", "ResidualStride1", "Net"]
    assert module(text)(torch.randn(2, 4, 8, 8)).shape == (2, 16, 2, 2)


def test_a_block_that_calls_itself_is_one_class_that_is_given_its_inner_instance() -> None:
    text = """
        block Nest(x: float[N, d], depth: int) -> float[N, d]:
            if depth == 0:
                return linear(x, d)
            return linear(Nest(linear(x, 2*d), depth - 1), d)
        model Net(x: float[N, 2]) -> (y: float[N, 2]):
            return Nest(x, 3)
    """
    source = emitted(text)
    assert len(classes(source)) == 3
    assert "Nest(2, Nest(4, Nest(8, " in source
    net = module(text)
    x = torch.randn(3, 2)
    deepest = net.Nest.Nest.Nest
    expected = deepest.Nest(deepest.linear(net.Nest.Nest.linear(net.Nest.linear(x))))
    for level in (deepest, net.Nest.Nest, net.Nest):
        expected = level.linear_2(expected)
    torch.testing.assert_close(net(x), expected)


def test_blocks_of_one_name_from_two_files_are_two_classes() -> None:
    other = """
        block Stage(x: float[N, d]) -> float[N, d]:
            return x -> linear(d) -> tanh
        block Outer(x: float[N, d]) -> float[N, d]:
            return x -> Stage
    """
    source = emitted(
        """
        from other import Outer
        block Stage(x: float[N, d]) -> float[N, d]:
            return x -> linear(d) -> relu
        model Net(x: float[N, 4]) -> (y: float[N, 4]):
            return x -> Outer -> Stage
        """,
        other=other,
    )
    assert classes(source) == ["Stage", "Outer", "Stage2", "Net"]


def test_a_block_of_the_models_name_leaves_the_name_to_the_model() -> None:
    other = """
        block Net(x: float[N, d]) -> float[N, d]:
            return x -> linear(d)
        block Outer(x: float[N, d]) -> float[N, d]:
            return x -> Net
    """
    text = """
        from other import Outer
        model Net(x: float[N, 4]) -> (y: float[N, 4]):
            return x -> Outer -> relu
    """
    assert classes(emitted(text, other=other)) == ["Net2", "Outer", "Net"]
    assert list(module(text, other=other).state_dict()) == ["Outer.Net.linear.weight", "Outer.Net.linear.bias"]
