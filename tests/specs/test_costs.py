"""Multiply-adds against PyTorch's own counter, at two bindings of each symbol."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

import dlc
from dlc.compiler.cost import Costs
from dlc.compiler.types import DType, Tensor

SPECS = Path(__file__).parents[2] / "specs"
IMAGE = [{"N": 1, "H": 32, "W": 32}, {"N": 2, "H": 47, "W": 64}]
TEXT = [{"N": 1, "T": 16}, {"N": 3, "T": 11}]
SMALL: dict[str, Any] = {"width": 64, "depth": 2, "heads": 4}


def counted(net: torch.nn.Module, inputs: list[torch.Tensor]) -> int:
    """The floating-point operations of one call, which PyTorch counts as two for a multiply-add."""
    with FlopCounterMode(display=False) as counter, torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
        net.eval()(*inputs)
    return counter.get_total_flops()


def drawn(type: Tensor, sizes: dict[str, int]) -> torch.Tensor:
    shape = [size.evaluate({symbol: sizes[symbol.name] for symbol in size.symbols()}) for size in type.shape]
    if type.dtype is DType.FLOAT:
        return torch.randn(shape)
    kind = torch.bool if type.dtype is DType.BOOL else torch.int64
    return torch.ones(shape, dtype=kind)


@pytest.mark.parametrize(
    ("spec", "model", "overrides", "bindings"),
    [
        ("vision/digits", "Classifier", {}, [{"N": 1, "H": 8, "W": 8}, {"N": 3, "H": 13, "W": 9}]),
        ("vision/resnet18", "ResNet18", {}, IMAGE),
        ("vision/resnet50", "ResNet50", {}, IMAGE),
        ("sequence/gpt2", "GPT2", {**SMALL, "vocab": 100}, TEXT),
        ("sequence/bert", "BERT", SMALL, TEXT),
        ("sequence/t5", "T5", {"depth": 2}, [{"N": 1, "S": 7, "T": 5}, {"N": 2, "S": 4, "T": 9}]),
    ],
)
def test_multiply_adds_are_those_of_pytorch(
    spec: str, model: str, overrides: dict[str, Any], bindings: list[dict[str, int]]
) -> None:
    loaded = dlc.load(SPECS / f"{spec}.dl", **overrides)
    graph = loaded.program.models[model].graph
    net = loaded.torch(model)
    macs = Costs().macs(graph)
    for sizes in bindings:
        inputs = [drawn(value.type, sizes) for value in graph.inputs.values()]
        ours = macs.evaluate({symbol: sizes[symbol.name] for symbol in macs.symbols()})
        assert 2 * ours == counted(net, inputs)
