"""The table of the standard's operators, against the standard's own schemas."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from dlc.compiler.onnx import generate, operators
from dlc.compiler.onnx.model import AttributeType, Tensor
from dlc.compiler.onnx.opset import NEWEST, OPSET, SINCE, ir_version
from dlc.compiler.onnx.results import attributes_of, signature
from dlc.compiler.types import DType


def test_the_table_is_what_the_schemas_say() -> None:
    assert operators.__file__ is not None
    assert Path(operators.__file__).read_text() == generate.table()


def test_every_operator_of_the_oldest_opset_is_in_it() -> None:
    schemas = onnx.defs.get_all_schemas_with_history()
    known = {schema.name for schema in schemas if schema.domain == "" and schema.since_version <= OPSET}
    current = {kind for kind in known if not onnx.defs.get_schema(kind, OPSET).deprecated}
    assert current | set(SINCE) == set(operators.SCHEMAS)


@pytest.mark.parametrize("opset", [OPSET, NEWEST])
def test_the_versions_belong_together(opset: int) -> None:
    assert min(row[1] for row in onnx.helper.VERSION_TABLE if row[2] == opset) == ir_version(opset)


def test_a_signature_tells_results_and_attributes() -> None:
    assert signature("Shape").results[0].fixed is DType.INT
    assert signature("Where").results[0].inputs == (1, 2)
    assert signature("Cast").results[0].attribute == "to"
    assert signature("Conv").attributes["pads"] is AttributeType.INTS
    with pytest.raises(KeyError):
        signature("Convolution")


def test_attributes_are_of_the_kinds_that_the_schema_asks_for() -> None:
    alpha = attributes_of("LeakyRelu", "", {"alpha": 1})["alpha"]
    assert (alpha.type, alpha.value) == (AttributeType.FLOAT, 1.0)
    axes = attributes_of("Transpose", "", {"perm": []})["perm"]
    assert (axes.type, axes.value) == (AttributeType.INTS, ())
    to = attributes_of("Cast", "", {"to": DType.BOOL, "saturate": None})
    assert {name: attribute.value for name, attribute in to.items()} == {"to": onnx.TensorProto.BOOL}
    value = attributes_of("ConstantOfShape", "", {"value": np.zeros(1, np.float32)})["value"].value
    assert isinstance(value, Tensor)
    assert value.dtype is DType.FLOAT


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (True, AttributeType.INT),
        (2.5, AttributeType.FLOAT),
        ("same", AttributeType.STRING),
        ([1, 2], AttributeType.INTS),
        ([1, 2.5], AttributeType.FLOATS),
        (["a"], AttributeType.STRINGS),
        (np.zeros(2), AttributeType.TENSOR),
    ],
)
def test_attributes_of_other_domains_go_by_their_values(value: object, kind: AttributeType) -> None:
    assert attributes_of("Fused", "com.microsoft", {"value": value})["value"].type is kind


def test_what_no_attribute_can_be_is_a_fault() -> None:
    with pytest.raises(TypeError, match="the attribute value cannot be dict"):
        attributes_of("Fused", "com.microsoft", {"value": {}})
