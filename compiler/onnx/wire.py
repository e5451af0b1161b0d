"""The bytes of an ONNX model, in the wire format of protocol buffers.

A message is a list of parts: bytes, and tensors that stand for their numbers. So the length of every message is known
before any weight is read, and a model is written with one weight at a time in memory. Fields come in the order of
their numbers, as protobuf's own libraries write them. Sources: https://protobuf.dev/programming-guides/encoding and
https://github.com/onnx/onnx/blob/main/onnx/onnx.proto.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dlc.compiler.onnx.elements import onnx_type
from dlc.compiler.onnx.model import Attribute, AttributeType, Function, Graph, Model, Node, Tensor, Value

if TYPE_CHECKING:
    import numpy as np

_EXTERNAL = 1  # TensorProto.DataLocation


@dataclass(frozen=True, slots=True)
class Place:
    """Where the numbers of a tensor lie in a file beside the model's."""

    location: str
    offset: int
    length: int


class Message:
    """One message while it is being written. size: how many bytes it has."""

    def __init__(self) -> None:
        self.parts: list[bytes | Tensor] = []
        self.size = 0

    def integer(self, field: int, value: int) -> None:
        self._bytes(_varint(field << 3) + _varint(value))

    def single(self, field: int, value: float) -> None:
        self._bytes(_varint(field << 3 | 5) + struct.pack("<f", value))

    def text(self, field: int, value: str | bytes) -> None:
        data = value.encode() if isinstance(value, str) else value
        self._bytes(_varint(field << 3 | 2) + _varint(len(data)) + data)

    def message(self, field: int, value: Message) -> None:
        self._bytes(_varint(field << 3 | 2) + _varint(value.size))
        self.parts += value.parts
        self.size += value.size

    def numbers(self, field: int, value: Tensor) -> None:
        """The numbers of a tensor, read when they are written."""
        self._bytes(_varint(field << 3 | 2) + _varint(value.nbytes))
        self.parts.append(value)
        self.size += value.nbytes

    def _bytes(self, data: bytes) -> None:
        self.parts.append(data)
        self.size += len(data)


def encode(model: Model) -> bytes:
    """The model as one string of bytes, all weights included."""
    return b"".join(part if isinstance(part, bytes) else raw(part) for part in write_model(model).parts)


def raw(tensor: Tensor) -> memoryview:
    """A tensor's numbers as bytes, little end first."""
    import numpy as np

    array: np.ndarray[Any, Any] = np.ascontiguousarray(tensor.load())
    if array.dtype.byteorder == ">":
        array = array.astype(array.dtype.newbyteorder("<"))
    return array.reshape(-1).view(np.uint8).data


def properties(metadata: Mapping[str, str]) -> bytes:
    """More of a model's metadata, which may follow the bytes of the model."""
    written = Message()
    _properties(written, 14, metadata)
    return b"".join(part for part in written.parts if isinstance(part, bytes))


def function_bytes(function: Function) -> bytes:
    """A function as bytes, by which two are the same or not."""
    parts = _function(function).parts
    return b"".join(part if isinstance(part, bytes) else raw(part) for part in parts)


def write_model(model: Model, external: Mapping[Tensor, Place] | None = None) -> Message:
    """The message of a model. external: the tensors whose numbers lie in another file."""
    written = Message()
    written.integer(1, model.ir_version)
    if model.producer:
        written.text(2, model.producer)
        written.text(3, model.producer_version)
    written.message(7, _graph(model.graph, external or {}))
    _opsets(written, 8, model.opsets)
    _properties(written, 14, model.metadata)
    for function in model.functions:
        written.message(25, _function(function))
    return written


def _graph(graph: Graph, external: Mapping[Tensor, Place]) -> Message:
    written = Message()
    for node in graph.nodes:
        written.message(1, _node(node))
    written.text(2, graph.name)
    for value in graph.initializers:
        assert value.tensor is not None
        written.message(5, _tensor(value.tensor, value.name, external.get(value.tensor)))
    if graph.doc:
        written.text(10, graph.doc)
    for value in graph.inputs:
        written.message(11, _value(value))
    for value in graph.outputs:
        written.message(12, _value(value))
    for value in _inner(graph):
        written.message(13, _value(value))
    return written


