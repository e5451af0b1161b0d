"""The element types of an ONNX operator's results, and the kinds of its attributes, as its schema declares them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from dlc.compiler.onnx.elements import from_numpy, from_onnx, onnx_type
from dlc.compiler.onnx.model import Attribute, AttributeType, Graph, Tensor, Value
from dlc.compiler.onnx.operators import SCHEMAS
from dlc.compiler.types import DType

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, slots=True)
class Result:
    """How a result's element type is found: it is `fixed`, that of an input, or what an attribute says."""

    fixed: DType | None = None
    inputs: tuple[int, ...] = ()
    attribute: str | None = None

    def __str__(self) -> str:
        """As the table of operators has it."""
        if self.fixed is not None:
            return f"={self.fixed.value}"
        return ",".join(map(str, self.inputs)) + (f"@{self.attribute}" if self.attribute else "")

    @staticmethod
    def parse(text: str) -> Result:
        if text.startswith("="):
            return Result(fixed=DType(text[1:]))
        inputs, _, attribute = text.partition("@")
        return Result(None, tuple(map(int, inputs.split(","))) if inputs else (), attribute or None)


@dataclass(frozen=True, slots=True)
class Signature:
    """What is needed of an operator's schema."""

    results: tuple[Result, ...]
    attributes: Mapping[str, AttributeType]

    def __str__(self) -> str:
        """As the table of operators has it."""
        kinds = " ".join(f"{name}:{kind.name}" for name, kind in self.attributes.items())
        return f"{';'.join(map(str, self.results))} {kinds}".rstrip(" ")

    @staticmethod
    def parse(text: str) -> Signature:
        results, *attributes = text.split(" ")
        kinds = (pair.partition(":") for pair in attributes)
        return Signature(
            tuple(map(Result.parse, results.split(";"))), {name: AttributeType[kind] for name, _, kind in kinds}
        )


@cache
def signature(kind: str) -> Signature:
    """The signature of a standard operator. KeyError where there is none of that name."""
    return Signature.parse(SCHEMAS[kind])


def result_types(
    kind: str, inputs: Sequence[Value | None], attributes: Mapping[str, Attribute], count: int
) -> list[DType | None]:
    """The element types of the results of a standard operator, none where its schema does not tell."""
    results = signature(kind).results
    types: list[DType | None] = []
    for place in range(count):
        result = results[min(place, len(results) - 1)]
        found = result.fixed
        if found is None and result.attribute is not None and result.attribute in attributes:
            found = from_onnx(attributes[result.attribute].value)
        for position in result.inputs if found is None else ():
            given = inputs[position] if position < len(inputs) else None
            found = found or (None if given is None else given.dtype)
        types.append(found)
    return types


def attributes_of(kind: str, domain: str, values: Mapping[str, Any]) -> dict[str, Attribute]:
    """The attributes of a node from Python values: numbers, strings, sequences, arrays, element types and graphs.

    An attribute that is none is left out; a whole number is given as a float where the operator asks for one.
    """
    known: Mapping[str, AttributeType] = {} if domain else signature(kind).attributes
    attributes: dict[str, Attribute] = {}
    for name, value in values.items():
        if value is not None:
            type = known.get(name) or _kind(name, value)
            attributes[name] = Attribute(type, _value(type, value))
    return attributes


def _kind(name: str, value: Any) -> AttributeType:
    """The kind of an attribute by its value, where no schema tells it."""
    match value:
        case bool() | int() | DType():
            return AttributeType.INT
        case float():
            return AttributeType.FLOAT
        case str():
            return AttributeType.STRING
        case Graph():
            return AttributeType.GRAPH
        case list() | tuple():
            items: list[Any] = [*value]
            if items and all(isinstance(item, str) for item in items):
                return AttributeType.STRINGS
            whole = all(isinstance(item, int) for item in items)
            return AttributeType.INTS if whole else AttributeType.FLOATS
        case _ if hasattr(value, "dtype"):
            return AttributeType.TENSOR
        case _:
            raise TypeError(f"the attribute {name} cannot be {type(value).__name__}")


def _value(type: AttributeType, value: Any) -> Any:
    match type:
        case AttributeType.FLOAT:
            return float(value)
        case AttributeType.INT:
            return onnx_type(value) if isinstance(value, DType) else int(value)
        case AttributeType.FLOATS:
            return tuple(map(float, _items(value)))
        case AttributeType.INTS:
            return tuple(map(int, _items(value)))
        case AttributeType.STRINGS:
            return tuple(_items(value))
        case AttributeType.TENSOR:
            return _stored(value)
        case _:
            return value


def _items(values: Iterable[Any]) -> list[Any]:
    return [*values]


def _stored(array: np.ndarray[Any, Any]) -> Tensor:
    dtype = from_numpy(array.dtype)
    if dtype is None:
        raise TypeError(f"{array.dtype} is no element type of the language")
    return Tensor.of(array, dtype)
