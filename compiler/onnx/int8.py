"""A built model with 8-bit weights: products with stored matrices in integers, lookups in tables of integers.

Weights become int8, symmetric, with a scale for each output feature. What they are multiplied with becomes uint8, by
its own range: dynamically by that of the very tensor, found when the model runs; statically by the range that a
calibration has seen, which also makes convolutions integer ones. Everything else stays in single precision.
Source of the scheme: Jacob et al., Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only
Inference, 2018. The nodes are those that onnxruntime joins into its integer kernels; but for the LSTM's, all are the
standard's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dlc.compiler.onnx.eight_bits import levels, quantised, scales
from dlc.compiler.onnx.errors import NothingQuantised
from dlc.compiler.onnx.folding import fold_batch_norms
from dlc.compiler.onnx.metadata import EXAMPLES
from dlc.compiler.onnx.model import Model, Node, Tensor, Value
from dlc.compiler.onnx.quantisable import ProductWeight, activations, is_stored, is_table, lstm_weights, product_weight
from dlc.compiler.onnx.rewriting import Rewriting, complete_types, every_node
from dlc.compiler.types import DType
from dlc.grammar.diagnostics import Refusal

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

_OF_ALL = {"DynamicQuantizeLinear", "DynamicQuantizeLSTM"}  # one range, of all examples of a batch
Ranges = Mapping[str, tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Quantised:
    """A weight as int8, and its scales, one for each index of an axis."""

    numbers: Value
    scales: Value


def int8(model: Model, ranges: Ranges | None = None) -> Model:
    """The model in 8-bit integers, as far as there are stored weights. The model that is given is used up.

    ranges: the least and the greatest number of activations by their names, as a calibration has seen them; without
    them, and where one is missing, ranges are found when the model runs. Raises Refusal where nothing can be lowered.
    """
    complete_types(model.graph)
    quantising = _Quantising(Rewriting(fold_batch_norms(model)), ranges)
    lowered = quantising.run()
    if not quantising.found:
        raise Refusal(NothingQuantised(f"{model.graph.name} has nothing that is computed in 8-bit integers", None))
    if any(node.op_type in _OF_ALL for node in every_node(lowered.graph)):
        lowered.metadata.pop(EXAMPLES, None)
    return lowered


class _Quantising:
    """found: whether there was anything to lower."""

    def __init__(self, rewriting: Rewriting, ranges: Ranges | None) -> None:
        self.found = False
        self._new = rewriting
        self._ranges = ranges or {}
        self._static = ranges is not None
        self._weights: dict[tuple[Value, int], Quantised] = {}
        self._rounded: dict[Value, Value] = {}
        self._dynamic: dict[tuple[Value, int], tuple[Value, Value, Value]] = {}

    def run(self) -> Model:
        graph = self._new.graph
        nodes: list[Node] = []
        wanted = set(activations(graph)) if self._static else set[Value]()
        for value in graph.inputs:
            self._round(value, wanted, nodes, None)
        for node in graph.nodes:
            self._node(node, nodes)
            for output in node.outputs:
                self._round(output, wanted, nodes, node)
        return self._new.finish(nodes)

    def _node(self, node: Node, nodes: list[Node]) -> None:
        for graph in node.graphs:
            inner: list[Node] = []
            for each in graph.nodes:
                self._node(each, inner)
            graph.nodes = inner
        original = list(node.inputs)
        node.inputs = [self._rounded.get(value, value) if value is not None else None for value in node.inputs]
        match node.op_type:
            case "MatMul" | "Gemm" if (weight := product_weight(node)) is not None:
                rounded = original[0] in self._rounded
                self._product(node, weight, nodes, static=rounded)
            case "Conv" if original[0] in self._rounded and is_stored(node.inputs[1]):
                self._conv(node, nodes)
            case "Gather" if is_table(node):
                self._lookup(node, nodes)
            case "LSTM" if (parts := lstm_weights(node)) is not None:
                self._lstm(node, parts, nodes)
            case _:
                nodes.append(node)
                return
        self.found = True

    # --- weights ---

    def _weight(self, value: Value, axis: int) -> Quantised:
        """The weight in int8, with a scale for each index of an axis; one however often it is read."""
        if (value, axis) not in self._weights:
            assert value.tensor is not None
            tensor, new = value.tensor, self._new
            steps = new.stored(
                f"{value.name}/scale", DType.FLOAT, (tensor.shape[axis],), lambda: scales(tensor.load(), axis)
            )
            numbers = new.stored(f"{value.name}/int8", DType.INT8, tensor.shape, lambda: quantised(tensor.load(), axis))
            self._weights[value, axis] = Quantised(numbers, steps)
        return self._weights[value, axis]

    def _turned(self, weight: ProductWeight, value: Value, node: Node, nodes: list[Node]) -> Value:
        """The int8 matrix with the summed axis first."""
        if weight.axis == 1:
            return value
        turned = self._new.value(f"{value.name}/turned", DType.INT8, (value.shape or ())[::-1])
        nodes.append(self._new.node("Transpose", [value], [turned], node, perm=[1, 0]))
        return turned

    # --- products ---

    def _product(self, node: Node, weight: ProductWeight, nodes: list[Node], *, static: bool) -> None:
        """x @ w + b, where b is added in single precision."""
        bias = node.inputs[2] if len(node.inputs) > 2 else None
        (output,) = node.outputs
        result = output if bias is None else self._new.value(f"{node.name}/product", DType.FLOAT, output.shape)
        if static:
            self._static_product(node, weight, result, nodes)
        else:
            self._dynamic_product(node, weight, result, nodes)
        if bias is not None:
            nodes.append(self._new.node("Add", [result, bias], [output], node))

    def _dynamic_product(self, node: Node, weight: ProductWeight, result: Value, nodes: list[Node]) -> None:
        x = node.inputs[0]
        assert x is not None
        made = self._weight(weight.stored, weight.axis)
        numbers = self._turned(weight, made.numbers, node, nodes)
        given, scale, zero = self._dynamically(x, node, nodes)
        new, base = self._new, node.name
        summed = new.value(f"{base}/integers", DType.INT32, result.shape)
        floats = new.value(f"{base}/floats", DType.FLOAT, result.shape)
        factor = new.value(f"{base}/factor", DType.FLOAT, made.scales.shape)
        nodes += [
            new.node("MatMulInteger", [given, numbers, zero], [summed], node),
            new.node("Cast", [summed], [floats], node, to=DType.FLOAT),
            new.node("Mul", [scale, made.scales], [factor], node),
            new.node("Mul", [floats, factor], [result], node),
        ]

    def _dynamically(self, x: Value, node: Node, nodes: list[Node]) -> tuple[Value, Value, Value]:
        """The tensor in uint8, its scale and its zero, found when the model runs; once in a list of nodes."""
        key = x, id(nodes)
        if key not in self._dynamic:
            new = self._new
            parts = (
                new.value(f"{x.name}/uint8", DType.UINT8, x.shape),
                new.value(f"{x.name}/scale", DType.FLOAT, ()),
                new.value(f"{x.name}/zero", DType.UINT8, ()),
            )
            nodes.append(new.node("DynamicQuantizeLinear", [x], parts, node))
            self._dynamic[key] = parts
        return self._dynamic[key]

    def _static_product(self, node: Node, weight: ProductWeight, result: Value, nodes: list[Node]) -> None:
        made = self._weight(weight.stored, weight.axis)
        numbers = self._turned(weight, made.numbers, node, nodes)
        matrix = self._restored(numbers, made.scales, 1, node, nodes)
        nodes.append(self._new.node("MatMul", [node.inputs[0], matrix], [result], node))

    def _restored(self, numbers: Value, scales: Value, axis: int, node: Node, nodes: list[Node]) -> Value:
        """The numbers of a weight as floats again: onnxruntime takes the integers where a kernel has them."""
        new = self._new
        zeros = new.constant([0] * int((scales.shape or (0,))[0]), numbers.dtype or DType.INT8)
        floats = new.value(f"{numbers.name}/restored", DType.FLOAT, numbers.shape)
        nodes.append(new.node("DequantizeLinear", [numbers, scales, zeros], [floats], node, axis=axis))
        return floats

    # --- convolutions ---

    def _conv(self, node: Node, nodes: list[Node]) -> None:
        x, weight, *rest = node.inputs
        assert x is not None
        assert weight is not None
        made = self._weight(weight, 0)
        filters = self._restored(made.numbers, made.scales, 0, node, nodes)
        bias = rest[0] if rest else None
        if bias is not None and bias.tensor is not None:
            bias = self._bias(bias.tensor, str(bias.name), weight.tensor, self._step(node), node, nodes)
        node.inputs = [x, filters, bias]
        nodes.append(node)

    def _step(self, node: Node) -> float:
        """The scale of a convolution's input."""
        restored = node.inputs[0]
        assert restored is not None
        assert restored.node is not None
        scale = restored.node.inputs[1]
        assert scale is not None
        assert scale.tensor is not None
        return float(scale.tensor.load())

    def _bias(
        self, bias: Tensor, name: str, weight: Tensor | None, step: float, node: Node, nodes: list[Node]
    ) -> Value:
        """A bias in the units of the sums that it is added to, as the integer kernel takes it."""
        assert weight is not None

        def unit() -> Array:
            return scales(weight.load(), 0) * step

        def numbers() -> Array:
            import numpy as np

            limits = np.iinfo(np.int32)
            return np.clip(np.rint(bias.load().astype(np.float64) / unit()), limits.min, limits.max).astype(np.int32)

        stored = self._new.stored(f"{name}/int32", DType.INT32, bias.shape, numbers)
        units = self._new.stored(f"{name}/scale", DType.FLOAT, bias.shape, unit)
        return self._restored(stored, units, 0, node, nodes)

    # --- activations ---

    def _round(self, value: Value, wanted: set[Value], nodes: list[Node], made: Node | None) -> None:
        """What a calibrated activation becomes for all that read it: itself, rounded to 256 levels."""
        if value not in wanted or value.name is None or value.name not in self._ranges:
            return
        scale, zero = levels(*self._ranges[value.name])
        new = self._new
        like = made or Node("", "Identity", [], {}, [])
        scale_of = new.constant(scale, DType.FLOAT)
        zero_of = new.constant(zero, DType.UINT8)
        integers = new.value(f"{value.name}/uint8", DType.UINT8, value.shape)
        rounded = new.value(f"{value.name}/rounded", DType.FLOAT, value.shape)
        nodes += [
            new.node("QuantizeLinear", [value, scale_of, zero_of], [integers], like),
            new.node("DequantizeLinear", [integers, scale_of, zero_of], [rounded], like),
        ]
        self._rounded[value] = rounded

    # --- tables and LSTMs ---

    def _lookup(self, node: Node, nodes: list[Node]) -> None:
        """Rows of a table: those of the integers, times their scales."""
        table, rows = node.inputs
        assert table is not None
        made = self._weight(table, 0)
        (output,) = node.outputs
        new, base, shape = self._new, node.name, output.shape
        found = new.value(f"{base}/integers", DType.INT8, shape)
        floats = new.value(f"{base}/floats", DType.FLOAT, shape)
        scale = new.value(f"{base}/scales", DType.FLOAT, None if shape is None else shape[:-1])
        column = new.value(f"{base}/column", DType.FLOAT, None if shape is None else (*shape[:-1], 1))
        nodes += [
            new.node("Gather", [made.numbers, rows], [found], node, axis=0),
            new.node("Cast", [found], [floats], node, to=DType.FLOAT),
            new.node("Gather", [made.scales, rows], [scale], node, axis=0),
            new.node("Unsqueeze", [scale, new.constant([-1], DType.INT)], [column], node),
            new.node("Mul", [floats, column], [output], node),
        ]

    def _lstm(self, node: Node, parts: tuple[Tensor, Tensor], nodes: list[Node]) -> None:
        """onnxruntime's own LSTM, whose weights are those of the standard's with the last two axes exchanged."""
        new = self._new
        given = [*node.inputs, *[None] * (8 - len(node.inputs))]
        stored: list[Value] = []
        for tensor, name in zip(parts, ("input", "state"), strict=True):
            base, (directions, rows, columns) = f"{node.name}/{name}", tensor.shape

            def numbers(tensor: Tensor = tensor) -> Array:
                return _each_direction(tensor, quantised).transpose(0, 2, 1)

            def steps(tensor: Tensor = tensor) -> Array:
                return _each_direction(tensor, scales)

            stored += [
                new.stored(f"{base}/int8", DType.INT8, (directions, columns, rows), numbers),
                new.stored(f"{base}/scale", DType.FLOAT, (directions, rows), steps),
                new.constant([[0] * rows] * directions, DType.INT8),
            ]
        weight, weight_scale, weight_zero, state, state_scale, state_zero = stored
        inputs = [given[0], weight, state, *given[3:8], weight_scale, weight_zero, state_scale, state_zero]
        made = new.node("DynamicQuantizeLSTM", inputs, node.outputs, node, domain="com.microsoft")
        made.attributes = {name: value for name, value in node.attributes.items() if name != "layout"}
        nodes.append(made)


def _each_direction(tensor: Tensor, of: Callable[[Array, int], Array]) -> Array:
    """What is computed of the weights of each direction of an LSTM, whose features lie along the first axis."""
    import numpy as np

    return np.stack([of(array, 0) for array in tensor.load()])