def _inner(graph: Graph) -> Iterator[Value]:
    """The values between nodes of which something is known."""
    outputs = {id(value) for value in graph.outputs}
    for node in graph.nodes:
        yield from (value for value in node.outputs if value.dtype is not None and id(value) not in outputs)


def _function(function: Function) -> Message:
    written = Message()
    written.text(1, function.name)
    for value in function.inputs:
        written.text(4, _name(value))
    for value in function.outputs:
        written.text(5, _name(value))
    for node in function.nodes:
        written.message(7, _node(node))
    _opsets(written, 9, function.opsets)
    written.text(10, function.domain)
    _properties(written, 14, function.metadata)
    return written


def _node(node: Node) -> Message:
    written = Message()
    for value in node.inputs:
        written.text(1, "" if value is None else _name(value))
    for value in node.outputs:
        written.text(2, _name(value))
    if node.name:
        written.text(3, node.name)
    written.text(4, node.op_type)
    for name, attribute in node.attributes.items():
        written.message(5, _attribute(name, attribute))
    if node.domain:
        written.text(7, node.domain)
    _properties(written, 9, node.metadata)
    return written


def _attribute(name: str, attribute: Attribute) -> Message:
    written = Message()
    written.text(1, name)
    value = attribute.value
    match attribute.type:
        case AttributeType.FLOAT:
            written.single(2, value)
        case AttributeType.INT:
            written.integer(3, value)
        case AttributeType.STRING:
            written.text(4, value)
        case AttributeType.TENSOR:
            written.message(5, _tensor(value))
        case AttributeType.GRAPH:
            written.message(6, _graph(value, {}))
        case AttributeType.FLOATS:
            for item in value:
                written.single(7, item)
        case AttributeType.INTS:
            for item in value:
                written.integer(8, item)
        case AttributeType.STRINGS:
            for item in value:
                written.text(9, item)
    written.integer(20, attribute.type)
    return written


def _tensor(tensor: Tensor, name: str | None = None, place: Place | None = None) -> Message:
    written = Message()
    for size in tensor.shape:
        written.integer(1, size)
    written.integer(2, onnx_type(tensor.dtype))
    if name:
        written.text(8, name)
    if place is None:
        written.numbers(9, tensor)
        return written
    where = {"location": place.location, "offset": str(place.offset), "length": str(place.length)}
    _properties(written, 13, where)
    written.integer(14, _EXTERNAL)
    return written


def _value(value: Value) -> Message:
    tensor = Message()
    if value.dtype is not None:
        tensor.integer(1, onnx_type(value.dtype))
    if value.shape is not None:
        tensor.message(2, _shape(value.shape))
    type = Message()
    type.message(1, tensor)
    written = Message()
    written.text(1, _name(value))
    written.message(2, type)
    return written


def _shape(sizes: Iterable[int | str]) -> Message:
    written = Message()
    for size in sizes:
        each = Message()
        if isinstance(size, str):
            each.text(2, size)
        else:
            each.integer(1, size)
        written.message(1, each)
    return written


def _opsets(written: Message, field: int, opsets: Mapping[str, int]) -> None:
    for domain, version in opsets.items():
        each = Message()
        each.text(1, domain)
        each.integer(2, version)
        written.message(field, each)


def _properties(written: Message, field: int, properties: Mapping[str, str]) -> None:
    for key, value in properties.items():
        each = Message()
        each.text(1, key)
        each.text(2, value)
        written.message(field, each)


def _name(value: Value) -> str:
    if value.name is None:
        raise TypeError("a value without a name is written")
    return value.name


def _varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first; a negative number in 64 bits."""
    if 0 <= value < 0x80:
        return _SHORT[value]
    value &= 0xFFFF_FFFF_FFFF_FFFF
    data = bytearray()
    while value > 0x7F:
        data.append(value & 0x7F | 0x80)
        value >>= 7
    data.append(value)
    return bytes(data)


_SHORT = [bytes((value,)) for value in range(0x80)]
