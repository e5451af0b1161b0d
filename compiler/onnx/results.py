"""The element types of an ONNX operator's results, and of its attributes, as its schema declares them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, cast

from dlc.compiler.onnx.elements import onnx_type
from dlc.compiler.types import DType

if TYPE_CHECKING:
    import onnx
    import onnx_ir as ir

OPSET = 21  # the newest in which onnxruntime has kernels for all operators that are used, random ones among them


@dataclass(frozen=True, slots=True)
class _Result:
    """How a result's element type is found: it is `fixed`, that of an input, or what an attribute says."""

    fixed: ir.DataType | None
    inputs: tuple[int, ...]
    attribute: str | None


@dataclass(frozen=True, slots=True)
class _Signature:
    results: tuple[_Result, ...]
    floats: frozenset[str]


@cache
def _signature(kind: str) -> _Signature:
    import onnx

    schema = onnx.defs.get_schema(kind, OPSET)
    allowed = {each.type_param_str: list(each.allowed_type_strs) for each in schema.type_constraints}
    floats = {onnx.defs.OpSchema.AttrType.FLOAT, onnx.defs.OpSchema.AttrType.FLOATS}
    return _Signature(
        tuple(
            _result(schema, formal.type_str, allowed.get(formal.type_str))
            if formal.is_homogeneous
            else _Result(None, (), None)
            for formal in schema.outputs
        ),
        frozenset(name for name, attribute in schema.attributes.items() if attribute.type in floats),
    )


def _result(schema: onnx.defs.OpSchema, type: str, allowed: Sequence[str] | None) -> _Result:
    if allowed is None or len(allowed) == 1:
        return _Result(_concrete(type if allowed is None else allowed[0]), (), None)
    inputs = tuple(place for place, formal in enumerate(schema.inputs) if formal.type_str == type)
    attribute = next((name for name in ("to", "dtype") if name in schema.attributes), None)
    return _Result(None, inputs, attribute)


def _concrete(type: str) -> ir.DataType | None:
    """The element type of `tensor(int64)`; none for a sequence or an optional value."""
    import onnx_ir as ir

    inside = type.removeprefix("tensor(").removesuffix(")")
    return ir.DataType[inside.upper()] if inside != type else None


def result_types(
    kind: str, inputs: Sequence[ir.Value | None], attributes: Mapping[str, ir.Attr], count: int
) -> list[ir.DataType | None]:
    """The element types of the results of a standard operator, none where its schema does not tell."""
    import onnx_ir as ir

    results = _signature(kind).results
    types: list[ir.DataType | None] = []
    for place in range(count):
        result = results[min(place, len(results) - 1)]
        found = result.fixed
        if found is None and result.attribute is not None and result.attribute in attributes:
            found = ir.DataType(attributes[result.attribute].as_int())
        for position in result.inputs if found is None else ():
            given = inputs[position] if position < len(inputs) else None
            found = found or (None if given is None else given.dtype)
        types.append(found)
    return types


def attributes_of(kind: str, domain: str, values: Mapping[str, Any]) -> dict[str, ir.Attr]:
    """The attributes of a node from Python values: numbers, strings, sequences, arrays, element types and graphs.

    An attribute that is none is left out; a whole number is given as a float where the operator asks for one.
    """
    import numpy as np
    import onnx_ir as ir

    floats = frozenset[str]() if domain else _signature(kind).floats
    attributes: dict[str, ir.Attr] = {}
    for name, value in values.items():
        match value:
            case None:
                continue
            case DType():
                attributes[name] = ir.AttrInt64(name, int(onnx_type(value)))
            case np.ndarray():
                attributes[name] = ir.AttrTensor(name, ir.Tensor(cast("np.ndarray[Any, Any]", value)))
            case bool() | int() | float() if name in floats:
                attributes[name] = ir.AttrFloat32(name, float(value))
            case bool():
                attributes[name] = ir.AttrInt64(name, int(value))
            case list() | tuple():
                given: Sequence[Any] = [*value]
                attributes[name] = _sequence(name, given, name in floats)
            case _:
                attributes[name] = ir.convenience.convert_attribute(name, value)
    return attributes


def _sequence(name: str, values: Sequence[Any], floats: bool) -> ir.Attr:
    import onnx_ir as ir

    if floats:
        return ir.AttrFloat32s(name, [float(value) for value in values])
    if all(isinstance(value, int) for value in values):
        return ir.AttrInt64s(name, [int(value) for value in values])
    return ir.convenience.convert_attribute(name, values)
