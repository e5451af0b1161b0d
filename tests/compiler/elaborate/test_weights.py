"""What owns weights, under which path, and who shares them."""

import pytest

from dlc.compiler.graph import Graph
from dlc.compiler.types import product

from .conftest import Specs, called


def paths(graph: Graph) -> dict[str, str]:
    return {path: ", ".join(map(str, weight.shape)) for path, weight in graph.weights().items()}


def test_a_layer_without_a_name_takes_its_operations_numbered_from_the_second_on(specs: Specs) -> None:
    graph = specs.graph(
        "model M(x: float[N, 4]) -> float[N, 2]:\n    h = x -> linear(8) -> relu -> linear(6, bias=false)\n"
        "    return linear(h, 2)\n"
    )
    assert paths(graph) == {
        "linear.weight": "8, 4",
        "linear.bias": "8",
        "linear_2.weight": "6, 8",
        "linear_3.weight": "2, 6",
        "linear_3.bias": "2",
    }


def test_a_named_layer_takes_its_name(specs: Specs) -> None:
    graph = specs.graph(
        "model M(x: float[N, 4]) -> float[N, 2]:\n    head = linear(2)\n    return x -> linear(4) -> head\n"
    )
    assert list(paths(graph)) == ["head.weight", "head.bias", "linear.weight", "linear.bias"]


def test_a_name_that_is_bound_again_is_numbered(specs: Specs) -> None:
    graph = specs.graph(
        "model M(x: float[N, 4]) -> float[N, 4]:\n    f = linear(4, bias=false)\n    x = f(x)\n"
        "    f = linear(4, bias=false)\n    return f(x)\n"
    )
    assert list(paths(graph)) == ["f.weight", "f_2.weight"]


def test_lists_and_nested_blocks(specs: Specs) -> None:
    graph = specs.graph(
        "block Attend(x: float[N, d]) -> float[N, d]:\n    query = linear(d, bias=false)\n    return x + query(x)\n\n"
        "block Layer(x: float[N, d]) -> float[N, d]:\n    attend = Attend()\n    return attend(x) -> Attend\n\n"
        "model M(x: float[N, 4]) -> float[N, 4]:\n    layers = [Layer() for i in range(3)]\n"
        "    for layer in layers:\n        x = x -> layer\n    return x\n"
    )
    expected = [f"layers.{i}.{part}.query.weight" for i in range(3) for part in ("attend", "Attend")]
    assert list(paths(graph)) == expected


def test_lists_of_lists(specs: Specs) -> None:
    graph = specs.graph(
        "model M(x: float[N, 4]) -> float[N, 4]:\n"
        "    rows = [[linear(4, bias=false) for j in range(2)] for i in range(2)]\n"
        "    for row in rows:\n        for f in row:\n            x = f(x)\n    return x\n"
    )
    assert list(paths(graph)) == ["rows.0.0.weight", "rows.0.1.weight", "rows.1.0.weight", "rows.1.1.weight"]


def test_a_list_leaves_out_what_has_no_weights(specs: Specs) -> None:
    graph = specs.graph(
        "model M(x: float[N, 4]) -> float[N, 4]:\n    parts = [relu, linear(4, bias=false), tanh]\n"
        "    for f in parts:\n        x = f(x)\n    return x\n"
    )
    assert list(paths(graph)) == ["parts.1.weight"]


UNET = """
block Double(x: float[N, C, H, W], out: int) -> float[N, out, H, W]:
    return x -> conv(out, 3, bias=false) -> relu

block UNet(x: float[N, C, H, W], width: int, depth: int) -> float[N, width, H, W]:
    h = x -> Double(width)
    if depth > 0:
        inner = h -> max_pool(2) -> UNet(2*width, depth - 1) -> conv_transpose(width, 2, stride=2, bias=false)
        h = concat(h, inner, axis=1) -> Double(width)
    return h

model M(x: float[N, 1, 16, 16]) -> float[N, 4, 16, 16]:
    return x -> UNet(4, 2)
"""


