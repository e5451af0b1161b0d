"""Loops from which what does not depend on their state has left: the same numbers and gradients, in less time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from dlc.compiler.calls import every_node
from dlc.compiler.graph import Graph, Loop
from dlc.compiler.op import Op
from dlc.compiler.passes import LOOPS
from dlc.compiler.passes import run as rewritten
from dlc.compiler.passes.verify import verify
from dlc.compiler.torch.emit import emit_graph

from .specs import body, emitted, graph, run

EXAMPLES = Path(__file__).parents[2] / "examples"
SIZES = {"N": 3, "T": 5, "S": 4}

GRU = (EXAMPLES / "gru.dl").read_text(encoding="utf-8")


def net(statements: str, result: str, inputs: str = "x: float[N, T, 4]") -> str:
    lines = "".join(f"    {line}\n" for line in statements.split("\n"))
    return f"model Net({inputs}) -> ({result}):\n{lines}"


STEP = "loop x_t in x along 1 collecting h as hs:\n    "
BODIES = {
    "gates of a concatenation": net(
        f"h = zeros(N, 8)\nf = linear(16)\n{STEP}a, b = concat(x_t, h, axis=1) -> f -> split(2, axis=1)\n"
        "    h = tanh(a) * sigmoid(b) + h\nreturn hs",
        "hs: float[N, T, 8]",
    ),
    "the state first, no bias": net(
        f"h = zeros(N, 8)\nf = linear(8, bias=false)\n{STEP}h = concat(h, x_t, axis=-1) -> f -> tanh\nreturn hs",
        "hs: float[N, T, 8]",
    ),
    "the state between the inputs": net(
        "h = zeros(N, 8)\nf = linear(8)\n" + STEP + "h = concat(x_t, h, x_t * 2, axis=1) -> f -> tanh\nreturn hs",
        "hs: float[N, T, 8]",
    ),
    "the input between two states": net(
        "h = zeros(N, 8)\ng = ones(N, 3)\nf = linear(11)\n"
        + STEP
        + "h, g = concat(g, x_t, h, axis=1) -> f -> tanh -> split([8, 3], axis=1)\nreturn hs",
        "hs: float[N, T, 8]",
    ),
    "two layers in a sum": net(
        f"h = zeros(N, 8)\na = linear(8)\nb = linear(8)\n{STEP}h = tanh(a(x_t) + b(h))\nreturn hs", "hs: float[N, T, 8]"
    ),
    "matrices in a sum": net(
        "weight W: float[4, 8] ~ normal(0, 0.5)\nweight U: float[8, 8] ~ normal(0, 0.5)\nweight b: float[8] = 0.1\n"
        f"h = zeros(N, 8)\n{STEP}h = tanh(h @ U + x_t @ W + b)\nreturn hs",
        "hs: float[N, T, 8]",
    ),
    "products of two states": net(
        "weight W: float[4, 8] ~ normal(0, 0.5)\nweight U: float[8, 8] ~ normal(0, 0.5)\n"
        "weight V: float[8, 8] ~ normal(0, 0.5)\nh = zeros(N, 8)\ng = ones(N, 8)\n"
        f"{STEP}g, h = (h, tanh(h @ U + g @ V + x_t @ W + g))\nreturn hs".replace(
            "g, h = (h, tanh(h @ U + g @ V + x_t @ W + g))",
            "new = tanh(h @ U + g @ V + x_t @ W + g)\n    g = h\n    h = new",
        ),
        "hs: float[N, T, 8]",
    ),
    "reset after the matrix": net(
        f"h = zeros(N, 8)\na = linear(24)\nb = linear(24)\n{STEP}r, z, n = a(x_t) -> split(3, axis=1)\n"
        "    p, q, m = b(h) -> split(3, axis=1)\n    u = sigmoid(z + q)\n"
        "    h = (1 - u) * tanh(n + sigmoid(r + p) * m) + u * h\nreturn hs",
        "hs: float[N, T, 8]",
    ),
    "what is the same in every turn": net(
        "f = linear(8)\ng = linear(8)\nh = zeros(N, 8)\n"
        + STEP
        + "notes = f(y) -> tanh -> mean(axis=1)\n    h = tanh(g(concat(x_t, notes, h, axis=1)))\nreturn hs",
        "hs: float[N, T, 8]",
        "x: float[N, T, 4], y: float[N, S, 4]",
    ),
    "what is the same and has more axes": net(
        f"h = zeros(N, 4)\nscale = mean(y, axis=1)\n{STEP}h = tanh(h + x_t * scale * 0.5 + exp(x_t - scale))\n"
        "return hs",
        "hs: float[N, T, 4]",
        "x: float[N, T, 4], y: float[N, S, 4]",
    ),
    "a map": net(
        "f = linear(8)\nloop x_t in x along 1 collecting y as ys:\n    y = x_t -> f -> layer_norm -> softmax\n"
        "return ys",
        "ys: float[N, T, 8]",
    ),
    "a result beside the state": net(
        "f = linear(8)\nh = zeros(N, 8)\n"
        "loop x_t in x along 1 collecting h as hs, e as es:\n    e = f(x_t)\n    h = h + sin(e) * h + e\nreturn hs, es",
        "hs: float[N, T, 8], es: float[N, T, 8]",
    ),
    "along the first axis": net(
        "h = zeros(4)\nf = linear(4)\nloop x_t in x along 0 collecting h as hs:\n"
        "    h = tanh(f(concat(x_t, h, axis=0)))\nreturn hs",
        "hs: float[T, 4]",
        "x: float[T, 4]",
    ),
    "along the last axis": net(
        "h = zeros(N, 4)\nf = linear(4)\nloop x_t in x along 2 collecting h as hs:\n"
        "    h = tanh(f(concat(x_t, h, axis=1)) + x_t)\nreturn hs",
        "hs: float[N, 4, T]",
        "x: float[N, 4, T]",
    ),
    "a loop within a loop": net(
        "h = zeros(N, 8)\nf = linear(8)\ng = linear(8)\n"
        "loop x_t in x along 1 collecting h as hs:\n    s = h\n    loop y_s in y along 1:\n"
        "        s = tanh(f(concat(y_s, s, axis=1)) + g(x_t))\n    h = s\nreturn hs",
        "hs: float[N, T, 8]",
        "x: float[N, T, 4], y: float[N, S, 4]",
    ),
    "states of three axes": net(
        "h = zeros(N, 2, 8)\nf = linear(8)\nloop x_t in x along 1 collecting h as hs:\n"
        "    h = tanh(f(concat(x_t, h, axis=2)))\nreturn hs",
        "hs: float[N, T, 2, 8]",
        "x: float[N, T, 2, 4]",
    ),
    "a layer used twice": net(
        "h = zeros(N, 4)\nf = linear(4)\ng = linear(4)\n"
        f"{STEP}h = tanh(g(concat(x_t, h, axis=1))) + f(x_t) + f(h)\nreturn hs",
        "hs: float[N, T, 4]",
    ),
    "the equations of a gru": GRU.replace("float[N, T, 6]", "float[N, T, 4]"),
}


def built(source: str, made: Graph) -> Any:
    torch.manual_seed(3)
    return run(source)[made.name]().double()


def inputs_of(made: Graph, length: int = 5) -> list[Tensor]:
    torch.manual_seed(1)
    sizes = SIZES | {"T": length}
    shapes = [
        [sizes[str(size)] if not size.is_constant else int(size) for size in value.type.shape]
        for value in made.inputs.values()
    ]
    return [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]


def loops(made: Graph) -> list[Loop]:
    return [node.action for node in every_node(made) if isinstance(node.action, Loop)]


def operations(loop: Loop) -> list[str]:
    return [node.action.name for node in loop.body.nodes if isinstance(node.action, Op)]


@pytest.mark.parametrize("length", [1, 5])
@pytest.mark.parametrize("name", BODIES)
def test_results_and_gradients_stay(name: str, length: int) -> None:
    made = graph(BODIES[name])
    verify(rewritten(LOOPS, made))
    fast, plain = built(emit_graph(made), made), built(emit_graph(made, passes=()), made)
    found: list[list[Tensor]] = []
    for module in (fast, plain):
        inputs = inputs_of(made, length)
        results = module(*inputs)
        results = results if isinstance(results, tuple) else (results,)
        sum((result.sin() * (place + 1)).sum() for place, result in enumerate(results)).backward()
        given = [each.grad for each in (*inputs, *module.parameters())]
        assert [each is None for each in given].count(True) <= len(inputs) - 1
        found.append([*results, *(each for each in given if each is not None)])
    assert len(found[0]) == len(found[1])
    for actual, expected in zip(*found, strict=True):
        torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("name", [name for name in BODIES if name != "along the last axis"])
def test_nothing_is_computed_in_turns_that_need_not_be(name: str) -> None:
    """No layer is left in a body, but those of the state alone."""
    made = graph(BODIES[name])
    for node in rewritten(LOOPS, made).nodes:
        if isinstance(node.action, Loop):
            assert "affine" not in operations(node.action)
            assert "concat" not in operations(node.action) or name == "the input between two states"


def test_a_map_is_no_loop() -> None:
    source = emitted(BODIES["a map"])
    assert body(source) == "ys = F.softmax(self.layer_norm(self.f(x)), dim=2)\nreturn ys"


def test_gru_reads_as_one_writes_it_for_speed() -> None:
    source = emitted(GRU)
    assert body(source.partition("class Reader")[0]) == (
        "n = x.shape[0]\n"
        "h = torch.zeros(n, 32, dtype=x.dtype, device=x.device)\n"
        "gates = F.linear(x, self.gates.weight[:, :6], self.gates.bias)\n"
        "gates_h = self.gates.weight[:, 6:].T\n"
        "candidate = F.linear(x, self.candidate.weight[:, :6], self.candidate.bias)\n"
        "candidate_h = self.candidate.weight[:, 6:].T\n"
        "hs = []\n"
        "for gates_t, candidate_t in zip(gates.unbind(1), candidate.unbind(1), strict=True):\n"
        "    u, r = torch.sigmoid(torch.addmm(gates_t, h, gates_h)).chunk(2, dim=1)\n"
        "    c = torch.tanh(torch.addmm(candidate_t, r * h, candidate_h))\n"
        "    h = (1 - u) * h + u * c\n"
        "    hs.append(h)\n"
        "hs = torch.stack(hs, dim=1) if hs else h.new_zeros(n, 0, 32)\n"
        "return hs, h"
    )


def test_what_draws_or_counts_stays() -> None:
    text = net(
        "h = zeros(N, 4)\nf = linear(4)\n"
        + STEP
        + "h = tanh(f(concat(x_t -> dropout(0.5), h, axis=1)) + normal_like(x_t))\nreturn hs",
        "hs: float[N, T, 4]",
    )
    (loop,) = loops(rewritten(LOOPS, graph(text)))
    assert {"dropout", "normal_like", "linear"} <= set(operations(loop))


def test_statistics_follow_the_order_of_the_turns() -> None:
    text = net(
        "norm = batch_norm()\nh = zeros(N, 4)\n" + STEP + "h = h + (x_t -> norm)\nreturn hs", "hs: float[N, T, 4]"
    )
    (loop,) = loops(rewritten(LOOPS, graph(text)))
    assert "batch_norm" in operations(loop)


def test_an_index_stays() -> None:
    text = net("h = zeros(N, 4)\nloop t in range(T):\n    h = h + x[:, t] * 2\nreturn h", "h: float[N, 4]")
    made = graph(text)
    assert operations(loops(rewritten(LOOPS, made))[0]) == operations(loops(made)[0])


def test_gradients_within_a_graph_keep_it_as_it_is() -> None:
    text = net("loop 3:\n    x = x - grad(sum(exp(x) * exp(x)), x)\nreturn x", "y: float[N, T, 4]")
    made = graph(text)
    assert rewritten(LOOPS, made) is made


def test_a_rewritten_graph_leaves_the_first_as_it_was() -> None:
    made = graph(GRU)
    before = emit_graph(made, passes=())
    emit_graph(made)
    assert emit_graph(made, passes=()) == before


def test_no_turn_no_state() -> None:
    """A sequence without elements gives what is collected its shape."""
    made = graph(BODIES["two layers in a sum"])
    (hs,) = (built(emit_graph(made), made)(torch.zeros(2, 0, 4, dtype=torch.float64)),)
    assert hs.shape == (2, 0, 8)
