"""The bytes of models, against protobuf's own reading and writing of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlc.compiler.onnx.emit import build_model
from dlc.compiler.onnx.model import Graph, Model, Tensor, Value
from dlc.compiler.onnx.wire import Message, encode, properties
from dlc.compiler.onnx.writer import Writer
from dlc.compiler.program import Model as Spec
from dlc.compiler.types import DType
from dlc.compiler.weights import draw_weights
from dlc.runtime.spec import read_spec

EXAMPLES = Path(__file__).parents[2] / "examples"


def check_bytes(model: Model) -> onnx.ModelProto:
    """Reads what was written, and lets protobuf write it again: not a byte may differ."""
    data = encode(model)
    read = onnx.ModelProto.FromString(data)
    assert read.SerializeToString(deterministic=True) == data
    return read


@pytest.mark.parametrize("name", ["gpt", "gru", "unet", "inception", "seq2seq", "wavenet"])
def test_protobuf_writes_the_same_bytes(name: str, tmp_path: Path) -> None:
    path = tmp_path / f"{name}.dl"
    kept = (EXAMPLES / f"{name}.dl").read_text().partition("\ndata ")[0].splitlines()
    path.write_text("\n".join(line for line in kept if not line.strip().startswith("ensure ")) + "\n")
    small = {"width": "16", "heads": "2", "depth": "2"} if name == "gpt" else {}
    program, sink = read_spec(path, small)
    assert program is not None, [diagnostic.message for diagnostic in sink]
    for spec in program.models.values():
        check_bytes(build_model(spec.graph, draw_weights(spec.graph.weights(), 0)))


def test_every_kind_of_attribute_and_element_type(model: Callable[..., Spec]) -> None:
    writer = Writer(())
    arrays = {
        DType.FLOAT: np.array([[1.5, -2.0]], np.float32),
        DType.FLOAT64: np.array(0.1),
        DType.FLOAT16: np.array([1, 2], np.float16),
        DType.INT: np.array([-1, 2**62]),
        DType.INT32: np.array([-7], np.int32),
        DType.INT8: np.array([-128, 127], np.int8),
        DType.UINT8: np.array([255], np.uint8),
        DType.BOOL: np.array([True, False]),
    }
    given = [writer.initializer(dtype.value, Tensor.of(array, dtype)) for dtype, array in arrays.items()]
    (made,) = writer.add(
        "Anything",
        [*given, None, given[0]],
        {
            "f": 0.1,
            "i": -3,
            "s": "é",
            "t": arrays[DType.FLOAT],
            "g": Graph("inner", (), (), []),
            "floats": [0.5, -1.0],
            "ints": [1, -2, 2**40],
            "strings": ["a", ""],
        },
        domain="some.where",
        name="made",
    )
    made.dtype, made.shape = DType.FLOAT, ("N + 1", 3)
    read = check_bytes(
        Model(Graph("all", [Value("x", DType.INT, ())], [made], writer.nodes, writer.initializers), 10, {"": 21})
    )
    (node,) = read.graph.node
    assert list(node.input)[-2:] == ["", "float"]
    found = {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute}
    assert found["f"] == np.float32(0.1)
    assert (found["i"], found["s"], found["ints"]) == (-3, "é".encode(), [1, -2, 2**40])
    assert (found["floats"], found["strings"], found["g"].name) == ([0.5, -1.0], [b"a", b""], "inner")
    for tensor, array in zip(read.graph.initializer, arrays.values(), strict=True):
        stored = onnx.numpy_helper.to_array(tensor)
        np.testing.assert_array_equal(stored, array)
        assert (stored.dtype, stored.shape) == (array.dtype, array.shape)
    shape = read.graph.output[0].type.tensor_type.shape.dim
    assert [size.dim_param or size.dim_value for size in shape] == ["N + 1", 3]
    assert read.graph.input[0].type.tensor_type.HasField("shape")


def test_numbers_are_stored_little_end_first_and_in_rows() -> None:
    array = np.arange(6, dtype=">f4").reshape(2, 3).T
    value = Value("w", tensor=Tensor(DType.FLOAT, array.shape, lambda: array))
    read = check_bytes(Model(Graph("m", (), (), [], [value]), 10, {"": 21}))
    np.testing.assert_array_equal(onnx.numpy_helper.to_array(read.graph.initializer[0]), array)


@given(st.integers(-(2**63), 2**63 - 1))
def test_whole_numbers_of_all_sizes(number: int) -> None:
    written = Message()
    written.integer(3, number)
    data = b"".join(part for part in written.parts if isinstance(part, bytes))
    assert len(data) == written.size
    assert onnx.AttributeProto.FromString(data).i == number


def test_metadata_may_follow_a_model() -> None:
    model = Model(Graph("m", (), (), []), 10, {"": 21}, metadata={"a": "1"})
    read = onnx.ModelProto.FromString(encode(model) + properties({"b": "2"}))
    assert [(entry.key, entry.value) for entry in read.metadata_props] == [("a", "1"), ("b", "2")]


def test_a_value_without_a_name_is_a_fault() -> None:
    with pytest.raises(TypeError, match="without a name"):
        encode(Model(Graph("m", [Value()], (), []), 10, {"": 21}))
