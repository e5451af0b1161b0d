"""Symbolic sizes computed by onnxruntime, against Python's integers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dlc.compiler.dim import Dim
from dlc.compiler.onnx.model import Graph, Model, Value
from dlc.compiler.onnx.sizes import Sizes, UnknownSize
from dlc.compiler.onnx.wire import encode
from dlc.compiler.onnx.writer import Writer
from dlc.compiler.types import DType, Tensor

A, B, C = (Dim.symbol(name, 1) for name in "ABC")


def built(shapes: Sequence[Tensor], dims: Sequence[Dim]) -> tuple[Writer, bytes]:
    """A model that gives the sizes for inputs of these shapes."""
    inputs = [
        Value(f"x{place}", DType.FLOAT, tuple(int(size) if size.is_constant else str(size) for size in shape.shape))
        for place, shape in enumerate(shapes)
    ]
    writer = Writer([value.name or "" for value in inputs])
    sizes = Sizes(writer, list(zip(inputs, shapes, strict=True)), lambda symbol: symbol.name)
    outputs = list(writer.add("Identity", (sizes.vector(dims),), {}, name="sizes"))
    outputs += writer.add("Identity", (sizes.scalar(dims[0]),), {}, name="first")
    graph = Graph("sizes", inputs, outputs, writer.nodes, writer.initializers)
    return writer, encode(Model(graph, 10, {"": 21}))


def computed(shapes: Sequence[Tensor], dims: Sequence[Dim], values: dict[Dim, int]) -> list[int]:
    binding = {symbol: number for size, number in values.items() if (symbol := size.as_symbol())}
    arrays = [np.zeros([size.evaluate(binding) for size in shape.shape], np.float32) for shape in shapes]
    session = onnxruntime.InferenceSession(built(shapes, dims)[1], providers=["CPUExecutionProvider"])
    found, first = session.run(None, {f"x{place}": array for place, array in enumerate(arrays)})
    assert first.shape == ()
    assert first == found[0]
    return found.tolist()


def expressions() -> st.SearchStrategy[Dim]:
    leaves = st.sampled_from([A, B, C]) | st.integers(-3, 5).map(Dim.of)

    def larger(inner: st.SearchStrategy[Dim]) -> st.SearchStrategy[Dim]:
        pairs = st.tuples(inner, inner)
        divisors = st.tuples(inner, st.integers(2, 5) | st.sampled_from([A, B]))
        return (
            pairs.map(lambda pair: pair[0] + pair[1])
            | pairs.map(lambda pair: pair[0] - pair[1])
            | pairs.map(lambda pair: pair[0] * pair[1])
            | divisors.map(lambda pair: pair[0] // pair[1])
            | divisors.map(lambda pair: pair[0] % pair[1])
            | pairs.map(lambda pair: Dim.minimum(*pair))
            | pairs.map(lambda pair: Dim.maximum(*pair))
        )

    return st.recursive(leaves, larger, max_leaves=5)


@settings(max_examples=60, deadline=None)
@given(st.lists(expressions(), min_size=1, max_size=3), st.tuples(*[st.integers(1, 9)] * 3))
def test_sizes_are_what_integers_give(dims: list[Dim], numbers: tuple[int, int, int]) -> None:
    values = dict(zip((A, B, C), numbers, strict=True))
    symbols = {symbol: number for size, number in values.items() if (symbol := size.as_symbol())}
    found = computed([Tensor.of(A, B), Tensor.of(B, C)], dims, values)
    assert found == [dim.evaluate(symbols) for dim in dims]


@pytest.mark.parametrize("given", [2 * A - 1, 3 * A, A + 5])
def test_a_symbol_is_solved_for(given: Dim) -> None:
    assert computed([Tensor.of(given, 2)], [A, A * A, given], {A: 6})[:2] == [6, 36]


def test_a_symbol_is_solved_for_through_a_product() -> None:
    assert computed([Tensor.of(A * B, B)], [A, B], {A: 6, B: 5}) == [6, 5]


def test_what_the_inputs_do_not_tell_is_refused() -> None:
    with pytest.raises(UnknownSize) as caught:
        built([Tensor.of(A // 2)], [A])
    assert Dim.of_symbol(caught.value.symbol) == A


def test_constants_need_no_node() -> None:
    writer, _ = built([Tensor.of(A)], [Dim.of(3), Dim.of(4)])
    assert [node.op_type for node in writer.nodes] == ["Identity", "Identity"]


def test_neighbouring_axes_are_read_at_once_and_each_expression_is_computed_once() -> None:
    writer, _ = built([Tensor.of(A, B, C)], [A, B, Dim.of(7), A * B, A * B + 1])
    assert [node.op_type for node in writer.nodes].count("Mul") == 1
    assert [node.op_type for node in writer.nodes].count("Shape") == 3
