"""A repeated layer is a list of instances."""

from __future__ import annotations

import pytest

from dlc.compiler.graph import Call, ListModule

from .conftest import Specs

LAYER = "block Layer(x: float[N, d]) -> float[N, d]:\n    return x -> linear(d, bias=false) -> relu\n"


def model(*lines: str, before: str = LAYER) -> str:
    return f"{before}model M(x: float[N, 4]) -> float[N, 4]:\n" + "".join(f"    {line}\n" for line in lines)


@pytest.mark.parametrize(
    ("lines", "paths"),
    [
        (["return x -> repeat(2, Layer)"], ["repeat.0.linear.weight", "repeat.1.linear.weight"]),
        (["layers = repeat(2, Layer)", "return layers(x)"], ["layers.0.linear.weight", "layers.1.linear.weight"]),
        (["return x -> repeat(2, linear(4, bias=false))"], ["repeat.0.weight", "repeat.1.weight"]),
        (
            ["return x -> repeat(1, Layer) -> repeat(1, Layer)"],
            ["repeat.0.linear.weight", "repeat_2.0.linear.weight"],
        ),
        (
            ["return x -> repeat(2, repeat(2, linear(4, bias=false)))"],
            ["repeat.0.0.weight", "repeat.0.1.weight", "repeat.1.0.weight", "repeat.1.1.weight"],
        ),
        (["return x -> repeat(3, relu) -> repeat(1, Layer)"], ["repeat.0.linear.weight"]),
        (["f = linear(4, bias=false)", "return x -> repeat(3, f)"], ["f.weight"]),
        (["f = Layer()", "g = repeat(3, f)", "return x -> g"], ["f.linear.weight"]),
        (
            ["ff = repeat(2, Layer) -> tanh -> linear(4, bias=false)", "return ff(ff(x))"],
            ["ff.repeat.0.linear.weight", "ff.repeat.1.linear.weight", "ff.linear.weight"],
        ),
        (["return x -> repeat(0, Layer)"], []),
    ],
)
def test_weights_are_numbered(specs: Specs, lines: list[str], paths: list[str]) -> None:
    assert list(specs.graph(model(*lines)).weights()) == paths


def test_a_repeated_layer_with_a_name_is_shared(specs: Specs) -> None:
    graph = specs.graph(model("layers = repeat(2, Layer)", "return layers(x) + layers(2 * x)"))
    assert list(graph.weights()) == ["layers.0.linear.weight", "layers.1.linear.weight"]
    assert [node.module for node in graph.nodes if isinstance(node.action, Call)] == ["layers.0", "layers.1"] * 2


def test_items_of_a_repeated_layer_are_reached_by_number(specs: Specs) -> None:
    graph = specs.graph(model("layers = repeat(2, Layer)", "return layers(x) @ layers[1].linear.weight -> layers[0]"))
    assert [node.module for node in graph.nodes if isinstance(node.action, Call)] == [
        "layers.0",
        "layers.1",
        "layers.0",
    ]


def test_a_repeated_layer_may_be_passed_in(specs: Specs) -> None:
    stack = "block Stack(x: float[N, d], layers: layer) -> float[N, d]:\n    return x -> layers -> layers\n"
    graph = specs.graph(model("layers = repeat(2, Layer)", "return Stack(x, layers) -> layers", before=LAYER + stack))
    assert list(graph.weights()) == ["layers.0.linear.weight", "layers.1.linear.weight"]
    (call,) = [node for node in graph.nodes if isinstance(node.action, Call) and node.module is None]
    borrowed = call.action.graph.borrowed["layers"]
    assert isinstance(borrowed, ListModule)
    assert len(borrowed.items) == 2


def test_sizes_of_a_repeated_layer_are_fixed_by_its_first_application(specs: Specs) -> None:
    text = model("layers = repeat(2, linear(4))", "y = layers(x)", "return layers(concat(x, y, axis=1))")
    assert specs.codes(text) == specs.codes(text.replace("repeat(2, linear(4))", "linear(4)")) != []


def test_a_repeated_layer_that_is_never_applied_is_told(specs: Specs) -> None:
    assert specs.codes(model("layers = repeat(2, Layer)", "return x")) == ["DL2008"]


def test_a_composition_in_a_list_is_a_block_named_by_the_singular(specs: Specs) -> None:
    lines = ["branches = [linear(4) -> relu for i in range(2)]", "for branch in branches:", "    x = branch(x)"]
    graph = specs.graph(model(*lines, "return x"))
    assert {node.action.graph.name for node in graph.nodes if isinstance(node.action, Call)} == {"Branch"}
