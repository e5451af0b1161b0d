"""Recurrences whose gradients of weights are gathered after the loop, against the plain loop and `torch.nn.GRU`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from dlc.compiler.graph import Graph
from dlc.compiler.passes import LOOPS, Pass
from dlc.compiler.passes.gather import gather
from dlc.compiler.torch.emit import emit_graph
from dlc.runtime.spec import read_checked

BEFORE = """
model Net(x: float[N, T, 3], h: float[N, 5]) -> (hs: float[N, T, 5], last: float[N, 5]):
    gates = linear(10)
    candidate = linear(5)
    loop x_t in x along 1 collecting h as hs:
        u, r = concat(x_t, h, axis=1) -> gates -> sigmoid -> split(2, axis=1)
        c = concat(x_t, r * h, axis=1) -> candidate -> tanh
        h = (1 - u) * h + u * c
    return hs, h
"""
AFTER = """
model Net(x: float[N, T, 3], h: float[N, 5]) -> (hs: float[N, T, 5], last: float[N, 5]):
    of_x = linear(15)
    of_h = linear(15)
    loop x_t in x along 1 collecting h as hs:
        rx, zx, nx = x_t -> of_x -> split(3, axis=1)
        rh, zh, nh = h -> of_h -> split(3, axis=1)
        r = sigmoid(rx + rh)
        z = sigmoid(zx + zh)
        n = tanh(nx + r * nh)
        h = (1 - z) * n + z * h
    return hs, h
"""
LAST = (
    BEFORE.replace("(hs: float[N, T, 5], last: float[N, 5])", "(last: float[N, 5])")
    .replace(" collecting h as hs", "")
    .replace("return hs, h", "return h")
)
FIRST_AXIS = AFTER.replace("x: float[N, T, 3]", "x: float[T, N, 3]").replace("hs: float[N, T, 5]", "hs: float[T, N, 5]")
FIRST_AXIS = FIRST_AXIS.replace("along 1", "along 0")
# The reset gate weighs what the candidate is added to: no gated recurrent unit.
OTHER = BEFORE.replace("h = (1 - u) * h + u * c", "h = (1 - u) * c + r * h")
LSTM = """
model Net(x: float[N, T, 3], h: float[N, 5]) -> (hs: float[N, T, 5], last: float[N, 5]):
    gates = linear(20)
    c = zeros(N, 5)
    loop x_t in x along 1 collecting h as hs:
        i, f, g, o = concat(x_t, h, axis=1) -> gates -> split(4, axis=1)
        c = sigmoid(f) * c + sigmoid(i) * tanh(g)
        h = sigmoid(o) * tanh(c)
    return hs, h
"""
PEEPHOLES = LSTM.replace(
    """        c = sigmoid(f) * c + sigmoid(i) * tanh(g)
        h = sigmoid(o) * tanh(c)
""",
    """        c = sigmoid(f + peek[2] * c) * c + sigmoid(i + peek[0] * c) * tanh(g)
        h = sigmoid(o + peek[1] * c) * tanh(c)
""",
).replace("    c = zeros(N, 5)\n", "    weight peek: float[3, 5] ~ uniform(-1, 1)\n    c = zeros(N, 5)\n")
SIMPLE = """
model Net(x: float[N, T, 3], h: float[N, 5]) -> (hs: float[N, T, 5], last: float[N, 5]):
    both = linear(5)
    loop x_t in x along 1 collecting h as hs:
        h = concat(x_t, h, axis=1) -> both -> tanh
    return hs, h
