"""`for`, `if`, comprehensions, tuples and unpacking: what is unrolled and chosen while a graph is made."""

import pytest

from dlc.compiler.graph import Graph

from .conftest import Specs, operations, types


def body(specs: Specs, lines: str, head: str = "x: float[N, 4]", **overrides: object) -> Graph:
    return specs.graph(f"model M({head}):\n{lines}\n", **overrides)


def test_for_is_unrolled(specs: Specs) -> None:
    graph = body(specs, "    for i in range(3):\n        x = relu(x)\n    return x")
    assert operations(graph) == ["relu"] * 3


def test_for_goes_through_a_list_of_tuples(specs: Specs) -> None:
    graph = body(
        specs, "    for width, f in [(8, relu), (6, tanh)]:\n        x = x -> linear(width) -> f\n    return x"
    )
    assert operations(graph) == ["linear", "relu", "linear", "tanh"]
    assert types(graph) == ["float[N, 6]"]


def test_return_ends_a_for(specs: Specs) -> None:
    graph = body(
        specs, "    for i in range(9):\n        x = relu(x)\n        if i == 1:\n            return x\n    return x"
    )
    assert operations(graph) == ["relu"] * 2


@pytest.mark.parametrize(("depth", "expected"), [(0, ["relu"]), (1, ["tanh"]), (2, ["sigmoid"]), (5, ["sigmoid"])])
def test_one_branch_is_taken(specs: Specs, depth: int, expected: list[str]) -> None:
    lines = (
        "    if depth == 0:\n        y = relu(x)\n    elif depth < 2:\n        y = tanh(x)\n"
        "    else:\n        y = sigmoid(x)\n    return y"
    )
    assert operations(body(specs, lines, "x: float[N, 4], depth = 1", depth=depth)) == expected


def test_what_is_not_taken_is_not_looked_at(specs: Specs) -> None:
    assert operations(body(specs, "    return relu(x) if true else nothing(x)")) == ["relu"]
    assert operations(body(specs, "    if false:\n        x = nothing(x)\n    return relu(x)")) == ["relu"]
    assert operations(body(specs, "    if false and nothing:\n        x = tanh(x)\n    return relu(x)")) == ["relu"]
    assert operations(body(specs, "    if true or nothing:\n        x = tanh(x)\n    return x")) == ["tanh"]


def test_sizes_that_are_known_to_differ_decide(specs: Specs) -> None:
    assert operations(body(specs, "    return relu(x) if N + 1 > N else x")) == ["relu"]
    assert specs.codes("model M(x: float[N, 4]):\n    return relu(x) if N > 1 else x\n") == ["DL4003"]


def test_comprehensions_have_a_scope_of_their_own(specs: Specs) -> None:
    graph = body(specs, "    i = 2\n    widths = [i * 4 for i in range(1, 4)]\n    return x -> linear(widths[2] + i)")
    assert types(graph) == ["float[N, 14]"]


def test_comprehensions_of_layers_are_instances(specs: Specs) -> None:
    graph = body(specs, "    fs = [linear(k) for k in [8, 6]]\n    return fs[1](fs[0](x))")
    assert list(graph.modules) == ["fs"]
    assert types(graph) == ["float[N, 6]"]


# --- tuples -----------------------------------------------------------------------------------------------------


def test_several_results_are_bound_to_several_names(specs: Specs) -> None:
    graph = body(specs, "    a, b = x -> split(2, axis=1)\n    return b, a + 1")
    assert types(graph) == ["float[N, 2]", "float[N, 2]"]
    assert [value.name for value in graph.nodes[0].outputs] == ["a", "b"]


def test_a_tensor_is_unpacked_along_its_first_axis(specs: Specs) -> None:
    graph = body(specs, "    q, k, v = x\n    return q + k + v", "x: float[3, T]")
    assert types(graph) == ["float[T]"]
    assert specs.codes("model M(x: float[N, 4]):\n    a, b = x\n    return a\n") != []


def test_a_tuple_fills_the_tensor_parameters(specs: Specs) -> None:
    block = "block B(x: float[N, 4], y: float[N, 4], k = 2):\n    return x - k * y\n\n"
    model = "model M(x: float[N, 4], y: float[N, 4]):\n    return {}\n"
    for call in ("(x, y) -> B(3)", "B(x, y, 3)", "B((x, y), k=3)", "B(y=y, x=x, k=3)", "x -> B(y, 3)"):
        graph = specs.graph(block + model.format(call))
        (node,) = graph.nodes
        assert [value.name for value in node.values] == ["x", "y"], call


def test_branch_gives_a_tuple(specs: Specs) -> None:
    graph = body(specs, "    return x -> branch(linear(2), linear(3)) -> concat(axis=1)")
    assert types(graph) == ["float[N, 5]"]


def test_tuples_of_static_values(specs: Specs) -> None:
    graph = body(specs, "    a, b = (2, 3)\n    c = [b, a]\n    return x -> linear(c[0] * 10 + c[1])")
    assert types(graph) == ["float[N, 32]"]


def test_a_block_with_several_results(specs: Specs) -> None:
    graph = specs.graph(
        "block Both(x: float[N, d]) -> (sum: float[N, d], half: float[N, d]):\n    return x + x, x / 2\n\n"
        "model M(x: float[N, 4]) -> (a: float[N, 4], b: float[N, 4]):\n    p, q = Both(x)\n    return q, p\n"
    )
    assert graph.output_names == ("a", "b")
    (node,) = graph.nodes
    assert graph.outputs == (node.outputs[1], node.outputs[0])


# --- lets -------------------------------------------------------------------------------------------------------


def test_a_constant_tensor_is_made_once_in_each_graph(specs: Specs) -> None:
    graph = specs.graph(
        "let steps = 5\nlet beta = linspace(0, 1, steps)\n\n"
        "model M(x: float[N, 5]) -> float[N, 5]:\n    return x * beta + beta\n"
    )
    assert operations(graph).count("linspace") == 1


def test_imports_share_what_they_name(specs: Specs) -> None:
    program = specs.program(
        "from .a import Half, width\n\n"
        "model M(x: float[N, 4]) -> float[N, 2]:\n    return x -> linear(width) -> Half\n",
        files={
            "a": "from .b import Half\nlet width = 4\n",
            "b": "let parts = 2\n\nblock Half(x: float[N, d]):\n    return x[:, :d // parts]\n",
        },
    )
    assert types(program.models["M"].graph) == ["float[N, 2]"]
    assert [source.name for source in program.sources] == ["spec.dl", "a", "b"]


def test_tensors_in_a_list_are_added(specs: Specs) -> None:
    listed = "model M(x: float[N, 4], y: float[4]):\n    return sum([x, 2, y * 3, x]) + sum([y]) + sum([1, 2, x])\n"
    written = "model M(x: float[N, 4], y: float[4]):\n    return (((x + 2) + y * 3) + x) + y + (3 + x)\n"
    assert sorted(_applied(specs, listed)) == sorted(_applied(specs, written))


def _applied(specs: Specs, text: str) -> list[str]:
    """Each operation with what it is applied to: types of tensors, and numbers."""
    nodes = specs.graph(text).nodes
    return [f"{node.action} of {[str(getattr(given, 'type', given)) for given in node.inputs]}" for node in nodes]
