"""Batch norms that follow a convolution become part of its weights, as they are when nothing is updated."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dlc.compiler.onnx.model import Model, Node, Tensor, Value
from dlc.compiler.onnx.rewriting import Rewriting, uses

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]


def fold_batch_norms(model: Model) -> Model:
    """The same function without those batch norms that alone read what a convolution with stored weights gives.

    Casts, and the numbers of quantised tensors, would stand between the two and keep onnxruntime from doing it.
    """
    rewriting = Rewriting(model)
    counts = uses(model.graph)
    nodes: list[Node] = []
    for node in model.graph.nodes:
        conv = node.inputs[0].node if node.op_type == "BatchNormalization" and node.inputs[0] is not None else None
        if conv is not None and _folds(conv, node) and counts[conv.outputs[0]] == 1:
            _fold(rewriting, conv, node)
        else:
            nodes.append(node)
    return rewriting.finish(nodes)


def _folds(conv: Node, norm: Node) -> bool:
    parameters = [*conv.inputs[1:], *norm.inputs[1:]]
    stored = all(value is None or value.tensor is not None for value in parameters)
    return conv.op_type == "Conv" and not conv.domain and stored


def _fold(rewriting: Rewriting, conv: Node, norm: Node) -> None:
    weight, bias = conv.inputs[1], conv.inputs[2] if len(conv.inputs) > 2 else None
    scale, offset, mean, variance = (_tensor(value) for value in norm.inputs[1:5])
    epsilon = float(norm.attributes["epsilon"].value)
    filters = _tensor(weight)
    before = None if bias is None else _tensor(bias)
    assert weight is not None

    def factor() -> Array:
        import numpy as np

        return scale.load() / np.sqrt(variance.load() + np.float32(epsilon))

    def weights() -> Array:
        return filters.load() * factor().reshape(-1, *[1] * (len(filters.shape) - 1))

    def offsets() -> Array:
        start = -mean.load() if before is None else before.load() - mean.load()
        return start * factor() + offset.load()

    conv.inputs = [
        conv.inputs[0],
        rewriting.stored(f"{weight.name}/folded", filters.dtype, filters.shape, weights),
        rewriting.stored(f"{norm.name}/folded", offset.dtype, offset.shape, offsets),
    ]
    conv.outputs = norm.outputs[:1]
    conv.outputs[0].node = conv


def _tensor(value: Value | None) -> Tensor:
    assert value is not None
    assert value.tensor is not None
    return value.tensor
