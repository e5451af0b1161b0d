"""Loops that are standard recurrences run as ONNX's operators, whatever their parts are called: the same numbers."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch

from dlc.compiler.graph import Graph
from dlc.compiler.onnx.emit import emit_model
from dlc.compiler.passes import EXPORT, run
from dlc.compiler.passes.verify import verify
from dlc.compiler.program import Model
from dlc.compiler.torch.emit import emit_graph
from dlc.compiler.weights import draw_weights

Read = Callable[..., Model]
GRU = (Path(__file__).parents[2] / "examples/gru.dl").read_text(encoding="utf-8")
HEAD = """
model M(x: float[N, T, 6]) -> (hs: float[N, T, 8], last: float[N, 8]):
    h = zeros(N, 8)
    gates = linear(16)
    new = linear(8)
    a = linear(24)
    b = linear(24, bias=false)
    weight W: float[6, 8] ~ normal(0, 0.4)
    weight U: float[8, 8] ~ normal(0, 0.4)
    loop x_t in x along 1 collecting h as hs:
"""


def gru(update: str, body: str | None = None, used: tuple[str, ...] = ("gates", "new")) -> str:
    head = "\n".join(
        line
        for line in HEAD.strip("\n").split("\n")
        if not line.startswith(("    gates", "    new", "    a =", "    b =", "    weight"))
        or any(line.startswith((f"    {name} =", f"    weight {name}:")) for name in used)
    )
    text = body or (
        "p, q = concat(x_t, h, axis=1) -> gates -> sigmoid -> split(2, axis=1)\n"
        "c = concat(q * h, x_t, axis=1) -> new -> tanh"
    )
    lines = "".join(f"        {line}\n" for line in f"{text}\n{update}".split("\n"))
    return f"{head}\n{lines}    return hs, h\n"


AFTER = "r, z, n = a(x_t) -> split(3, axis=1)\np, q, m = b(h) -> split(3, axis=1)\nu = sigmoid(q + z)\n"
KNOWN = {
    "the candidate weighed": gru("h = (1 - p) * h + p * c"),
    "the state weighed": gru("h = c * (1 - p) + h * p"),
    "towards the candidate": gru("h = h + p * (c - h)"),
    "towards the state": gru("h = (h - c) * p + c"),
    "sigmoids behind the split": gru(
        "h = (1 - v) * h + v * c",
        "p, q = concat(h, x_t, axis=1) -> gates -> split(2, axis=1)\nv = sigmoid(p)\n"
        "c = tanh(new(concat(x_t, sigmoid(q) * h, axis=1)))",
    ),
    "reset behind the matrix": gru("h = u * h + (1 - u) * tanh(n + sigmoid(r + p) * m)", AFTER.strip(), ("a", "b")),
    "gru.dl": GRU,
}
OTHERS = {
    "two gates": gru("h = p * h + q * c"),
    "no one less": gru("h = (2 - p) * h + p * c"),
    "the reset state weighed": gru("h = (1 - p) * (q * h) + p * c"),
    "another function": gru(
        "h = (1 - p) * h + p * c",
        "p, q = concat(x_t, h, axis=1) -> gates -> sigmoid -> split(2, axis=1)\n"
        "c = relu(new(concat(x_t, q * h, axis=1)))",
    ),
    "reset by its square": gru(
        "h = (1 - p) * h + p * c",
        "p, q = concat(x_t, h, axis=1) -> gates -> sigmoid -> split(2, axis=1)\n"
        "c = tanh(new(concat(x_t, q * q * h, axis=1)))",
    ),
    "gates of another input": gru(
        "h = (1 - p) * h + p * c",
        "p, q = concat(2 * x_t, h, axis=1) -> gates -> sigmoid -> split(2, axis=1)\n"
        "c = tanh(new(concat(x_t, q * h, axis=1)))",
    ),
    "something else collected": gru("h = (1 - p) * h + p * c").replace("collecting h as", "collecting c as"),
}

CELL = """
model M(x: float[N, T, 6]) -> (hs: float[N, T, 8], last: float[N, 8], cell: float[N, 8]):
    all = linear(32)
    weight W: float[4, 8, 6] ~ normal(0, 0.4)
    weight U: float[4, 8, 8] ~ normal(0, 0.4)
    weight b: float[4, 8] ~ normal()
    weight p: float[3, 8] ~ normal()
    h = zeros(N, 8)
    c = zeros(N, 8)
    loop x_t in x along 1 collecting h as hs:
"""
WHOLE = "i, f, o, g = concat(x_t, h, axis=1) -> all -> split(4, axis=1)\n"
PEEPHOLES = """i = sigmoid(x_t @ W[0].T + h @ U[0].T + b[0] + p[0] * c)
f = sigmoid(h @ U[1].T + x_t @ W[1].T + p[1] * c + b[1])
g = tanh(x_t @ W[2].T + h @ U[2].T + b[2])
c = f * c + i * g
o = sigmoid(c * p[2] + x_t @ W[3].T + h @ U[3].T + b[3])
h = o * tanh(c)"""


def cell(body: str) -> str:
    """A loop that carries a state and a cell, and has those of the weights above that it reads."""
    used = [name for name in ("W", "U", "b", "p") if f"{name}[" in body]
    head = [
        line
        for line in CELL.strip("\n").split("\n")
        if not line.startswith(("    all", "    weight"))
        or any(line.startswith(f"    weight {name}:") for name in used)
        or ("-> all" in body and line.startswith("    all"))
    ]
    lines = "".join(f"        {line}\n" for line in body.split("\n"))
    return "\n".join(head) + f"\n{lines}    return hs, h, c\n"


CELLS = {
    "gates side by side": ("LSTM", cell(WHOLE + "c = sigmoid(f) * c + sigmoid(i) * tanh(g)\nh = sigmoid(o) * tanh(c)")),
    "factors exchanged": ("LSTM", cell(WHOLE + "c = tanh(g) * sigmoid(i) + c * sigmoid(f)\nh = tanh(c) * sigmoid(o)")),
    "peepholes": ("LSTM", cell(PEEPHOLES)),
    "one peephole": ("LSTM", cell(PEEPHOLES.replace(" + p[0] * c", "").replace("p[1] * c + ", ""))),
    "without biases": ("LSTM", cell(re.sub(r" \+ (b|p)\[.\]( \* c)?|c \* p\[2\] \+ ", "", PEEPHOLES))),
    "an output gate that sees the cell before": (
        "Scan",
        cell(PEEPHOLES.replace("c = f * c + i * g", "d = c\nc = f * c + i * g").replace("c * p[2]", "d * p[2]")),
    ),
    "a forget gate that sees the new cell": ("Scan", cell(PEEPHOLES.replace("i * g", "i * sigmoid(f * c) * g"))),
    "coupled gates": (
        "Scan",
        cell(WHOLE + "c = sigmoid(f) * c + (1 - sigmoid(f)) * tanh(g)\nh = sigmoid(o) * tanh(c + i)"),
    ),
    "a cell that is not squashed": (
        "Scan",
        cell(WHOLE + "c = sigmoid(f) * c + sigmoid(i) * tanh(g)\nh = sigmoid(o) * c"),
    ),
    "the cell collected": (
        "Scan",
        cell(PEEPHOLES).replace("collecting h as", "collecting c as"),
    ),
    "gates that see the cell alone": ("Scan", cell(PEEPHOLES.replace("h @", "c @"))),
    "a plain network": ("RNN", gru("h = tanh(s)", "s = concat(x_t, h, axis=1) -> new", ("new",))),
    "a plain network of two layers' sums": ("RNN", gru("h = relu(u + h @ U)", "u = x_t @ W", ("W", "U"))),
    "a logistic network": ("Scan", gru("h = sigmoid(s)", "s = concat(x_t, h, axis=1) -> new", ("new",))),
}


def kinds(proto: Any) -> list[str]:
    pending, found = [proto.graph], list[str]()
    while pending:
        for node in pending.pop().node:
            found.append(node.op_type)
            pending += [attribute.g for attribute in node.attribute if attribute.HasField("g")]
    return found


def session(graph: Graph) -> tuple[Any, Any, Any]:
    weights = draw_weights(graph.weights(), 1)
    proto = emit_model(graph, weights)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    opened = onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names: dict[str, Any] = {"__name__": "emitted"}
    exec(compile(emit_graph(graph, passes=()), "emitted.py", "exec"), names)
    net = names[graph.name]()
    net.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in weights.items()})
    return proto, opened, net


def assert_equal(opened: Any, net: Any) -> None:
    for examples, length in ((1, 1), (3, 7), (2, 0), (0, 3)):
        x = np.random.default_rng(0).normal(size=(examples, length, 6)).astype(np.float32)
        with torch.no_grad():
            expected = net(torch.from_numpy(x))
        for actual, due in zip(opened.run(None, {"x": x}), expected, strict=True):
            assert actual.shape == tuple(due.shape)
            np.testing.assert_allclose(actual, due.numpy(), rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", CELLS)
def test_cells_and_plain_networks_give_the_numbers_of_their_equations(name: str, model: Read) -> None:
    kind, text = CELLS[name]
    graph = model(text).graph
    verify(run(EXPORT, graph))
    proto, opened, net = session(graph)
    assert {"LSTM", "RNN", "GRU", "Scan"} & set(kinds(proto)) == {kind}
    assert_equal(opened, net)


def test_a_cell_is_that_of_torch(model: Read) -> None:
    graph = model(CELLS["gates side by side"][1]).graph
    _, opened, net = session(graph)
    due = torch.nn.LSTM(6, 8, batch_first=True)
    order = [0, 1, 3, 2]  # PyTorch has the candidate before the output gate
    weight, bias = (each.reshape(4, 8, -1)[order].flatten(0, 1) for each in net.state_dict().values())
    with torch.no_grad():
        due.weight_ih_l0.copy_(weight[:, :6])
        due.weight_hh_l0.copy_(weight[:, 6:])
        due.bias_ih_l0.copy_(bias[:, 0])
        due.bias_hh_l0.zero_()
        x = torch.randn(3, 9, 6)
        states, (last, cell) = due(x)
    for actual, expected in zip(opened.run(None, {"x": x.numpy()}), (states, last[0], cell[0]), strict=True):
        np.testing.assert_allclose(actual, expected.numpy(), rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", [*KNOWN, *OTHERS])
def test_numbers_are_those_of_the_equations(name: str, model: Read) -> None:
    graph = model((KNOWN | OTHERS)[name]).graph
    verify(run(EXPORT, graph))
    proto, opened, net = session(graph)
    assert ("GRU" in kinds(proto)) is (name in KNOWN)
    assert ("Scan" in kinds(proto)) is (name in OTHERS)
    assert_equal(opened, net)


def test_an_operator_has_no_matrices_left_over(model: Read) -> None:
    proto, _, _ = session(model(GRU).graph)
    assert not {"MatMul", "Gemm", "Sigmoid"} & set(kinds(proto))
