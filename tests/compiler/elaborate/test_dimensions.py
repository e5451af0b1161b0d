"""How the names of dimensions bind, and what must then agree."""

import pytest

from .conftest import Specs, called, types


def shapes(specs: Specs, block: str, x: str, call: str = "x -> B") -> list[str]:
    return types(specs.graph(f"{block}\n\nmodel M(x: {x}):\n    return {call}\n"))


@pytest.mark.parametrize(
    ("head", "x", "result"),
    [
        ("x: float[N, d]", "float[N, 4]", "float[4, N]"),
        ("x: float[N, 2*k]", "float[N, 6]", "float[3, N]"),
        ("x: float[N, 2*k + 1]", "float[N, 7]", "float[3, N]"),
        ("x: float[N, 2*k]", "float[N, 2*T]", "float[T, N]"),
        ("x: float[N, k - 1]", "float[N, T]", "float[T + 1, N]"),
        ("x: float[..., d]", "float[N, 4]", "float[4, N]"),
    ],
)
def test_open_names_bind_to_what_is_passed_in(specs: Specs, head: str, x: str, result: str) -> None:
    name = "k" if "k" in head else "d"
    batch = "N" if "..." not in head else None
    body = f"zeros({name}, {batch})" if batch else "x.T"
    assert shapes(specs, f"block B({head}):\n    return {body}", x) == [result]


def test_ellipsis_stands_for_any_number_of_leading_axes(specs: Specs) -> None:
    block = "block B(x: float[..., d], k = 3) -> float[..., k]:\n    return x -> linear(k)"
    assert shapes(specs, block, "float[4]") == ["float[3]"]
    assert shapes(specs, block, "float[N, 4]") == ["float[N, 3]"]
    assert shapes(specs, block, "float[N, T, S, 4]") == ["float[N, T, S, 3]"]


def test_ellipsis_is_the_same_in_all_parameters(specs: Specs) -> None:
    block = "block B(x: float[..., d], y: float[..., k]) -> float[..., d]:\n    return x"
    assert shapes(specs, block, "float[N, T, 4]", "B(x, x[:, :, :2])") == ["float[N, T, 4]"]
    assert specs.codes(f"{block}\n\nmodel M(x: float[N, T, 4]):\n    return B(x, x[0])\n") == ["DL3001"]


def test_a_name_that_stands_twice_is_one_size(specs: Specs) -> None:
    block = "block B(x: float[d, d]) -> float[d]:\n    return x[0]"
    assert shapes(specs, block, "float[5, 5]") == ["float[5]"]
    assert specs.codes(f"{block}\n\nmodel M(x: float[5, 6]):\n    return x -> B\n") == ["DL3001"]
    assert specs.codes(f"{block}\n\nmodel M(x: float[N, T]):\n    return x -> B\n") == ["DL3001"]


def test_results_bind_names_that_they_meet_first(specs: Specs) -> None:
    graph = specs.graph(
        "model M(x: float[N, 3, H, W]) -> (y: float[N, C, H2, W2]):\n    return x -> conv(8, 3, stride=2)\n"
    )
    assert types(graph) == ["float[N, 8, (H + 1)//2, (W + 1)//2]"]
    assert str(graph.statics["C"]) == "8"
    assert str(graph.statics["H2"]) == "(H + 1)//2"


def test_a_name_bound_by_one_result_is_due_in_the_next(specs: Specs) -> None:
    head = "model M(x: float[N, 4]) -> (a: float[N, k], b: float[N, k]):\n"
    assert types(specs.graph(f"{head}    return linear(x, 3), linear(x, 3)\n")) == ["float[N, 3]", "float[N, 3]"]
    assert specs.codes(f"{head}    return linear(x, 3), linear(x, 5)\n") == ["DL3004"]


def test_defaults_use_what_stands_before_them(specs: Specs) -> None:
    block = "block B(x: float[N, d], hidden = 4*d, out = hidden // 2) -> float[N, out]:\n    return x -> linear(out)"
    assert shapes(specs, block, "float[N, 4]") == ["float[N, 8]"]
    assert shapes(specs, block, "float[N, 4]", "x -> B(hidden=6)") == ["float[N, 3]"]
    assert shapes(specs, block, "float[N, 4]", "x -> B(6, 5)") == ["float[N, 5]"]


