"""Inlining, pruning and verification."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from dlc.compiler.graph import Call, Graph, Loop, ModelRef, ReadWeight
from dlc.compiler.op import Op
from dlc.compiler.passes import EXPORT, inline, prune, run
from dlc.compiler.passes.verify import BrokenGraph, verify
from dlc.compiler.program import Model
from dlc.compiler.types import Tensor

Read = Callable[..., Model]

NESTED = """
block Inner(x: float[N, d]) -> float[N, d]:
    h = x -> linear(d)
    return relu(h)

block Outer(x: float[N, d]) -> float[N, d]:
    h = x -> Inner
    h = h -> Inner
    return h + x

model M(x: float[N, 4]) -> (y: float[N, 4]):
    layers = [Outer() for i in range(2)]
    for layer in layers:
        x = layer(x)
    return x
"""

BORROWED = """
block Twice(x: float[N, d], f: layer) -> float[N, d]:
    return f(f(x))

model M(x: float[N, 4]) -> (y: float[N, 4]):
    shared = linear(4)
    return x -> Twice(shared) -> Twice(shared)
"""


def kinds(graph: Graph) -> list[str]:
    return [node.action.name if isinstance(node.action, Op) else type(node.action).__name__ for node in graph.nodes]


def test_inlining_composes_the_paths_of_modules_and_the_names_of_values(model: Read) -> None:
    flat = inline(model(NESTED).graph)
    verify(flat)
    assert [node.module for node in flat.nodes if node.module] == [
        "layers.0.Inner.linear",
        "layers.0.Inner_2.linear",
        "layers.1.Inner.linear",
        "layers.1.Inner_2.linear",
    ]
    assert kinds(flat) == ["linear", "relu", "linear", "relu", "add"] * 2
    names = [output.name for node in flat.nodes for output in node.outputs]
    assert len(set(names)) == len(names)
    assert names[0] == "layers.0.Inner/h"
    assert names[-1] == "y"
    assert set(flat.weights()) == set(model(NESTED).graph.weights())


def test_inlining_resolves_borrowed_modules(model: Read) -> None:
    flat = inline(model(BORROWED).graph)
    verify(flat)
    assert [(kind, node.module) for kind, node in zip(kinds(flat), flat.nodes, strict=True)] == [
        ("linear", "shared")
    ] * 4
    assert len(set(flat.weights())) == 2


def test_inlining_keeps_the_lines_of_the_block(model: Read) -> None:
    flat = inline(model(NESTED).graph)
    assert [node.span.line for node in flat.nodes[:5]] == [3, 4, 3, 4, 9]


def test_inlining_leaves_its_input_as_it_is(model: Read) -> None:
    graph = model(NESTED).graph
    before = list(graph.nodes), graph.outputs, [value.name for node in graph.nodes for value in node.outputs]
    inline(graph)
    assert before == (graph.nodes, graph.outputs, [value.name for node in graph.nodes for value in node.outputs])
    assert any(isinstance(node.action, Call) for node in graph.nodes)


def test_inlining_gathers_the_checks_of_blocks(model: Read) -> None:
    text = """
block Short(x: float[N, T]) -> float[N, T]:
    require T <= 9, "too long"
    return relu(x)

model M(x: float[N, T]) -> (y: float[N, T]):
    return x -> Short -> Short
"""
    checks = inline(model(text).graph).checks
    assert [check.message for check in checks] == ["too long"]


def test_inlining_takes_linear_time_and_no_recursion(model: Read) -> None:
    graph = model("model M(x: float[N]) -> float[N]:\n" + "    x = relu(x)\n" * 3000 + "    return x\n").graph
    assert len(inline(graph).nodes) == 3000


def test_pruning_drops_what_nobody_needs(model: Read) -> None:
    text = "model M(x: float[N]) -> (y: float[N]):\n    unused = exp(relu(x))\n    return tanh(x)\n"
    graph = run(EXPORT, model(text).graph)
    verify(graph)
    assert kinds(graph) == ["tanh"]
    assert len(model(text).graph.nodes) == 3


def broken_type(graph: Graph) -> Graph:
    node = graph.nodes[0]
    wrong = replace(node, outputs=(replace(node.outputs[0], type=Tensor.of(7)),))
    return replace(graph, nodes=[wrong], outputs=wrong.outputs)


def broken_path(graph: Graph) -> Graph:
    return replace(graph, nodes=[replace(graph.nodes[0], module="elsewhere")])


def broken_order(graph: Graph) -> Graph:
    return replace(graph, nodes=graph.nodes[::-1] + graph.nodes)


def broken_output(graph: Graph) -> Graph:
    return replace(graph, nodes=[])


def broken_names(graph: Graph) -> Graph:
    return replace(graph, outputs=graph.outputs * 2, output_names=("y", "y"))


def broken_weight(graph: Graph) -> Graph:
    return replace(graph, nodes=[replace(graph.nodes[0], action=ReadWeight(), inputs=())])


def broken_model(graph: Graph) -> Graph:
    return replace(graph, nodes=[replace(graph.nodes[0], inputs=(*graph.nodes[0].inputs, ModelRef("gone")))])


@pytest.mark.parametrize(
    ("breaking", "message"),
    [
        (broken_type, "are due"),
        (broken_path, "no module elsewhere"),
        (broken_order, "made twice"),
        (broken_output, "made nowhere"),
        (broken_names, "the same name"),
        (broken_weight, "is not a weight"),
        (broken_model, "no module gone"),
    ],
)
def test_verification_finds_what_is_broken(model: Read, breaking: Callable[[Graph], Graph], message: str) -> None:
    graph = model("model M(x: float[N, 4]) -> (y: float[N, 4]):\n    return x -> linear(4)\n").graph
    verify(graph)
    with pytest.raises(BrokenGraph, match=message):
        verify(breaking(graph))


def test_prune_keeps_the_inputs(model: Read) -> None:
    graph = model("model M(x: float[N], z: float[N]) -> (y: float[N]):\n    return tanh(x)\n").graph
    assert list(prune(graph).inputs) == ["x", "z"]


LOOP = """
block Cell(x: float[N, d], h: float[N, d]) -> float[N, d]:
    y = x + (h -> linear(d))
    return tanh(y)

