"""Costs of whole models, compared with counts made by hand and with PyTorch's own modules."""

import pytest
import torch

from dlc.compiler.cost import Costs
from dlc.compiler.dim import Dim
from dlc.compiler.elaborate import elaborate
from dlc.compiler.graph import Graph
from dlc.compiler.op import Op, operations
from dlc.compiler.program import Schema, SourceCall
from dlc.compiler.types import Operand
from dlc.grammar import ast
from dlc.grammar.diagnostics import Refusal, Sink
from dlc.grammar.parse import parse
from dlc.grammar.source import Source

FEED_FORWARD = """
block Ff(x: float[N, d], hidden: int) -> float[N, d]:
    return x + (x -> linear(hidden) -> gelu -> linear(d))
"""


class Nothing:
    """A loader for specs that load nothing."""

    def module(self, statement: ast.Import) -> ast.File:
        raise Refusal

    def schema(self, call: SourceCall) -> Schema:
        raise Refusal


def model(text: str, **overrides: str) -> Graph:
    sink = Sink()
    program = elaborate(parse(Source("spec.dl", text), sink), sink, loader=Nothing(), overrides=overrides)
    assert [diagnostic.message for diagnostic in sink] == []
    (found,) = program.models.values()
    return found.graph


def rows(graph: Graph, depth: int = 1) -> list[tuple[str, str, int, int]]:
    return [
        (layer.path, layer.op, int(layer.learned.weights), int(layer.learned.biases))
        for layer in Costs().layers(graph, depth)
    ]


def test_a_linear_layer_costs_what_pytorch_stores() -> None:
    graph = model("model M(x: float[N, 8]) -> float[N, 3]:\n    return x -> linear(3)\n")
    reference = torch.nn.Linear(8, 3)
    assert rows(graph) == [("linear", "linear", reference.weight.numel(), reference.bias.numel())]
    assert Costs().macs(graph) == 24 * graph.inputs["x"].type.shape[0]


def test_a_convolution_costs_a_multiply_add_for_each_weight_and_position() -> None:
    graph = model(
        "model M(x: float[N, 3, H, W]) -> float[N, 5, H2, W2]:\n    return x -> conv(5, 3, stride=2)\n",
        N="2",
        H="9",
        W="8",
    )
    reference = torch.nn.Conv2d(3, 5, 3, stride=2, padding=1)
    positions = reference(torch.zeros(2, 3, 9, 8)).numel() // 5
    assert Costs().macs(graph) == reference.weight.numel() * positions


def test_blocks_are_folded_or_opened() -> None:
    graph = model(
        FEED_FORWARD
        + (
            "model M(x: float[N, 8]) -> float[N, 8]:\n"
            "    layers = [Ff(16) for i in range(2)]\n"
            "    for layer in layers:\n"
            "        x = x -> layer\n"
            "    return x -> relu -> relu\n"
        )
    )
    assert rows(graph) == [
        ("layers.0", "Ff", 256, 24),
        ("layers.1", "Ff", 256, 24),
        ("relu", "relu", 0, 0),
        ("relu_2", "relu", 0, 0),
    ]
    assert [path for path, *_ in rows(graph, depth=2)] == [
        "layers.0.linear",
        "layers.0.gelu",
        "layers.0.linear_2",
        "layers.1.linear",
        "layers.1.gelu",
        "layers.1.linear_2",
        "relu",
        "relu_2",
    ]


@pytest.mark.parametrize("depth", [1, 2])
def test_shared_weights_are_counted_once(depth: int) -> None:
    graph = model(
        FEED_FORWARD
        + (
            "block Use(x: float[N, d], f: layer) -> float[N, d]:\n"
            "    return f(x)\n"
            "model M(index: int[N] < 50) -> float[N, 50]:\n"
            "    embed = embedding(50, 8)\n"
            "    f = Ff(16)\n"
            "    x = f(f(embed(index)))\n"
            "    return Use(x, f) @ embed.weight.T\n"
        )
    )
    costs = Costs()
    total = costs.learned(graph)
    assert (total.weights, total.biases) == (50 * 8 + 2 * 8 * 16, 16 + 8)
    layers = list(costs.layers(graph, depth))
    assert sum((layer.learned.total for layer in layers), Dim.of(0)) == total.total
    assert sum((layer.macs for layer in layers), Dim.of(0)) == costs.macs(graph)


def test_constants_are_not_learned() -> None:
    graph = model(
        "model M(x: float[N, 8]) -> float[N, 8]:\n"
        "    constant place: float[8] = 1\n"
        "    weight scale: float[8] = 1\n"
        "    return (x + place) * scale -> linear(8, bias=false)\n"
    )
    assert Costs().learned(graph).total == 8 + 64


def test_the_cost_of_a_layer_is_worked_out_once(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = model(
        FEED_FORWARD
        + (
            "model M(x: float[N, 8]) -> float[N, 8]:\n"
            "    layers = [Ff(16) for i in range(400)]\n"
            "    for layer in layers:\n"
            "        x = x -> layer\n"
            "    return x\n"
        )
    )
    linear = operations()["linear"]
    counted = linear.macs
    calls: list[object] = []

    def count(op: Op, *inputs: Operand) -> Dim:
        calls.append(op)
        return counted(op, *inputs)

    monkeypatch.setattr(linear, "macs", count)
    assert Costs().macs(graph) == 400 * 256 * graph.inputs["x"].type.shape[0]
    assert len(calls) == 2


def test_a_loop_costs_its_turns_and_learns_once() -> None:
    graph = model(
        "model M(xs: float[N, T, 8]) -> float[N, 8]:\n"
        "    h = zeros(N, 8)\n"
        "    loop x in xs along 1:\n"
        "        h = h + linear(x, 8)\n"
        "        loop 5:\n"
        "            h = h -> linear(8)\n"
        "    return h\n"
    )
    costs = Costs()
    n, t, _ = graph.inputs["xs"].type.shape
    assert costs.macs(graph) == 64 * n * t + 5 * 64 * n * t
    layers = [layer for layer in costs.layers(graph) if layer.op == "linear"]
    assert [layer.macs for layer in layers] == [64 * n * t, 320 * n * t]
    assert costs.learned(graph).total == 2 * 72