"""


def graph(text: str, folder: Path) -> Graph:
    path = folder / "net.dl"
    path.write_text(text)
    return read_checked(path).models["Net"].graph


def module(text: str, folder: Path, passes: tuple[Pass, ...]) -> nn.Module:
    names: dict[str, Any] = {"__name__": "emitted"}
    exec(emit_graph(graph(text, folder), passes), names)
    torch.manual_seed(0)
    return names["Net"]().double()


def gradients(net: nn.Module, x: Tensor, h: Tensor) -> list[Tensor]:
    """The results, and the gradients of inputs and weights by a loss that weighs all of them differently."""
    x, h = x.clone().requires_grad_(), h.clone().requires_grad_()
    results = net(x, h)
    results = results if isinstance(results, tuple) else (results,)
    loss = sum(((each + 0.3) ** 2 * torch.linspace(0.5, 2, each.numel()).view_as(each)).sum() for each in results)
    found = torch.autograd.grad(loss, [x, h, *net.parameters()])  # pyright: ignore[reportArgumentType]
    return [*results, *found]


def given(text: str, turns: int) -> tuple[Tensor, Tensor]:
    torch.manual_seed(1)
    shape = (turns, 2, 3) if text is FIRST_AXIS else (2, turns, 3)
    return torch.randn(shape, dtype=torch.double), torch.randn(2, 5, dtype=torch.double)


@pytest.mark.parametrize("turns", [1, 2, 7])
@pytest.mark.parametrize(
    "text",
    [BEFORE, AFTER, LAST, FIRST_AXIS, LSTM, PEEPHOLES],
    ids=["before", "after", "last", "axis 0", "lstm", "peepholes"],
)
def test_results_and_gradients_are_those_of_the_plain_loop(text: str, turns: int, tmp_path: Path) -> None:
    fast, plain = module(text, tmp_path, (gather, *LOOPS)), module(text, tmp_path, ())
    fast.load_state_dict(plain.state_dict())
    assert "_states(" in emit_graph(graph(text, tmp_path), (gather, *LOOPS))
    x, h = given(text, turns)
    for ours, theirs in zip(gradients(fast, x, h), gradients(plain, x, h), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("text", [BEFORE, AFTER, PEEPHOLES], ids=["before", "after", "peepholes"])
def test_no_turns_give_the_first_state(text: str, tmp_path: Path) -> None:
    net = module(text, tmp_path, (gather, *LOOPS))
    x, h = given(text, 0)
    hs, last = net(x, h)
    assert hs.shape == (2, 0, 5)
    assert torch.equal(last, h)
    last.sum().backward()


def test_gradients_are_those_of_the_layer_of_pytorch(tmp_path: Path) -> None:
    net, layer = module(AFTER, tmp_path, (gather, *LOOPS)), nn.GRU(3, 5, batch_first=True).double()
    weights = dict(zip(["of_x.weight", "of_h.weight", "of_x.bias", "of_h.bias"], layer.parameters(), strict=True))
    net.load_state_dict({name: weight.detach() for name, weight in weights.items()})
    x, h = given(AFTER, 6)
    hs, last = net(x, h)
    ours = torch.autograd.grad((hs.sin().sum() + last.sum()), [dict(net.named_parameters())[name] for name in weights])
    hs, last = layer(x, h[None])
    theirs = torch.autograd.grad((hs.sin().sum() + last.sum()), list(weights.values()))
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


def test_weights_that_learn_nothing_have_no_gradient(tmp_path: Path) -> None:
    net = module(AFTER, tmp_path, (gather, *LOOPS)).requires_grad_(False)
    x, h = given(AFTER, 3)
    net(x.requires_grad_(), h)[1].sum().backward()
    assert x.grad is not None
    assert all(weight.grad is None for weight in net.parameters())


@pytest.mark.parametrize("text", [AFTER, LSTM], ids=["gru", "lstm"])
def test_gradients_of_gradients_are_refused_not_wrong(text: str, tmp_path: Path) -> None:
    net = module(text, tmp_path, (gather, *LOOPS))
    x, h = given(AFTER, 3)
    with pytest.raises(ValueError, match="differentiated once"):
        torch.autograd.grad(net(x.requires_grad_(), h)[1].sum(), x, create_graph=True)


@pytest.mark.parametrize("text", [OTHER, SIMPLE], ids=["other", "simple"])
def test_what_is_no_gated_unit_stays_as_it_is(text: str, tmp_path: Path) -> None:
    made = graph(text, tmp_path)
    assert emit_graph(made, (gather, *LOOPS)) == emit_graph(made, LOOPS)
