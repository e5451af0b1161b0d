"""An ONNX model as text: what `dlc compile --to onnx-text` writes. Large tensors are told by their types alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx

_MOST_VALUES = 8


def dump(model: onnx.ModelProto) -> str:
    """Versions and metadata, then the graph: inputs, initialisers, a node a line, outputs."""
    lines = [f"ir_version {model.ir_version}"]
    lines += [f"opset {entry.domain or 'ai.onnx'} {entry.version}" for entry in model.opset_import]
    lines += [f"{entry.key}: {entry.value}" for entry in model.metadata_props]
    return "\n".join([*lines, "", *_graph(model.graph)]) + "\n"


def _graph(graph: onnx.GraphProto) -> Iterator[str]:
    types = {info.name: _type(info) for info in (*graph.input, *graph.value_info, *graph.output)}
    yield f"graph {graph.name}"
    for info in graph.input:
        yield f"  input {info.name}: {types[info.name]}"
    for tensor in graph.initializer:
        yield f"  initializer {tensor.name}: {_tensor(tensor)}"
    for node in graph.node:
        yield from (f"  {line}" for line in _node(node, types))
    for info in graph.output:
        yield f"  output {info.name}: {types[info.name]}"


def _node(node: onnx.NodeProto, types: dict[str, str]) -> Iterator[str]:
    results = ", ".join(f"{name}: {types[name]}" if types.get(name) else name or "_" for name in node.output)
    kind = f"{node.domain}.{node.op_type}" if node.domain else node.op_type
    given = [name or "_" for name in node.input]
    given += [
        f"{attribute.name}={_attribute(attribute)}" for attribute in node.attribute if not attribute.HasField("g")
    ]
    yield f"{results} = {kind}({', '.join(given)})"
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield f"  {attribute.name}:"
            yield from (f"    {line}" for line in _graph(attribute.g))


def _attribute(attribute: onnx.AttributeProto) -> str:
    from onnx.helper import get_attribute_value

    value = get_attribute_value(attribute)
    if attribute.HasField("t"):
        return _tensor(attribute.t)
    if isinstance(value, bytes):
        return json.dumps(value.decode(errors="replace"))
    if isinstance(value, float):
        return f"{value:.7g}"
    return str([item.decode() if isinstance(item, bytes) else item for item in value] if _many(value) else value)


def _many(value: object) -> bool:
    return hasattr(value, "__iter__") and not isinstance(value, str)


def _type(info: onnx.ValueInfoProto) -> str:
    """The element type and shape, `?` for a size without name or number; empty where nothing is said."""
    tensor = info.type.tensor_type
    if not tensor.elem_type:
        return ""
    if not tensor.HasField("shape"):
        return _element(tensor.elem_type)
    sizes = [
        size.dim_param or (str(size.dim_value) if size.HasField("dim_value") else "?") for size in tensor.shape.dim
    ]
    return f"{_element(tensor.elem_type)}[{', '.join(sizes)}]"


def _tensor(tensor: onnx.TensorProto) -> str:
    from math import prod

    from onnx.numpy_helper import to_array

    type = f"{_element(tensor.data_type)}[{', '.join(map(str, tensor.dims))}]"
    if prod(tensor.dims) > _MOST_VALUES:
        return type
    values = to_array(tensor).ravel().tolist()
    return f"{type} = {', '.join(f'{value:.7g}' if isinstance(value, float) else str(value) for value in values)}"


def _element(type: int) -> str:
    from onnx import TensorProto

    return TensorProto.DataType.Name(type).lower()
