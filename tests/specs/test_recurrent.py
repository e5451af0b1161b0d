"""The recurrent specs' equations against what others compute from the same weights."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.signal import lfilter
from torch import Tensor, nn

import dlc
from zoo.families.recurrent import bits_of_grams

SPECS = Path(__file__).parents[2] / "specs" / "recurrent"
State = dict[str, Tensor]


def made(spec: str, model: str, **sizes: Any) -> nn.Module:
    torch.manual_seed(0)
    net = dlc.load(SPECS / f"{spec}.dl", **sizes).torch(model).eval()
    for weight in net.parameters():  # far from where they start
        nn.init.normal_(weight, std=0.4)
    return net


def signals(*sizes: int) -> Tensor:
    return torch.randn(*sizes, generator=torch.Generator().manual_seed(1))


def layer(kind: Callable[..., nn.RNNBase], state: State, at: str, **options: Any) -> nn.RNNBase:
    """A layer of torch.nn with the weights W, U, b and perhaps c of a block."""
    inputs, states, bias = (state[f"{at}.{name}"] for name in "WUb")
    width = states.shape[-1]
    built = kind(inputs.shape[-1], width, batch_first=True, **options)
    hidden = torch.zeros_like(bias.flatten())
    if f"{at}.c" in state:
        hidden[-width:] = state[f"{at}.c"]
    values = (inputs.reshape(-1, inputs.shape[-1]), states.reshape(-1, width), bias.flatten(), hidden)
    names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
    built.load_state_dict(dict(zip(names, values, strict=True)))
    return built


@pytest.mark.parametrize(
    ("spec", "model", "at", "kind", "options"),
    [
        ("rnn", "Reader", "Elman", nn.RNN, {}),
        ("irnn", "Reader", "IRNN", nn.RNN, {"nonlinearity": "relu"}),
        ("gru", "Adder", "GRU", nn.GRU, {}),
        ("lstm", "Adder", "LSTM", nn.LSTM, {}),
    ],
)
@torch.no_grad()
def test_equations_are_those_of_torch(
    spec: str, model: str, at: str, kind: Callable[..., nn.RNNBase], options: dict[str, str]
) -> None:
    inner = {"Elman": 3, "IRNN": 1, "GRU": 2, "LSTM": 2}[at]
    net = made(spec, model, width=5, **({"d": inner} if spec == "rnn" else {}))
    x = signals(4, 9, inner)
    states = layer(kind, net.state_dict(), at, **options)(x)[0]
    due = states if spec == "rnn" else states[:, -1]
    torch.testing.assert_close(getattr(net, at)(x), due, rtol=0, atol=1e-5)


@torch.no_grad()
def test_layers_of_a_deep_network_are_torchs() -> None:
    net = made("deep_rnn", "Deep", width=5, d=2)
    x = signals(4, 9, 2)
    h = x
    for index in range(3):
        h = layer(nn.RNN, net.state_dict(), f"layers.{index}")(h)[0]
    torch.testing.assert_close(net(x), net.linear(h)[..., 0], rtol=0, atol=1e-5)


@torch.no_grad()
def test_peepholes_are_those_of_the_onnx_operator() -> None:
    """ONNX's LSTM has peepholes, torch's has none."""
    import onnx
    import onnxruntime

    net = made("lstm", "Adder", width=5, peepholes=True)
    state = {name: value.numpy() for name, value in net.LSTM.state_dict().items()}
    order, seen = [0, 3, 1, 2], [0, 2, 1]  # input, output, forget, cell, and no peephole of the last
    constants = {
        "W": state["W"][order].reshape(1, 20, 2),
        "R": state["U"][order].reshape(1, 20, 5),
        "B": np.concatenate([state["b"][order].reshape(1, 20), np.zeros((1, 20), np.float32)], 1),
        "P": state["peek"][seen].reshape(1, 15),
    }
    node = onnx.helper.make_node("LSTM", ["x", "W", "R", "B", "", "", "", "P"], ["", "last"], hidden_size=5)
    graph = onnx.helper.make_graph(
        [node],
        "lstm",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [9, 4, 2])],
        [onnx.helper.make_tensor_value_info("last", onnx.TensorProto.FLOAT, [1, 4, 5])],
        [onnx.numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 22)], ir_version=10)
    x = signals(4, 9, 2)
    (due,) = onnxruntime.InferenceSession(model.SerializeToString()).run(
        ["last"], {"x": np.ascontiguousarray(x.transpose(0, 1).numpy())}
    )
    np.testing.assert_allclose(net.LSTM(x).numpy(), due[0], rtol=0, atol=1e-5)


@torch.no_grad()
def test_one_gate_keeps_or_replaces() -> None:
    net = made("gru", "OneGateAdder", width=5).OneGate
    x = signals(4, 9, 2)
    h = torch.zeros(4, 5)
    for turn in x.unbind(1):
        both = torch.cat((turn, h), 1)
        u = torch.sigmoid(net.keep(both))
        h = u * h + (1 - u) * torch.tanh(net.candidate(both))
    torch.testing.assert_close(net(x), h, rtol=0, atol=1e-5)


@pytest.mark.parametrize("model", ["FIR", "IIR"])
@torch.no_grad()
def test_filters_are_scipys(model: str) -> None:
    net = made("filters", model, order=3)
    state = {name.removeprefix("fed."): value.double().numpy() for name, value in net.state_dict().items()}
    x = signals(4, 30)
    feedback = 0.5 * state.get("a", np.zeros(3))
    if model == "IIR":
        net.a.copy_(torch.as_tensor(feedback))
    due = lfilter(state["b"], np.append(1, feedback), x.double().numpy(), axis=1)
    np.testing.assert_allclose(net(x).numpy(), due, rtol=0, atol=1e-5 * np.abs(due).max())


@torch.no_grad()
def test_a_state_space_model_is_its_recursion() -> None:
    net = made("filters", "StateSpace", order=3)
    a, b, c, d = (net.state_dict()[name].double().numpy() for name in "ABCD")
    x = signals(2, 20)
    for row, found in zip(x.double().numpy(), net(x).numpy(), strict=True):
        s = np.zeros(3)
        due = []
        for u in row:
            due.append(c @ s + d * u)
            s = a @ s + b * u
        np.testing.assert_allclose(found, due, rtol=0, atol=1e-5 * max(1, np.abs(due).max()))


@torch.no_grad()
def test_kalman_is_the_textbooks_recursion() -> None:
    random = np.random.default_rng(0)
    a = np.eye(2) + 0.3 * random.normal(size=(2, 2))
    c = random.normal(size=(1, 2))
    q, r = 0.1 * np.eye(2), np.array([[0.5]])
    y = random.normal(size=(25, 1))
    x, p, due = np.zeros(2), np.eye(2), []
    for reading in y:
        x, p = a @ x, a @ p @ a.T + q
        gain = p @ c.T @ np.linalg.inv(c @ p @ c.T + r)
        x, p = x + gain @ (reading - c @ x), p - gain @ c @ p
        due.append(x)
    net = dlc.load(SPECS / "filters.dl").torch("Kalman")
    weights = {"A": a, "C": c, "Q": q, "R": r}
    net.load_state_dict({name: torch.as_tensor(value, dtype=torch.float32) for name, value in weights.items()})
    found = net(torch.as_tensor(y, dtype=torch.float32))
    np.testing.assert_allclose(found.numpy(), due, rtol=0, atol=1e-5)


def test_bits_of_grams_by_hand() -> None:
    """Of "aba|b": the model after "a" has seen b twice, and b follows with (2 + p(b)) / (2 + 1)."""
    unigram = {token: (count + 2 / 256) / (4 + 2) for token, count in {0: 2, 1: 2}.items()}
    due = -np.log2((2 + 1 * unigram[1]) / (2 + 1))
    assert bits_of_grams(np.array([[0, 1, 0, 1]]), np.array([[0, 1]]), order=2) == pytest.approx(due)
