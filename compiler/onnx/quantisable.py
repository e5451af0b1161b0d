"""What of a model can be computed in integers: products with stored matrices, convolutions, tables, LSTMs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dlc.compiler.onnx.folding import fold_batch_norms
from dlc.compiler.onnx.metadata import EXAMPLES
from dlc.compiler.onnx.model import Graph, Model, Node, Tensor, Value
from dlc.compiler.onnx.rewriting import Rewriting, complete_types, uses
from dlc.compiler.types import DType

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

LEAST, GREATEST = "least", "greatest"
_NARROWEST = 8  # the numbers in a row of a table, from which on a scale for each is worth it


@dataclass(frozen=True, slots=True)
class ProductWeight:
    """The stored matrix of a product. axis: the one along which the output features lie; the other is summed over."""

    stored: Value
    axis: int


def product_weight(node: Node) -> ProductWeight | None:
    """The matrix that a `MatMul` or `Gemm` multiplies its first input with, where it is stored."""
    if node.domain or node.op_type not in ("MatMul", "Gemm"):
        return None
    numbers = {name: attribute.value for name, attribute in node.attributes.items()}
    if numbers.get("transA", 0) or numbers.get("alpha", 1) != 1 or numbers.get("beta", 1) != 1:
        return None
    x, matrix = node.inputs[:2]
    if x is None or matrix is None or x.tensor is not None or x.dtype is not DType.FLOAT:
        return None
    turned = bool(numbers.get("transB", 0))
    while matrix.node is not None and matrix.node.op_type == "Transpose" and len(matrix.shape or (0, 0)) == 2:
        turned = not turned
        (given,) = matrix.node.inputs
        assert given is not None
        matrix = given
    if not is_stored(matrix) or matrix.tensor is None or len(matrix.tensor.shape) != 2:
        return None
    return ProductWeight(matrix, 0 if turned else 1)


def is_stored(value: Value | None) -> bool:
    """Whether it is an initialiser of the type `float` that has numbers at all."""
    return value is not None and value.tensor is not None and value.dtype is DType.FLOAT and value.tensor.nbytes > 0


def is_table(node: Node) -> bool:
    """Whether a `Gather` looks up rows of a stored matrix."""
    table, axis = node.inputs[0], node.attributes.get("axis")
    if not is_stored(table) or table is None or table.tensor is None:
        return False
    shape = table.tensor.shape
    return len(shape) == 2 and shape[1] >= _NARROWEST and (axis is None or axis.value == 0)


def lstm_weights(node: Node) -> tuple[Tensor, Tensor] | None:
    """An LSTM's weights for its inputs and for its states, [directions, 4*width, features], where they are stored."""
    layout = node.attributes.get("layout")
    if node.domain or node.inputs[0] is None or node.inputs[0].dtype is not DType.FLOAT:
        return None
    of_inputs, of_states = _folded(node.inputs[1]), _folded(node.inputs[2])
    if of_inputs is None or of_states is None or (layout is not None and layout.value):
        return None
    return of_inputs, of_states


def activations(graph: Graph) -> list[Value]:
    """What becomes integers in a calibrated model: what is multiplied, and what convolutions and their sums give.

    Where a `Relu` alone reads a result, its own result takes that one's place: the integer kernels have it in them.
    """
    counts = uses(graph)
    readers: dict[Value, Node] = {value: node for node in graph.nodes for value in node.inputs if value is not None}
    found: dict[Value, None] = {}
    for node in graph.nodes:
        x = node.inputs[0] if node.inputs else None
        if x is not None and (product_weight(node) is not None or (_is_conv(node) and x.tensor is None)):
            found[x] = None
        sums = node.op_type == "Add" and all(value in found for value in node.inputs)
        if _is_conv(node) or sums:
            (output,) = node.outputs
            reader = readers.get(output)
            rectified = counts[output] == 1 and reader is not None and reader.op_type == "Relu"
            found[reader.outputs[0] if rectified and reader is not None else output] = None
    outputs = set(graph.outputs)
    return [value for value in found if value not in outputs]


def observed(model: Model) -> tuple[Model, list[str]]:
    """The model in single precision with the least and the greatest number of each of its activations as outputs.

    With them come the activations' names; the outputs are called `NAME/least` and `NAME/greatest`. The model that is
    given is used up.
    """
    complete_types(model.graph)
    rewriting = Rewriting(fold_batch_norms(model))
    graph = rewriting.graph
    values = activations(graph)
    nodes, outputs = list(graph.nodes), list(graph.outputs)
    for value in values:
        like = value.node or Node("", "Identity", [], {}, [])
        for kind, name in (("ReduceMin", LEAST), ("ReduceMax", GREATEST)):
            made = rewriting.value(f"{value.name}/{name}", DType.FLOAT, ())
            nodes.append(rewriting.node(kind, [value], [made], like, keepdims=0))
            outputs.append(made)
    graph.outputs = outputs
    model.metadata.pop(EXAMPLES, None)  # what lies between the least and the greatest is of all examples
    return rewriting.finish(nodes), [str(value.name) for value in values]


def _is_conv(node: Node) -> bool:
    return node.op_type == "Conv" and not node.domain and is_stored(node.inputs[1])


# --- constants --------------------------------------------------------------------------------------------------


def _folded(value: Value | None) -> Tensor | None:
    """The numbers of a value that is made of stored ones by moving them, computed when they are asked for."""
    if value is None or not all(each.tensor is not None for each in _origins(value)):
        return None
    shape = _evaluated(value).shape
    return Tensor(DType.FLOAT, shape, lambda: _evaluated(value))


def _origins(value: Value) -> Iterator[Value]:
    """What a value is made of, as far as it can be followed."""
    node = value.node
    if value.tensor is not None or node is None or node.domain or node.op_type not in _MOVING:
        yield value
        return
    for each in node.inputs:
        if each is not None:
            yield from _origins(each)


def _evaluated(value: Value) -> Array:
    if value.tensor is not None:
        return value.tensor.load()
    node = value.node
    assert node is not None
    given = [_evaluated(each) for each in node.inputs if each is not None]
    numbers = {name: attribute.value for name, attribute in node.attributes.items()}
    return _MOVING[node.op_type](given, numbers, node.outputs.index(value))


def _split(given: list[Array], attributes: dict[str, Any], part: int) -> Array:
    import numpy as np

    axis = attributes.get("axis", 0)
    if len(given) > 1:
        return np.split(given[0], np.cumsum(given[1])[:-1], axis)[part]
    return np.split(given[0], attributes["num_outputs"], axis)[part]


def _concat(given: list[Array], attributes: dict[str, Any], part: int) -> Array:
    import numpy as np

    return np.concatenate(given, attributes["axis"])


def _unsqueeze(given: list[Array], attributes: dict[str, Any], part: int) -> Array:
    import numpy as np

    return np.expand_dims(given[0], tuple(map(int, given[1])))


def _transpose(given: list[Array], attributes: dict[str, Any], part: int) -> Array:
    return given[0].transpose(attributes.get("perm"))


_MOVING = {"Split": _split, "Concat": _concat, "Unsqueeze": _unsqueeze, "Transpose": _transpose}
