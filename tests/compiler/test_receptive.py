"""Receptive fields against the positions of the input that a gradient reaches, and the longest chain."""

from pathlib import Path

import pytest
import torch

import dlc
from dlc.compiler.cost import Costs
from dlc.compiler.receptive import fields
from dlc.compiler.sequence import sequential_depth

NET = """
model Net(x: float[N, 1, T]) -> (y: float[N, 1, T2]):
    h = x -> conv(2, 3) -> softplus -> conv(2, 3, dilation=2) -> softplus
    skip = h -> conv(2, 1, stride=2)
    h = h -> conv(2, 5, stride=2) -> softplus -> avg_pool(3, stride=1, pad=1)
    return (h + skip) -> conv(1, 3)
"""


def test_as_far_as_a_gradient_reaches(tmp_path: Path) -> None:
    (tmp_path / "net.dl").write_text(NET)
    spec = dlc.load(tmp_path / "net.dl")
    graph = spec.program.models["Net"].graph
    seen = fields(graph)
    *_, last = Costs().layers(graph)
    x = torch.randn(1, 1, 99, requires_grad=True)
    y = spec.torch("Net").eval()(x)
    y[0, 0, 25].backward()
    assert x.grad is not None
    reached = x.grad[0, 0].nonzero()
    assert seen[last.trail] == (int(reached.max() - reached.min()) + 1,)


@pytest.mark.parametrize(("spec", "name", "size"), [("resnet18", "ResNet18", 435), ("resnet50", "ResNet50", 427)])
def test_published_fields(spec: str, name: str, size: int) -> None:
    """Those of torchvision's nets, by the recurrence of Araujo, Norris and Sim, "Computing Receptive Fields of
    Convolutional Neural Networks", Distill, 2019. Their 483 for ResNet-50 has its strides in the first convolution of a
    block, which sees one pixel; torchvision's has them in the second."""
    graph = dlc.load(Path(__file__).parents[2] / f"specs/vision/{spec}.dl").program.models[name].graph
    assert max(field[0] or 0 for field in fields(graph).values()) == size


def test_a_chain_of_steps(tmp_path: Path) -> None:
    (tmp_path / "net.dl").write_text(
        "model Net(x: float[N, T, 4]) -> (y: float[N, 2]):\n"
        "    states, last, cell = x -> lstm(8, depth=2)\n"
        "    a = last[-1] -> linear(8) -> linear(8)\n"
        "    loop 5:\n"
        "        a = tanh(a -> linear(8))\n"
        "    return a + linear(cell[-1], 8) -> linear(2)\n".replace(
            "a + linear(cell[-1], 8)", "(a + linear(cell[-1], 8))"
        )
    )
    graph = dlc.load(tmp_path / "net.dl").program.models["Net"].graph
    t = next(iter(graph.inputs.values())).type.shape[1]
    assert sequential_depth(graph) == 2 * t + 2 + 5 + 1
