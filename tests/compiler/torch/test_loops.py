"""Loops at run time: what they compute, and how they read."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dlc.compiler.dim import Dim
from dlc.compiler.graph import Graph, Loop, Value
from dlc.compiler.torch.emit import emit_fields, emit_graph, emit_training
from dlc.compiler.types import Scalar

from .specs import body, emitted, graph, module, plain, program, run

EXAMPLES = Path(__file__).parents[2] / "examples"


# --- known recursions -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("steps", [1, 7, 64])
def test_gru_is_that_of_torch(steps: int) -> None:
    """PyTorch resets behind the matrix, the spec before it: the same where the matrix is diagonal."""
    net = module((EXAMPLES / "gru.dl").read_text())
    reference = nn.GRU(6, 32, batch_first=True)
    with torch.no_grad():
        reference.weight_hh_l0[64:] = torch.diag(torch.randn(32))
        reference.bias_hh_l0[64:] = 0
        weights = torch.cat((reference.weight_ih_l0, reference.weight_hh_l0), dim=1)
        biases = reference.bias_ih_l0 + reference.bias_hh_l0
        net.GRU.gates.weight.copy_(torch.cat((-weights[32:64], weights[:32])))  # u here is 1 - z there
        net.GRU.gates.bias.copy_(torch.cat((-biases[32:64], biases[:32])))
        net.GRU.candidate.weight.copy_(weights[64:])
        net.GRU.candidate.bias.copy_(biases[64:])
    x = torch.randn(3, steps, 6)
    hs, last = net(x)
    expected, final = reference(x)
    torch.testing.assert_close(hs, expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(last, final[0], rtol=0, atol=1e-5)


def test_gru_reads_as_its_equations() -> None:
    source = plain((EXAMPLES / "gru.dl").read_text())
    assert body(source.partition("class Reader")[0]) == (
        "n = x.shape[0]\n"
        "h = torch.zeros(n, 32, dtype=x.dtype, device=x.device)\n"
        "hs = []\n"
        "for x_t in x.unbind(1):\n"
        "    u, r = torch.sigmoid(self.gates(torch.cat((x_t, h), dim=1))).chunk(2, dim=1)\n"
        "    c = torch.tanh(self.candidate(torch.cat((x_t, r * h), dim=1)))\n"
        "    h = (1 - u) * h + u * c\n"
        "    hs.append(h)\n"
        "hs = torch.stack(hs, dim=1) if hs else h.new_zeros(n, 0, 32)\n"
        "return hs, h"
    )


@pytest.mark.parametrize("steps", [1, 5, 32])
def test_kalman_is_the_filter_in_numpy(steps: int) -> None:
    random = np.random.default_rng(0)
    y, a, c = random.normal(size=(steps, 2)), random.normal(size=(3, 3)) / 2, random.normal(size=(2, 3))
    q, r = np.eye(3) * 0.3, np.eye(2) * 0.7
    x, p = np.zeros(3), np.eye(3)
    expected: list[Any] = []
    for reading in y:
        x, p = a @ x, a @ p @ a.T + q
        gain = p @ c.T @ np.linalg.inv(c @ p @ c.T + r)
        x, p = x + gain @ (reading - c @ x), (np.eye(3) - gain @ c) @ p
        expected.append(x)
    net = module((EXAMPLES / "kalman.dl").read_text()).double()
    xs = net(*map(torch.from_numpy, (y, a, c, q, r)))
    np.testing.assert_allclose(xs.numpy(), expected, rtol=1e-9)


# --- how they read ----------------------------------------------------------------------------------------------


def net(statements: str, result: str = "float[N]", inputs: str = "x: float[N]") -> str:
    lines = "\n            ".join(statements.split("\n"))
    return f"""
        model Net({inputs}) -> (y: {result}):
            {lines}
    """


def test_a_number_of_turns_is_a_range() -> None:
    text = net("h = x\nloop 4:\n    h = tanh(h) + x\nreturn h")
    assert body(emitted(text)) == "h = x\nfor _ in range(4):\n    h = torch.tanh(h) + x\nreturn h"
    x = torch.randn(3)
    expected = x
    for _ in range(4):
        expected = torch.tanh(expected) + x
    torch.testing.assert_close(module(text)(x), expected)


def test_turns_may_be_as_many_as_an_axis_is_long() -> None:
    text = net("s = sum(x, axis=1)\nloop T:\n    s = sin(s)\nreturn s", inputs="x: float[N, T]")
    assert "for _ in range(x.shape[1]):\n    s = torch.sin(s)" in body(emitted(text))
    x = torch.ones(2, 3)
    torch.testing.assert_close(module(text)(x), torch.full((2,), 3.0).sin().sin().sin())


def test_a_carried_name_that_is_the_parameter_goes_on_as_it_is() -> None:
    text = net("loop 3:\n    x = exp(-x)\nreturn x * N")
    assert body(emitted(text)) == "n = x.shape[0]\nfor _ in range(3):\n    x = torch.exp(-x)\nreturn x * n"


def test_a_first_value_that_is_needed_afterwards_is_kept() -> None:
    text = net("first = x\nloop 2:\n    x = x * 2\nreturn x - first")
    assert body(emitted(text)) == "x_2 = x\nfor _ in range(2):\n    x_2 = x_2 * 2\nreturn x_2 - x"
    torch.testing.assert_close(module(text)(torch.ones(1)), torch.tensor([3.0]))


def test_what_is_carried_is_updated_at_once() -> None:
    text = net("a = x\nb = 2 * x\nloop 5:\n    old = a\n    a = b\n    b = old + b\nreturn a - 10 * b")
    assert "    a, b = b, a + b" in body(emitted(text))
    torch.testing.assert_close(module(text)(torch.ones(1)), torch.tensor([13.0 - 10 * 21]))


def test_a_name_whose_old_value_is_collected_is_bound_at_the_end_of_a_turn() -> None:
    text = net(
        "h = mean(x, axis=1)\nloop x_t in x along 1 collecting old as befores:\n    old = h\n    h = h * x_t\n"
        "return befores -> sum(axis=1) + 0 * h".replace(" -> sum(axis=1) + 0 * h", ""),
        "float[N, T]",
        "x: float[N, T]",
    )
    x = torch.randn(2, 4)
    h, expected = x.mean(1), []
    for x_t in x.unbind(1):
        expected.append(h)
        h = h * x_t
    torch.testing.assert_close(module(text)(x), torch.stack(expected, 1))


def test_several_sequences_are_zipped() -> None:
    text = net(
        "s = zeros(N)\nloop a_t, b_t in a, b along 1:\n    s = s * a_t + b_t\nreturn s",
        inputs="a: float[N, T], b: float[N, T]",
    )
    assert "for a_t, b_t in zip(a.unbind(1), b.unbind(1), strict=True):" in body(emitted(text))
    a, b = torch.randn(2, 5), torch.randn(2, 5)
    expected = torch.zeros(2)
    for step in range(5):
        expected = expected * a[:, step] + b[:, step]
    torch.testing.assert_close(module(text)(a, b), expected)


def test_a_slice_that_no_turn_uses_has_no_name() -> None:
    text = net("s = zeros(N)\nloop x_t in x along 1:\n    s = s + 1\nreturn s", inputs="x: float[N, T]")
    assert "for _ in x.unbind(1):\n    s = s + 1" in body(emitted(text))


def test_an_index_that_picks_elements_is_a_number() -> None:
    text = net("h = zeros(N)\nloop t in range(T - 1, -1, -1):\n    h = h * x[:, t]\nreturn h", inputs="x: float[N, T]")
    assert "for t in range(T - 1, -1, -1):" in body(emitted(text)).replace("x.shape[1]", "T").replace("t - 1", "T - 1")


def test_an_index_is_a_tensor_where_it_must_be_one() -> None:
    text = net("h = x\nloop t in range(1, 7, 2):\n    h = h + where(t > 2, sqrt(t * 1.0), 0)\nreturn h")
    assert "for t in torch.arange(1, 7, 2, device=x.device):" in body(emitted(text))
    torch.testing.assert_close(module(text)(torch.zeros(1)), torch.tensor([3.0**0.5 + 5.0**0.5]))


def test_arithmetic_with_an_index_keeps_the_precision() -> None:
    text = net("h = x\nloop t in range(4):\n    h = (h + t) / (t + 1 * h)\nreturn h")
    x = torch.randn(3)
    expected = x
    for t in range(4):
        expected = (expected + t) / (t + expected)
    torch.testing.assert_close(module(text)(x), expected)
    assert module(text).half()(x.half()).dtype is torch.float16


def test_what_no_turn_collects_has_its_shape() -> None:
    text = """
        model Net(x: float[N, H, W]) -> (a: float[N, H], b: int[N, H], c: float[N, H, W], d: float[N]):
            s = zeros(N)
            loop row in x along 1 collecting s as sums, k as places, t as turned:
                s = sin(s + mean(row, axis=1))
                t = row * 2
                k = argmax(row, axis=1)
            return sums, places, turned, s
    """
    made = module(text)
    for dtype in (torch.float32, torch.float64):
        results = made(torch.ones(2, 0, 5, dtype=dtype))
        assert [tuple(each.shape) for each in results] == [(2, 0), (2, 0), (2, 0, 5), (2,)]
        assert [each.dtype for each in results] == [dtype, torch.int64, dtype, dtype]
    assert [tuple(each.shape) for each in made(torch.ones(2, 3, 5))] == [(2, 3), (2, 3), (2, 3, 5), (2,)]


@pytest.mark.parametrize("ends", ["2, N", "N, 2, -2", "5, 2 * N"])
@pytest.mark.parametrize("size", [0, 1, 2, 3, 6])
def test_a_loop_whose_way_leads_back_has_no_turns(ends: str, size: int) -> None:
    text = f"""
        model Net(x: float[N]) -> (y: float[N], ts: int[K]):
            y = x
            loop t in range({ends}) collecting t as ts:
                y = y + exp(cast(t, "float"))
            return y, ts
    """
    turns = list(eval(f"range({ends})", {"N": size}))
    y, ts = module(text)(torch.zeros(size))
    assert ts.tolist() == turns
    torch.testing.assert_close(y, torch.full((size,), float(np.exp(turns).sum())))


def test_loops_nest() -> None:
    text = net(
        "s = zeros(N)\nloop row in x along 1 collecting s as sums:\n"
        "    loop cell in row along 1:\n        s = sin(s + cell)\nreturn sums",
        "float[N, H]",
        "x: float[N, H, W]",
    )
    assert (
        "for row in x.unbind(1):\n    for cell in row.unbind(1):\n        s = torch.sin(s + cell)\n"
        "    sums.append(s)\nsums = torch.stack(sums, dim=1) if sums else s.new_zeros(n, 0)" in body(emitted(text))
    )
    x = torch.randn(2, 3, 4)
    s, expected = torch.zeros(2), []
    for i in range(3):
        for j in range(4):
            s = torch.sin(s + x[:, i, j])
        expected.append(s)
    torch.testing.assert_close(module(text)(x), torch.stack(expected, 1))


def test_layers_of_a_list_are_a_loop_within_the_loop() -> None:
    text = net(
        "layers = [linear(4) for i in range(3)]\nh = zeros(N, 4)\nloop x_t in x along 1:\n    h = h + x_t\n"
        "    for layer in layers:\n        h = h -> layer -> tanh\nreturn h",
        "float[N, 4]",
        "x: float[N, T, 4]",
    )
    assert (
        "for x_t in x.unbind(1):\n    h = h + x_t\n    for layer in self.layers:\n        h = torch.tanh(layer(h))"
        in body(emitted(text))
    )
    made, x = module(text), torch.randn(2, 5, 4)
    h = torch.zeros(2, 4)
    for step in range(5):
        h = h + x[:, step]
        for layer in made.layers:
            h = torch.tanh(layer(h))
    torch.testing.assert_close(made(x), h)


def test_what_waits_is_computed_once_before_the_loop() -> None:
    text = net("h = x\nloop 3:\n    h = h * exp(x)\nreturn h + (h -> sin)")
    source = body(plain(text))
    assert source.index("torch.exp(x)") > source.index("for ")
    text = net("e = exp(x)\nh = x\nloop 3:\n    h = h * e\nreturn h")
    assert body(emitted(text)).startswith("e = torch.exp(x)\nh = x\nfor ")


def test_statistics_and_draws_follow_the_order_of_the_turns() -> None:
    text = net(
        "norm = batch_norm(momentum=0.5)\na = x -> dropout(0.5)\nloop 3:\n    x = x -> norm -> dropout(0.5)\n"
        "return concat(x, a -> dropout(0.25), axis=1)",
        "float[N, 8]",
        "x: float[N, 4]",
    )
    made = module(text).train()
    norm = nn.BatchNorm1d(4, momentum=0.5)
    x = torch.randn(16, 4)
    torch.manual_seed(5)
    result = made(x)
    torch.manual_seed(5)
    a = nn.functional.dropout(x, 0.5)
    for _ in range(3):
        x = nn.functional.dropout(norm(x), 0.5)
    torch.testing.assert_close(result, torch.cat((x, nn.functional.dropout(a, 0.25)), 1))
    torch.testing.assert_close(made.norm.running_var, norm.running_var)


def test_a_block_without_weights_is_a_function_with_a_loop() -> None:
    text = """
        block Settle(x: float[N, d], W: float[d, d]) -> float[N, d]:
            loop 6:
                x = tanh(x @ W)
            return x
        model Net(x: float[N, 4]) -> (y: float[N, 4]):
            weight W: float[4, 4] ~ normal(0, 1)
            return Settle(x, W)
    """
    assert "def settle(x: Tensor, W: Tensor) -> Tensor:\n    for _ in range(6):\n        x = torch.tanh(x @ W)\n" in (
        emitted(text)
    )
    made, x = module(text), torch.randn(2, 4)
    expected = x
    for _ in range(6):
        expected = torch.tanh(expected @ made.W)
    torch.testing.assert_close(made(x), expected)


def test_blocks_are_called_in_loops() -> None:
    text = """
        block Cell(x: float[N, d], h: float[N, k]) -> float[N, k]:
            return concat(x, h, axis=1) -> linear(k) -> dropout(0.1) -> tanh
        block Twice(h: float[N, k]) -> float[N, k]:
            return (h -> dropout(0.5)) * 2
        model Net(x: float[N, T, 3]) -> (y: float[N, 5]):
            cell = Cell()
            h = zeros(N, 5)
            loop x_t in x along 1:
                h = cell(x_t, h) -> Twice
            return h
    """
    made, x = module(text).eval(), torch.randn(2, 4, 3)
    h = torch.zeros(2, 5)
    for x_t in x.unbind(1):
        h = 2 * made.cell(x_t, h)
    torch.testing.assert_close(made(x), h)


def test_loops_stand_in_steps_and_fields() -> None:
    checked = program("""
        model Net(x: float[N, d]) -> (guess: float[N]):
            return x -> linear(1) -> squeeze(1)
        data Houses:
            source = csv("houses.csv")
            features: float[10] = data
            total: float[] = goal
            split = (train=0.8, valid=0.2)
        train Prices on Houses:
            net = Net()
            settings:
                epochs = 2
            step:
                x = features
                loop 3:
                    x = x + 0.1 * net(x)[:, none]
                minimize mean((net(x) - total) ** 2)
    """)
    names = run(emit_training(checked.trains["Prices"]))
    made = names["build"]()["net"]
    features, total, losses = torch.randn(8, 10), torch.randn(8), []
    names["step"](made, losses.append, features, total)
    x = features
    for _ in range(3):
        x = x + 0.1 * made(x)[:, None]
    torch.testing.assert_close(losses, [((made(x) - total) ** 2).mean()])


def test_a_field_may_loop() -> None:
    data = program("""
        block Run(x: float[d]) -> float[d]:
            s = zeros()
            loop x_t in x along 0 collecting s as sums:
                s = 0.5 * s + x_t
            return sums
        data Houses:
            source = csv("houses.csv")
            features: float[10] = Run(data)
            split = (train=0.8, valid=0.2)
    """).data["Houses"]
    names = run(emit_fields(data))
    columns = torch.randn(4, 10)
    s, expected = torch.zeros(4), []
    for x_t in columns.unbind(1):
        s = 0.5 * s + x_t
        expected.append(s)
    torch.testing.assert_close(torch.vmap(names["features"])(columns), torch.stack(expected, 1))


# --- any loop ---------------------------------------------------------------------------------------------------

NAMES = ["a", "b", "h", "x", "total"]
UNARY: dict[str, Callable[..., Tensor]] = {"sin": torch.sin, "tanh": torch.tanh, "normal_like": torch.randn_like}
BINARY: dict[str, Callable[..., Tensor]] = {
    "add": torch.add, "subtract": torch.sub, "multiply": torch.mul, "divide": torch.true_divide,
}  # fmt: skip


class Writer:
    """A random spec: assignments, and loops of every kind within loops."""

    def __init__(self, seed: int) -> None:
        self._choose = random.Random(seed)
        self._lists = 0

    def model(self) -> str:
        lines = self._statements(["x", "y"], 0)
        return "model Net(x: float[N], y: float[N], q: float[N, 3]) -> (z: float[N]):\n" + "\n".join(
            f"    {line}" for line in lines
        )

    def _expression(self, known: list[str], depth: int = 0) -> str:
        kind = self._choose.random()
        if depth > 2 or kind < 0.35:
            return self._choose.choice(known)
        if kind < 0.6:
            return f"{self._choose.choice(list(UNARY))}({self._expression(known, depth + 1)})"
        operator = self._choose.choice("+-*")
        return f"({self._expression(known, depth + 1)} {operator} {self._expression(known, depth + 1)})"

    def _statements(self, known: list[str], depth: int) -> list[str]:
        known, lines = list(known), []
        for _ in range(self._choose.randrange(1, 5)):
            if depth < 2 and self._choose.random() < 0.4:
                lines += self._loop(known, depth)
            else:
                name = self._choose.choice(NAMES)
                lines.append(f"{name} = {self._expression(known)}")
                known.append(name)
        if depth == 0:
            lines.append(f"return {self._expression(known)} + {self._expression(known)}")
        return lines

    def _loop(self, known: list[str], depth: int) -> list[str]:
        kind, inner = self._choose.randrange(4), list(known)
        collected = stacked = ""
        if kind == 0:
            head = f"loop {self._choose.randrange(1, 4)}"
        elif kind == 1:
            head = f"loop t in range({self._choose.choice(['3', '1, 4', '5, -1, -2'])})"
            inner.append(f"(t * {self._choose.choice(known)})")
        else:
            target = self._choose.choice(["q_t", "a", "x"])
            head = f"loop {target} in q along 1"
            inner.append(target)
            if kind == 3:
                self._lists += 1
                collected = self._choose.choice(known)
                stacked = f"all{self._lists}"
                head += f" collecting {collected} as {stacked}"
        lines = [f"{head}:", *(f"    {line}" for line in self._statements(inner, depth + 1))]
        if collected:
            known.append(f"sum({stacked}, axis=1)")
        return lines


def interpret(graph: Graph, known: dict[Value, Any], outputs: tuple[Value, ...]) -> list[Any]:
    """The results of a graph, node by node."""

    def value(operand: Any) -> Any:
        if isinstance(operand, Scalar):
            return int(operand.value) if isinstance(operand.value, Dim) else operand.value
        return known[operand]

    for node in graph.nodes:
        operands = [value(operand) for operand in node.inputs]
        if isinstance(node.action, Loop):
            results = interpret_loop(node.action, operands, known)
        elif node.action.name == "sum":
            results = [operands[0].sum(1)]
        elif node.action.name == "negate":
            results = [-operands[0]]
        else:
            results = [(UNARY | BINARY)[node.action.name](*operands)]
        known.update(zip(node.outputs, results, strict=True))
    return [known[output] for output in outputs]


def interpret_loop(loop: Loop, operands: list[Any], around: dict[Value, Any]) -> list[Any]:
    sequences = [operand.unbind(loop.axis) for operand in operands[: loop.sequences]]
    carried = operands[loop.sequences : loop.sequences + loop.carried]
    collected: list[list[Any]] = [[] for _ in loop.body.outputs[loop.carried :]]
    for turn, index in enumerate(range(int(loop.start), int(loop.stop), loop.step)):
        given = [torch.tensor(index)] if loop.indexed else [sequence[turn] for sequence in sequences]
        known = around | dict(zip(loop.body.inputs.values(), [*given, *carried], strict=True))
        results = interpret(loop.body, known, loop.body.outputs)
        carried = results[: loop.carried]
        for items, result in zip(collected, results[loop.carried :], strict=True):
            items.append(result)
    return [*carried, *(torch.stack(items, loop.axis) for items in collected)]


@pytest.mark.parametrize("seed", range(200))
def test_any_loop_computes_what_its_nodes_say(seed: int) -> None:
    text = Writer(seed).model()
    made = graph(text)
    x, y, q = torch.rand(4), torch.rand(4), torch.rand(4, 3)
    torch.manual_seed(seed)
    (expected,) = interpret(made, dict(zip(made.inputs.values(), (x, y, q), strict=True)), made.outputs)
    source = emit_graph(made)
    torch.manual_seed(seed)
    result = run(source)["Net"]()(x, y, q)
    torch.testing.assert_close(result, expected, rtol=0, atol=0, equal_nan=True, msg=lambda m: f"{m}\n{text}\n{source}")