def test_a_name_in_a_type_may_be_a_static_parameter(specs: Specs) -> None:
    block = "block B(x: float[N, width], width = 4) -> float[N, width]:\n    return x"
    assert shapes(specs, block, "float[N, 4]") == ["float[N, 4]"]
    assert shapes(specs, block, "float[N, 6]", "x -> B(6)") == ["float[N, 6]"]
    assert specs.codes(f"{block}\n\nmodel M(x: float[N, 6]):\n    return x -> B\n") == ["DL3001"]


def test_a_let_in_a_type_is_its_value(specs: Specs) -> None:
    assert types(specs.graph("let width = 3\n\nmodel M(x: float[N, width]):\n    return x\n")) == ["float[N, 3]"]


def test_dimensions_are_numbers_in_the_body(specs: Specs) -> None:
    graph = specs.graph(
        "model M(x: float[N, 4]) -> float[N, 4]:\n    return x / N + 1\n",
    )
    assert types(graph) == ["float[N, 4]"]


def test_a_range_is_promised_on(specs: Specs) -> None:
    block = "block B(t: int[N] < 10) -> float[N, 4]:\n    return t -> embedding(10, 4)"
    text = block + "\n\nmodel M(t: int[N] < {below}):\n    return t -> B\n"
    assert types(specs.graph(text.format(below=7))) == ["float[N, 4]"]
    assert specs.codes(text.format(below=11)) == ["DL3001"]


# --- require ----------------------------------------------------------------------------------------------------


def test_what_depends_on_open_sizes_is_checked_at_run_time(specs: Specs) -> None:
    graph = specs.graph(
        'model M(x: float[N, T, 4], most = 128) -> float[N, T, 4]:\n    require T <= most, "too long"\n'
        "    require N > 1 and most == 128\n    return x\n"
    )
    told = [(str(check.left), check.relation, str(check.right), check.message) for check in graph.checks]
    assert told == [("T", "<=", "128", "too long"), ("N", ">", "1", "N > 1")]


def test_what_is_known_is_checked_at_once(specs: Specs) -> None:
    text = "model M(x: float[N, T]) -> float[N, T]:\n    require T <= 128\n    return x\n"
    assert specs.graph(text, T=100).checks == []
    assert specs.codes(text, {"T": "200"}) == ["DL4004"]


def test_a_dimension_that_must_be_a_multiple_is_known_to_be_one(specs: Specs) -> None:
    graph = specs.graph(
        "model M(x: float[N, H]) -> float[N, H]:\n    require H % 2 == 0\n"
        "    return x -> reshape(N, H // 2, 2) -> reshape(N, H)\n"
    )
    ((symbol, size),) = graph.shares.items()
    assert symbol.name == "H"
    assert size % 2 == 0
    ((left, relation, right),) = [(str(c.left), c.relation, str(c.right)) for c in graph.checks]
    assert (left, relation, right) == ("H % 2", "==", "0")


def test_multiples_are_found_in_blocks_within_blocks(specs: Specs) -> None:
    graph = specs.graph(
        "block Down(x: float[N, C, H, W]) -> float[N, C, H // 2, W // 2]:\n"
        "    require H % 2 == 0 and W % 2 == 0\n    return x -> max_pool(2)\n\n"
        "model M(x: float[N, 1, H, 8]) -> float[N, 1, H2, 2]:\n    return x -> Down -> Down\n"
    )
    ((symbol, size),) = graph.shares.items()
    assert symbol.name == "H"
    assert size % 4 == 0
    assert len(called(graph)) == 2


def test_requirements_of_a_block_are_about_its_own_names(specs: Specs) -> None:
    text = (
        'block B(x: float[N, d], heads = 8) -> float[N, d]:\n    require d % heads == 0, "heads"\n    return x\n\n'
        "model M(x: float[N, {d}]) -> float[N, {d}]:\n    return x -> B\n"
    )
    assert specs.graph(text.format(d=16)).checks == []
    assert specs.codes(text.format(d=12)) == ["DL4004"]
