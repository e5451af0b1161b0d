"""Loops that are gated recurrent units run as ONNX's operator, whatever their parts are called: the same numbers."""

from __future__ import annotations

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
    "a plain network": gru("h = tanh(x_t @ W + h @ U)", "u = x_t @ W", ("W", "U")),
    "something else collected": gru("h = (1 - p) * h + p * c").replace("collecting h as", "collecting c as"),
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


@pytest.mark.parametrize("name", [*KNOWN, *OTHERS])
def test_numbers_are_those_of_the_equations(name: str, model: Read) -> None:
    graph = model((KNOWN | OTHERS)[name]).graph
    verify(run(EXPORT, graph))
    proto, opened, net = session(graph)
    assert ("GRU" in kinds(proto)) is (name in KNOWN)
    assert ("Scan" in kinds(proto)) is (name in OTHERS)
    for examples, length in ((1, 1), (3, 7), (2, 0), (0, 3)):
        x = np.random.default_rng(0).normal(size=(examples, length, 6)).astype(np.float32)
        with torch.no_grad():
            expected = net(torch.from_numpy(x))
        for actual, due in zip(opened.run(None, {"x": x}), expected, strict=True):
            assert actual.shape == tuple(due.shape)
            np.testing.assert_allclose(actual, due.numpy(), rtol=0, atol=1e-5)


def test_an_operator_has_no_matrices_left_over(model: Read) -> None:
    proto, _, _ = session(model(GRU).graph)
    assert not {"MatMul", "Gemm", "Sigmoid"} & set(kinds(proto))
