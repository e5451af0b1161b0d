"""Recurrent layers and cells: against torch.nn and their equations, and what they refuse."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from dlc.compiler.init import Identity
from dlc.compiler.op import operations

from .refusals import evaluate, example, refusal, same_start

OPS = operations()
LAYERS: list[tuple[str, dict[str, Any], nn.Module]] = [
    ("rnn", {"activation": "relu"}, nn.RNN(3, 16, nonlinearity="relu", batch_first=True)),
    ("rnn", {"depth": 2}, nn.RNN(3, 16, 2, batch_first=True)),
    ("gru", {"bidirectional": True}, nn.GRU(3, 16, bidirectional=True, batch_first=True)),
    ("gru", {"depth": 3, "bidirectional": True}, nn.GRU(3, 16, 3, bidirectional=True, batch_first=True)),
    ("lstm", {"depth": 2}, nn.LSTM(3, 16, 2, batch_first=True)),
    ("lstm", {"bidirectional": True, "proj": 5}, nn.LSTM(3, 16, proj_size=5, bidirectional=True, batch_first=True)),
]
pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections")


@pytest.mark.parametrize(("name", "static", "module"), LAYERS)
def test_weights_of_torch_load_by_name(name: str, static: dict[str, Any], module: nn.Module) -> None:
    x = torch.randn(2, 7, 3)
    results = evaluate(example(OPS[name], "2 7 3", width=16, **static), x, weights=module.state_dict())
    states, last = module(x)
    torch.testing.assert_close(results[0], states, rtol=0, atol=1e-6)
    depth, ways = static.get("depth", 1), 1 + static.get("bidirectional", False)
    for given, expected in zip(results[1:], last if isinstance(last, tuple) else (last,), strict=True):
        layers = given if depth > 1 else given[None]
        sides = layers.unflatten(-1, (ways, -1)).movedim(2, 1).flatten(0, 1)
        torch.testing.assert_close(sides, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("name", "static", "module"), LAYERS)
def test_weights_start_as_in_torch(name: str, static: dict[str, Any], module: nn.Module) -> None:
    torch.manual_seed(0)
    module.reset_parameters()
    same_start(example(OPS[name], "2 7 3", width=16, **static), module)


@pytest.mark.parametrize(("name", "static", "module"), LAYERS)
def test_the_last_state_continues_where_it_ended(name: str, static: dict[str, Any], module: nn.Module) -> None:
    if static.get("bidirectional"):
        return
    x = torch.randn(2, 8, 3)
    whole = evaluate(example(OPS[name], "2 8 3", width=16, **static), x, weights=module.state_dict())
    first = evaluate(example(OPS[name], "2 5 3", width=16, **static), x[:, :5], weights=module.state_dict())
    last = [" ".join(map(str, each.shape)) for each in first[1:]]
    case = example(OPS[name], "2 3 3", *last, width=16, **static)
    second = evaluate(case, x[:, 5:], *first[1:], weights=module.state_dict())
    for given, expected in zip(second[1:], whole[1:], strict=True):
        torch.testing.assert_close(given, expected, rtol=0, atol=1e-6)
    torch.testing.assert_close(second[0], whole[0][:, 5:], rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "static", "module"),
    [
        ("rnn_cell", {"activation": "relu"}, nn.RNNCell(3, 16, nonlinearity="relu")),
        ("gru_cell", {}, nn.GRUCell(3, 16)),
        ("lstm_cell", {}, nn.LSTMCell(3, 16)),
    ],
)
def test_cells_do_one_turn(name: str, static: dict[str, Any], module: nn.Module) -> None:
    x, state, cell = torch.randn(2, 3), torch.randn(2, 16), torch.randn(2, 16)
    several = name == "lstm_cell"
    before = (state, cell) if several else (state,)
    case = example(OPS[name], "2 3", *["2 16"] * len(before), width=16, **static)
    given = evaluate(case, x, *before, weights=module.state_dict())
    expected = module(x, before if several else state)
    torch.testing.assert_close(tuple(given) if several else given, expected, rtol=0, atol=1e-6)
    alone = evaluate(example(OPS[name], "2 3", width=16, **static), x, weights=module.state_dict())
    torch.testing.assert_close(tuple(alone) if several else alone, module(x), rtol=0, atol=1e-6)
    same_start(case, module)


def test_gru_is_its_equations() -> None:
    module = nn.GRU(3, 4, batch_first=True)
    x = torch.randn(2, 6, 3)
    (wr, wz, wn), (ur, uz, un) = module.weight_ih_l0.chunk(3), module.weight_hh_l0.chunk(3)
    (br, bz, bn), (cr, cz, cn) = module.bias_ih_l0.chunk(3), module.bias_hh_l0.chunk(3)
    h = torch.zeros(2, 4)
    for t in range(6):
        r = torch.sigmoid(x[:, t] @ wr.T + br + h @ ur.T + cr)
        z = torch.sigmoid(x[:, t] @ wz.T + bz + h @ uz.T + cz)
        n = torch.tanh(x[:, t] @ wn.T + bn + r * (h @ un.T + cn))
        h = (1 - z) * n + z * h
    last = evaluate(example(OPS["gru"], "2 6 3", width=4), x, weights=module.state_dict())[1]
    torch.testing.assert_close(last, h)


def test_the_recurrent_weights_may_start_otherwise() -> None:
    start = Identity()
    op = OPS["rnn"](width=4, bidirectional=True, init=start)
    assert op.initialised() == {"weight_hh_l0": start, "weight_hh_l0_reverse": start}
    case = example(OPS["rnn"], "N T 3", width=4)
    assert case.op.initialised() == {}


def test_projected_states_stay_in_torch() -> None:
    assert OPS["lstm"](width=4).no_onnx is None
    assert "does not project" in OPS["lstm"](width=4, proj=2).no_onnx


def test_macs() -> None:
    case = example(OPS["gru"], "2 7 3", width=4, bidirectional=True)
    assert case.op.macs(*case.inputs) == 2 * 7 * 2 * 3 * 4 * (3 + 4)


@pytest.mark.parametrize(
    ("name", "inputs", "static", "argument", "words"),
    [
        ("gru", ("N 3",), {"width": 4}, "x", "2 axes, and 3"),
        ("gru", ("int N T 3",), {"width": 4}, "x", "which are float"),
        ("gru", ("N T 3",), {"width": 0}, "width", "at least 1"),
        ("gru", ("N 0 3",), {"width": 4}, "x", "no steps"),
        ("gru", ("N T 3", "N 4"), {"width": 4, "bidirectional": True}, "state", "float[N, 8] is due"),
        ("gru", ("N T 3", "N 4"), {"width": 4, "depth": 2}, "state", "float[2, N, 4] is due"),
        ("gru", ("N T 3", "T 4"), {"width": 4}, "state", "float[N, 4] is due"),
        ("gru", ("N T 3",), {"width": 4, "dropout": 0.1}, "dropout", "one layer"),
        ("lstm", ("N T 3", "N 4"), {"width": 4}, None, "cell is missing"),
        ("lstm", ("N T 3", "N 4", "N 3"), {"width": 4}, "cell", "float[N, 4] is due"),
        ("lstm", ("N T 3",), {"width": 4, "proj": 4}, "proj", "less than the width"),
        ("gru_cell", ("N T 3",), {"width": 4}, "x", "3 axes, and 2"),
        ("gru_cell", ("N 3", "N 5"), {"width": 4}, "state", "float[N, 4] is due"),
        ("lstm_cell", ("N 3", "N 4"), {"width": 4}, None, "cell is missing"),
    ],
)
def test_refuses(name: str, inputs: tuple[str, ...], static: dict[str, Any], argument: str, words: str) -> None:
    error = refusal(OPS[name], *inputs, **static)
    assert error.argument == argument
    assert words in error.message
