"""Linear layers, convolutions, norms and pooling: against torch.nn, and what they refuse."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from dlc.compiler.init import Orthogonal
from dlc.compiler.op import operations

from .refusals import evaluate, example, refusal, same_start
from .targets import Torch

OPS = operations()

LAYERS: list[tuple[str, tuple[str, ...], dict[str, Any], nn.Module]] = [
    ("linear", ("N T 32",), {"out": 64}, nn.Linear(32, 64)),
    ("bilinear", ("N 16", "N 8"), {"out": 32}, nn.Bilinear(16, 8, 32)),
    ("conv", ("N 8 H W",), {"out": 32, "kernel": 3}, nn.Conv2d(8, 32, 3, padding=1)),
    ("conv", ("N 8 T",), {"out": 32, "kernel": 5, "groups": 4}, nn.Conv1d(8, 32, 5, padding=2, groups=4)),
    ("conv", ("N 2 4 H W",), {"out": 99, "kernel": (1, 3, 3)}, nn.Conv3d(2, 99, (1, 3, 3), padding=(0, 1, 1))),
    ("conv_transpose", ("N 16 H W",), {"out": 32, "kernel": 2, "stride": 2}, nn.ConvTranspose2d(16, 32, 2, 2)),
    ("conv_transpose", ("N 4 T",), {"out": 6, "kernel": 3, "groups": 2}, nn.ConvTranspose1d(4, 6, 3, groups=2)),
    (
        "conv_transpose",
        ("N 4 H W",),
        {"out": 32, "kernel": 3, "stride": 2, "pad": 1, "output_pad": 1, "bias": False},
        nn.ConvTranspose2d(4, 32, 3, 2, 1, 1, bias=False),
    ),
    ("batch_norm", ("N 8",), {}, nn.BatchNorm1d(8)),
    ("batch_norm", ("N 8 H W",), {}, nn.BatchNorm2d(8)),
    ("batch_norm", ("N 8 T H W",), {"eps": 1e-3}, nn.BatchNorm3d(8, eps=1e-3)),
    ("layer_norm", ("N 8",), {}, nn.LayerNorm(8)),
    ("layer_norm", ("N T 3 8",), {"axes": 2, "bias": False}, nn.LayerNorm((3, 8), bias=False)),
    ("rms_norm", ("N 8",), {}, nn.RMSNorm(8, eps=1e-6)),
    ("group_norm", ("N 8 H W",), {"groups": 2}, nn.GroupNorm(2, 8)),
    ("instance_norm", ("N 8 H W",), {"affine": True}, nn.InstanceNorm2d(8, affine=True)),
    ("prelu", ("N 8 T",), {"channels": True}, nn.PReLU(8)),
]


@pytest.mark.parametrize(("name", "inputs", "static", "module"), LAYERS)
def test_weights_of_torch_load_by_name(
    name: str, inputs: tuple[str, ...], static: dict[str, Any], module: nn.Module
) -> None:
    case = example(OPS[name], *inputs, **static)
    given = [torch.from_numpy(array) for array in case.arrays(case.binding(second=True))]
    module.train()
    with torch.no_grad():
        module(*given)  # gives the running statistics something to hold
    module.eval()
    torch.testing.assert_close(evaluate(case, *given, weights=module.state_dict()), module(*given), rtol=0, atol=1e-6)


@pytest.mark.parametrize(("name", "inputs", "static", "module"), LAYERS)
def test_weights_start_as_in_torch(
    name: str, inputs: tuple[str, ...], static: dict[str, Any], module: nn.Module
) -> None:
    torch.manual_seed(0)
    for part in module.modules():
        part.reset_parameters() if hasattr(part, "reset_parameters") else None
    same_start(example(OPS[name], *inputs, **static), module)


def test_embedding_starts_as_in_torch() -> None:
    case = example(OPS["embedding"], "int N < 50", count=50, width=20, padding=3)
    module = nn.Embedding(50, 20, padding_idx=3)
    same_start(case, module)
    start = case.op.weights(*case.inputs)["weight"].init
    assert not start.draw(np.random.default_rng(0), (50, 20))[3].any()
    index = torch.tensor([3, 0, 49])
    torch.testing.assert_close(evaluate(case, index, weights=module.state_dict()), module(index))


def test_an_own_start_is_told_to_the_emitter() -> None:
    start = Orthogonal()
    for name, static in (("linear", {"out": 4}), ("conv", {"out": 4, "kernel": 3})):
        op = OPS[name](**static, init=start)
        assert op.initialised() == {"weight": start}
        assert OPS[name](**static).initialised() == {}


@pytest.mark.parametrize(
    ("name", "inputs", "static", "argument", "words"),
    [
        ("linear", ("N 4",), {"out": 0}, "out", "at least 1"),
        ("linear", ("int N 4",), {"out": 2}, "x", "which are float"),
        ("linear", ("float64 N 4",), {"out": 2}, "x", "which are float"),
        ("linear", ("",), {"out": 2}, "x", "0 axes"),
        ("bilinear", ("N 4", "T 4"), {"out": 2}, "y", "differ in more than their last axis"),
        ("embedding", ("int N < 51",), {"count": 50, "width": 8}, "index", "up to 50, and the table has 50 rows"),
        ("embedding", ("int N < V+1",), {"count": "V", "width": 8}, "index", "and the table has V rows"),
        ("embedding", ("N",), {"count": 50, "width": 8}, "index", "must be int"),
        ("embedding", ("int N",), {"count": 5, "width": 8, "padding": 5}, "padding", "no row 5"),
        ("conv", ("N 3 4 4",), {"out": 8, "kernel": 5, "pad": 0}, "kernel", "5 against 4, along axis 2"),
        ("conv", ("N 3 H 2",), {"out": 8, "kernel": 3, "pad": 0}, "kernel", "along axis 3"),
        ("conv", ("N 3 4",), {"out": 8, "kernel": 3, "pad": 0, "dilation": 2}, "kernel", "spread by dilation 2"),
        ("conv", ("N 3 H W",), {"out": 8, "kernel": 3, "groups": 2}, "groups", "x has 3 channels"),
        ("conv", ("N 4 H W",), {"out": 7, "kernel": 3, "groups": 2}, "groups", "out is 7"),
        ("conv", ("N C H W",), {"out": 8, "kernel": 3, "groups": 2}, "groups", "x has C channels"),
        ("conv", ("N 3",), {"out": 8, "kernel": 3}, "x", "1 to 3 spatial"),
        ("conv", ("N 3 H W",), {"out": 8, "kernel": (3, 3, 3)}, "kernel", "3 entries"),
        ("conv", ("N 3 H W",), {"out": 8, "kernel": 3, "pad": "causal"}, "pad", "for sequences"),
        ("conv", ("N 3 2 4",), {"out": 8, "kernel": 5, "pad": 2, "pad_mode": "reflect"}, "pad", "axis 2 has to give"),
        ("conv_transpose", ("N 3 4 4",), {"out": 8, "kernel": 3, "output_pad": 1}, "output_pad", "less than the"),
        ("conv_transpose", ("N 3 1 1",), {"out": 8, "kernel": 2, "pad": 1}, "pad", "nothing of the result is left"),
        ("group_norm", ("N 6 H W",), {"groups": 4}, "groups", "do not divide"),
        ("layer_norm", ("N 8",), {"axes": 3}, "axes", "x has 2"),
        ("batch_norm", ("N",), {}, "x", "2 to 5 axes are due"),
        ("instance_norm", ("N 3 1 1",), {}, "x", "no variance"),
        ("max_pool", ("N 3 1 4",), {"kernel": 2}, "kernel", "larger than the image"),
        ("max_pool", ("N 3 H W",), {"kernel": 3, "pad": 2}, "pad", "half of the kernel"),
        ("avg_pool", ("N 3",), {"kernel": 2}, "x", "1 to 3 spatial"),
        ("adaptive_avg_pool", ("N C H W",), {"size": (1, 2, 3)}, "size", "3 entries"),
    ],
)
def test_refuses(name: str, inputs: tuple[str, ...], static: dict[str, Any], argument: str, words: str) -> None:
    error = refusal(OPS[name], *inputs, **static)
    assert error.argument == argument
    assert words in error.message


@pytest.mark.parametrize(
    ("name", "static"),
    [
        ("conv", {"out": 8, "kernel": 0}),
        ("conv", {"out": 8, "kernel": []}),
        ("conv", {"out": 8, "kernel": 3, "stride": 0}),
        ("conv", {"out": 8, "kernel": 3, "pad": "same"}),
        ("conv", {"out": 8, "kernel": 2.5}),
        ("max_pool", {"kernel": True}),
        ("max_pool", {"kernel": 2, "pad": -1}),
        ("group_norm", {"groups": 0}),
        ("batch_norm", {"eps": 0.0}),
    ],
)
def test_parameters_out_of_range_are_refused(name: str, static: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=list(static)[-1]):
        OPS[name](**static)


def test_code_is_written_as_a_person_would() -> None:
    def constructor(name: str, *inputs: str, **static: Any) -> str:
        from dlc.compiler.torch.context import Code, TorchContext

        case = example(OPS[name], *inputs, **static)
        t = TorchContext(case.inputs, case.gives, module="self.layer", sizes=lambda dim: Code(str(dim)))
        return case.op.torch_module(t)

    assert constructor("conv", "N 1 H W", out=32, kernel=3) == "nn.Conv2d(1, 32, 3, padding=1)"
    assert constructor("conv", "N 8 H W", out=8, kernel=1, bias=False) == "nn.Conv2d(8, 8, 1, bias=False)"
    assert constructor("conv", "N 8 T", out=8, kernel=3, pad="causal") == "nn.Conv1d(8, 8, 3)"
    assert constructor("linear", "N 8", out=3) == "nn.Linear(8, 3)"
    assert constructor("batch_norm", "N 8 T") == "nn.BatchNorm1d(8)"
    assert constructor("layer_norm", "N 8") == "nn.LayerNorm(8)"
    causal = example(OPS["conv"], "N 2 T", out=5, kernel=3, pad="causal")
    assert "self.conv(F.pad(x, (2, 0)))" in Torch(causal).source


def test_macs() -> None:
    def macs(name: str, *inputs: str, **static: Any) -> str:
        case = example(OPS[name], *inputs, **static)
        return str(case.op.macs(*case.inputs))

    assert macs("linear", "1 5 8", out=10) == str(5 * 8 * 10)
    assert macs("conv", "1 3 8 8", out=4, kernel=3) == str(4 * 8 * 8 * 3 * 9)
    assert macs("conv", "1 4 8 8", out=4, kernel=3, groups=4) == str(4 * 8 * 8 * 9)
    assert macs("conv_transpose", "1 3 4 4", out=5, kernel=2, stride=2) == str(5 * 8 * 8 * 3)