def test_recursive_calls_nest(specs: Specs) -> None:
    weights = paths(specs.graph(UNET))
    assert weights["UNet.UNet.Double.conv.weight"] == "8, 4, 3, 3"
    assert weights["UNet.UNet.UNet.Double.conv.weight"] == "16, 8, 3, 3"
    assert weights["UNet.Double_2.conv.weight"] == "4, 8, 3, 3"
    assert "UNet.UNet.UNet.UNet.Double.conv.weight" not in weights


def test_compositions_with_a_name_own_their_stages(specs: Specs) -> None:
    graph = specs.graph(
        "model M(x: float[N, 4]) -> float[N, 4]:\n    ff = linear(8) -> gelu -> linear(4)\n    return ff(ff(x))\n"
    )
    assert list(paths(graph)) == ["ff.linear.weight", "ff.linear.bias", "ff.linear_2.weight", "ff.linear_2.bias"]


def test_weight_and_constant_statements(specs: Specs) -> None:
    graph = specs.graph(
        "model M(x: float[N, d], k: int) -> float[N, k]:\n    weight W: float[d, k] ~ xavier_uniform()\n"
        "    weight b: float[k] = 0\n    constant scale: float[] = 2\n    return (x @ W + b) * scale\n",
        d=3,
        k=5,
    )
    weights = graph.weights()
    assert {path: weight.trainable for path, weight in weights.items()} == {"W": True, "b": True, "scale": False}
    assert weights["W"].init.name == "xavier_uniform"
    assert paths(graph) == {"W": "3, 5", "b": "5", "scale": ""}


# --- sharing ----------------------------------------------------------------------------------------------------


def count(graph: Graph) -> int:
    return sum(int(product(weight.shape)) for weight in graph.weights().values())


@pytest.mark.parametrize(
    ("body", "sets"),
    [
        ("    return x -> linear(4) -> linear(4)", 2),  # two recipes
        ("    f = linear(4)\n    return f(f(x))", 1),  # one instance
        ("    return x -> repeat(5, linear(4))", 5),
        ("    f = linear(4)\n    return x -> repeat(5, f)", 1),
        ("    a, b = x -> branch(linear(4), linear(4))\n    return a + b", 2),
        ("    f = linear(4)\n    a, b = x -> branch(f, f)\n    return a + b", 1),
        ("    return x -> residual(linear(4))", 1),
        ("    for i in range(3):\n        x = x -> linear(4)\n    return x", 3),
        ("    f = linear(4)\n    for i in range(3):\n        x = f(x)\n    return x", 1),
        ("    fs = [linear(4) for i in range(3)]\n    return fs[0](x) + fs[1](x) + fs[2](fs[0](x))", 3),
        ("    loop 3:\n        x = x -> linear(4)\n    return x", 1),  # a place in a loop is one place
        ("    return x -> Twice(linear(4))", 2),
        ("    f = linear(4)\n    return x -> Twice(f)", 1),
        ("    f = Own()\n    return f(f(x))", 1),
        ("    return x -> Own -> Own", 2),
    ],
)
def test_recipes_make_weights_and_instances_share_them(specs: Specs, body: str, sets: int) -> None:
    graph = specs.graph(
        "block Twice(x: float[N, d], f: layer) -> float[N, d]:\n    return x -> f -> f\n\n"
        "block Own(x: float[N, d]) -> float[N, d]:\n    return x -> linear(d)\n\n"
        f"model M(x: float[N, 4]) -> float[N, 4]:\n{body}\n"
    )
    assert count(graph) == sets * (4 * 4 + 4)


def test_tied_embeddings_are_one_weight(specs: Specs) -> None:
    graph = specs.graph(
        "model M(tokens: int[N, T] < 50) -> float[N, T, 50]:\n    embed = embedding(50, 8)\n"
        "    return embed(tokens) @ embed.weight.T\n"
    )
    assert paths(graph) == {"embed.weight": "50, 8"}