block Run(xs: float[N, T, d]) -> float[N, T, d]:
    cell = Cell()
    scale = 2 * sum(xs)
    h = zeros(N, d)
    loop x in xs along 1 collecting h as hs:
        h = cell(x, h) * scale
    return hs

model M(xs: float[N, T, 4]) -> (y: float[N, T, 4]):
    return xs -> Run -> Run
"""


def test_inlining_goes_into_the_bodies_of_loops(model: Read) -> None:
    graph = model(LOOP).graph
    verify(graph)
    flat = run((inline, prune), graph)
    verify(flat)
    loops = [node for node in flat.nodes if isinstance(node.action, Loop)]
    assert len(loops) == 2
    assert [[inner.module for inner in loop.action.body.nodes if inner.module] for loop in loops] == [
        ["Run.cell.linear"],
        ["Run_2.cell.linear"],
    ]
    names = [value.name for loop in loops for node in loop.action.body.nodes for value in node.outputs]
    assert len(set(names)) == len(names)


KEPT = """
model M(xs: float[N, T], zs: float[N, T]) -> (y: float[N], last: float[N, T]):
    x_sum = zeros(N)
    turns = zeros(N)
    lost = zeros(N)
    loop x, z in xs, zs along 1 collecting turns as seen, lost as forgotten:
        lost = lost + exp(z)
        turns = turns + 1
        x_sum = x_sum + x * turns
    loop 3:
        lost = tanh(lost)
    return x_sum, seen
"""


def test_pruning_keeps_of_a_loop_what_is_needed(model: Read) -> None:
    graph = run(EXPORT, model(KEPT).graph)
    verify(graph)
    (node,) = [node for node in graph.nodes if isinstance(node.action, Loop)]
    loop = node.action
    assert isinstance(loop, Loop)
    assert (loop.sequences, loop.carried) == (1, 2)
    assert loop.body.output_names == ("turns", "x_sum", "seen")
    assert sorted(kinds(loop.body)) == ["add", "add", "multiply"]
    assert len(node.outputs) == len(loop.body.outputs) == 3
    whole = [node for node in model(KEPT).graph.nodes if isinstance(node.action, Loop)]
    assert [len(node.outputs) for node in whole] == [5, 1]


def test_a_loop_keeps_the_sequence_that_tells_its_turns(model: Read) -> None:
    text = """
model M(xs: float[N, T]) -> (y: float[N]):
    y = zeros(N)
    loop x in xs along 1:
        y = y + 1
    return y
"""
    graph = run((inline, prune), model(text).graph)
    verify(graph)
    assert graph.nodes[-1].inputs[0] is graph.inputs["xs"]


def loop_of(graph: Graph) -> tuple[int, Loop]:
    (found,) = [(at, node.action) for at, node in enumerate(graph.nodes) if isinstance(node.action, Loop)]
    return found


def with_loop(graph: Graph, **changes: object) -> Graph:
    at, _ = loop_of(graph)
    return replace(graph, nodes=[*graph.nodes[:at], replace(graph.nodes[at], **changes), *graph.nodes[at + 1 :]])


def loop_reads_more(graph: Graph) -> Graph:
    at, _ = loop_of(graph)
    return with_loop(graph, inputs=graph.nodes[at].inputs[:-1])


def loop_walks_another_axis(graph: Graph) -> Graph:
    return with_loop(graph, action=replace(loop_of(graph)[1], axis=0))


def loop_turns_otherwise(graph: Graph) -> Graph:
    return with_loop(graph, action=replace(loop_of(graph)[1], step=2))


def loop_leaves_another_type(graph: Graph) -> Graph:
    loop = loop_of(graph)[1]
    return with_loop(graph, action=replace(loop, body=replace(loop.body, outputs=loop.body.outputs[::-1])))


@pytest.mark.parametrize(
    ("breaking", "message"),
    [
        (loop_reads_more, "the loop reads scale"),
        (loop_walks_another_axis, "the loop walks"),
        (loop_turns_otherwise, "the loop has not"),
        (loop_leaves_another_type, "the loop carries"),
    ],
)
def test_verification_finds_what_is_broken_in_a_loop(
    model: Read, breaking: Callable[[Graph], Graph], message: str
) -> None:
    text = """
model M(xs: float[N, T, 4]) -> (y: float[N, 4], ks: float[N, T]):
    scale = sum(xs)
    y = zeros(N, 4)
    loop x in xs along 1 collecting k as ks:
        y = y + x * scale
        k = sum(x, axis=1)
    return y, ks
"""
    graph = model(text).graph
    verify(graph)
    with pytest.raises(BrokenGraph, match=message):
        verify(breaking(graph))