def test_parts_of_parts_are_reached_by_name(specs: Specs) -> None:
    graph = specs.graph(
        "block Layer(x: float[N, d]) -> float[N, d]:\n    keys = [linear(d), linear(d)]\n"
        "    return keys[0](x) + keys[1](x)\n\n"
        "model M(x: float[N, 4]) -> float[N, 4]:\n    layers = [Layer() for i in range(2)]\n"
        "    y = x -> layers[0] -> layers[1]\n    return y @ layers[1].keys[0].weight + layers[0].keys[1].bias\n"
    )
    assert {node.module for node in graph.nodes if node.module and node.module.count(".") > 1} == {
        "layers.1.keys.0.weight",
        "layers.0.keys.1.bias",
    }


def test_the_layers_of_an_instance_are_gone_through(specs: Specs) -> None:
    """By `for`, `enumerate`, `zip` and `len`, of one's own and of one that is lent."""
    graph = specs.graph(
        "block Stack(x: float[N, d]) -> float[N, d]:\n    layers = [linear(d) for i in range(3)]\n"
        "    h = x\n    for layer in layers:\n        h = layer(h)\n    return h\n\n"
        "block Beside(x: float[N, d], base: layer) -> float[N, d]:\n    h = x\n"
        "    for layer in base.layers:\n        h = layer(h) + linear(h, d, bias=false)\n    return h\n\n"
        "model M(x: float[N, 4]) -> float[N, 4]:\n    base = Stack()\n    h = base(x)\n    y = Beside(h, base)\n"
        "    for i, layer in enumerate(base.layers):\n        y = y + (i + len(base.layers)) * layer(h)\n"
        "    for one, other in zip(base.layers, base.layers):\n        y = y + one(h) @ other.weight\n"
        "    return y\n"
    )
    own = {f"base.layers.{place}.{part}" for place in range(3) for part in ("weight", "bias")}
    assert set(paths(graph)) == own | {"Beside.linear.weight", "Beside.linear_2.weight", "Beside.linear_3.weight"}


def test_an_instance_may_meet_batches_of_other_sizes(specs: Specs) -> None:
    graph = specs.graph(
        "model M(x: float[N, 4], y: float[7, 4]) -> float[N, 3]:\n    f = linear(3)\n"
        "    return f(x) + mean(f(y), axis=0)\n"
    )
    assert paths(graph) == {"f.weight": "3, 4", "f.bias": "3"}


# --- one graph for a block and signature ---------------------------------------------------------------------------

LAYER = "block Layer(x: float[N, d], heads = 2) -> float[N, d]:\n    return x -> linear(d)\n\n"


@pytest.mark.parametrize(
    ("body", "graphs"),
    [
        ("    return x -> repeat(12, Layer)", 1),
        ("    return x -> Layer(2) -> Layer(heads=2) -> Layer", 1),  # however its values are given
        ("    return x -> Layer(2) -> Layer(4)", 2),
        ("    return (x -> Layer) + (x -> linear(6) -> Layer -> linear(4))", 2),  # by shape
        ("    return (x -> Layer) + mean(x[:1] -> Layer, axis=0)", 2),
        ("    a = Layer()\n    b = Layer()\n    return a(b(x))", 1),  # instances share a graph, not weights
    ],
)
def test_one_graph_for_a_block_and_signature(specs: Specs, body: str, graphs: int) -> None:
    assert len(called(specs.graph(f"{LAYER}model M(x: float[N, 4]) -> float[N, 4]:\n{body}\n"))) == graphs


def test_graphs_are_as_many_as_a_recursion_is_deep(specs: Specs) -> None:
    graphs = called(specs.graph(UNET))
    names = [graph.name for graph in graphs]
    assert names.count("UNet") == 3
    assert names.count("Double") == 5


def test_ninety_six_layers_are_made_once(specs: Specs) -> None:
    text = (
        f"{LAYER}model M(x: float[N, 4], depth = 96) -> float[N, 4]:\n    layers = [Layer() for i in range(depth)]\n"
        "    for layer in layers:\n        x = layer(x)\n    return x\n"
    )
    graph = specs.graph(text)
    assert len(called(graph)) == 1
    assert count(graph) == 96 * 20
