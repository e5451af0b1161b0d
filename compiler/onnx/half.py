"""A built model in half precision: `float` becomes float16 or bfloat16, except where that would not do.

What is kept in single precision is what PyTorch's autocast keeps there (sums, norms, exponentials, powers), what the
standard has in no other, what has a constant that the smaller type cannot hold, and what is computed from integers:
sizes and positions, which are not exact beyond 2,048 in float16. Inputs and outputs of the model stay as they are
declared; casts stand at these borders, and at each no more than one in each direction. What loops carry from turn to
turn, and what the branches of a choice give, is in half precision.
Source: https://docs.pytorch.org/docs/stable/amp.html (ops that autocast to float32).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dlc.compiler.onnx.elements import from_onnx, numpy_type, onnx_type
from dlc.compiler.onnx.folding import fold_batch_norms
from dlc.compiler.onnx.model import Attribute, AttributeType, Graph, Model, Node, Tensor, Value
from dlc.compiler.onnx.rewriting import Rewriting, complete_types
from dlc.compiler.types import DType

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]


def _kinds(text: str) -> frozenset[str]:
    return frozenset(text.split())


AUTOCAST = _kinds(
    """
    BatchNormalization CumSum Exp GroupNormalization InstanceNormalization LayerNormalization Log LogSoftmax
    LpNormalization MeanVarianceNormalization Pow RMSNormalization Reciprocal ReduceL1 ReduceL2 ReduceLogSum
    ReduceLogSumExp ReduceMean ReduceProd ReduceSum ReduceSumSquare Softmax Softplus Sqrt
    """
)
"""What is computed in single precision though the standard has it in half."""

SINGLE_ONLY = _kinds(
    """
    AffineGrid Bernoulli BlackmanWindow Celu Col2Im ConcatFromSequence DFT DeformConv Det DynamicQuantizeLinear
    EyeLike GRU GridSample HammingWindow HannWindow ImageDecoder MaxRoiPool MaxUnpool MelWeightMatrix Multinomial
    LSTM NonMaxSuppression Optional OptionalGetElement OptionalHasElement QLinearConv QLinearMatMul DequantizeLinear
    QuantizeLinear RNN RandomNormal RandomNormalLike RandomUniform RandomUniformLike Range Resize RoiAlign STFT
    SequenceAt SequenceConstruct SequenceEmpty SequenceErase SequenceInsert SequenceMap SplitToSequence
    TfIdfVectorizer Upsample
    """
)
"""What the standard, or onnxruntime, has in single precision alone, in whole or for one of the inputs."""

_MOVING = _kinds(
    """
    CenterCropPad Compress Concat DepthToSpace Expand Flatten Gather GatherElements GatherND Identity Pad Reshape
    ReverseSequence ScatterElements ScatterND Slice SpaceToDepth Split Squeeze Tile Transpose Trilu Unsqueeze
    """
)
_ELEMENTWISE = _kinds(
    """
    Abs Add Ceil Clip Cos Div Equal Erf Floor Greater GreaterOrEqual Less LessOrEqual Max Min Mod Mul Neg Round Sign
    Sin Sub Tanh Where
    """
)
_BOUNDED = frozenset({"Cos", "Erf", "Sign", "Sin", "Tanh"})
_ASKING = _kinds("ArgMax ArgMin Cast IsInf IsNaN NonZero Shape Size TopK")


@dataclass(frozen=True, slots=True)
class _Range:
    """The smallest number that the type has at full precision, and the largest."""

    smallest: float
    largest: float

    def holds(self, array: Array) -> bool:
        import numpy as np

        magnitudes = np.abs(array[np.isfinite(array) & (array != 0)])
        return bool(magnitudes.size == 0 or magnitudes.max() <= self.largest)

    def holds_all(self, array: Array) -> bool:
        """Whether none becomes infinite, and none so small that it loses digits."""
        import numpy as np

        magnitudes = np.abs(array[np.isfinite(array) & (array != 0)])
        return self.holds(array) and bool(magnitudes.size == 0 or magnitudes.min() >= self.smallest)


_RANGES = {
    DType.FLOAT16: _Range(2.0**-14, 65504.0),
    DType.BFLOAT16: _Range(2.0**-126, 255 * 2.0**120),
}


def half_precision(model: Model, half: DType) -> Model:
    """The model in float16 or bfloat16. The model that is given is used up."""
    complete_types(model.graph)
    folded = fold_batch_norms(model)
    return _Halving(Rewriting(folded), half).run()


class _Halving:
    """Each value of the type `float` has a form in one precision, or in both, by a cast that is made when needed."""

    def __init__(self, rewriting: Rewriting, half: DType) -> None:
        self._rewriting = rewriting
        self._half = half
        self._range = _RANGES[half]
        self._forms: dict[Value, dict[DType, Value]] = {}
        self._homes: dict[Value, list[Node]] = {}
        self._exact: set[Value] = set()
        self._fits: dict[Value, bool] = {}
        self._top: list[Node] = []

    def run(self) -> Model:
        graph = self._rewriting.graph
        for value in (*graph.inputs, *graph.initializers):
            if value.dtype is DType.FLOAT:
                self._known(value, value, self._top)
        outputs = set(graph.outputs)
        for node in graph.nodes:
            self._node(node, self._top, outputs)
        return self._rewriting.finish(self._top)

    # --- forms ---

    def _known(self, value: Value, form: Value, home: list[Node]) -> None:
        assert form.dtype is not None
        self._forms.setdefault(value, {})[form.dtype] = form
        self._homes[value] = home

    def _as(self, value: Value, dtype: DType, like: Node) -> Value:
        """The value in that precision, cast where it was made if it is not there yet."""
        forms = self._forms[value]
        if dtype not in forms:
            (given,) = forms.values()
            base = f"{value.name}/{dtype.value}"
            if value.tensor is not None:
                forms[dtype] = self._converted(value.tensor, base, dtype)
            else:
                made = self._rewriting.value(base, dtype, given.shape)
                origin = given.node or like
                cast = self._rewriting.node("Cast", [given], [made], origin, to=dtype)
                self._homes[value].append(cast)
                forms[dtype] = made
        return forms[dtype]

    def _converted(self, tensor: Tensor, base: str, dtype: DType) -> Value:
        type = numpy_type(dtype)
        return self._rewriting.stored(base, dtype, tensor.shape, lambda: tensor.load().astype(type))

    # --- nodes ---

    def _node(self, node: Node, home: list[Node], outputs: set[Value]) -> None:
        if node.graphs:
            self._control(node, home, outputs)
            return
        floats = [value for value in node.inputs if value is not None and value in self._forms]
        single = self._stays(node, floats)
        precision = DType.FLOAT if single else self._half
        exact = self._is_exact(node, floats)
        node.inputs = self._read(node, precision)
        if not single:
            self._retyped(node)
        home.append(node)
        for place, output in enumerate(node.outputs):
            if output.dtype is DType.FLOAT:
                self._made(node, place, precision, home, outputs)
                if exact:
                    self._exact.add(output)

    def _read(self, node: Node, precision: DType) -> list[Value | None]:
        return [
            self._as(value, precision, node) if value is not None and value in self._forms else value
            for value in node.inputs
        ]

    def _made(self, node: Node, place: int, precision: DType, home: list[Node], outputs: set[Value]) -> None:
        """Takes note of a result. One that is an output of the model is cast to what it is declared as."""
        output = node.outputs[place]
        if precision is not DType.FLOAT and output in outputs:
            form = self._rewriting.value(f"{output.name}/{precision.value}", precision, output.shape)
            form.node = node
            node.outputs[place] = form
            self._known(output, form, home)
            home.append(self._rewriting.node("Cast", [form], [output], node, to=DType.FLOAT))
            self._known(output, output, home)
            return
        self._forms[output] = {precision: output}
        self._homes[output] = home
        output.dtype = precision

    def _retyped(self, node: Node) -> None:
        """Attributes that name or hold the element type."""
        for name, attribute in node.attributes.items():
            if name in ("to", "dtype") and from_onnx(attribute.value) is DType.FLOAT:
                node.attributes[name] = Attribute(AttributeType.INT, onnx_type(self._half))
            if attribute.type is AttributeType.TENSOR and attribute.value.dtype is DType.FLOAT:
                array = attribute.value.load().astype(numpy_type(self._half))
                node.attributes[name] = Attribute(AttributeType.TENSOR, Tensor.of(array, self._half))
        if node.op_type == "Attention":
            node.attributes["softmax_precision"] = Attribute(AttributeType.INT, onnx_type(DType.FLOAT))

    def _control(self, node: Node, home: list[Node], outputs: set[Value]) -> None:
        """A loop or a choice: what crosses its border is in half precision."""
        node.inputs = self._read(node, self._half)
        (halved, *_) = [self._inner(graph, node) for graph in node.graphs]
        if node.op_type == "Loop":  # whose first result says whether to go on
            halved = halved[1:]
        home.append(node)
        for place, is_float in enumerate(halved):
            if is_float:
                self._made(node, place, self._half, home, outputs)

    def _inner(self, graph: Graph, node: Node) -> list[bool]:
        """Rewrites a graph within a node. Gives which of its results are of the type `float`."""
        nodes: list[Node] = []
        for value in graph.inputs:
            if value.dtype is DType.FLOAT:
                value.dtype = self._half
                self._known(value, value, nodes)
        for each in graph.nodes:
            self._node(each, nodes, set())
        floats = [value in self._forms for value in graph.outputs]
        graph.outputs = [
            self._as(value, self._half, node) if is_float else value
            for value, is_float in zip(graph.outputs, floats, strict=True)
        ]
        graph.nodes = nodes
        return floats

    # --- what stays in single precision ---

    def _stays(self, node: Node, floats: list[Value]) -> bool:
        kind = node.op_type
        if node.domain or kind in AUTOCAST or kind in SINGLE_ONLY or "reduction" in node.attributes:
            return True
        if kind == "Cast" and node.inputs[0] is not None and node.inputs[0].dtype is not DType.BOOL:
            return True
        if any(value.tensor is not None and not self._fitting(value) for value in floats):
            return True
        if kind in _MOVING | _ELEMENTWISE and any(value in self._exact for value in floats):
            return True
        computed = [value for value in floats if value.tensor is None]
        indifferent = kind in _MOVING | _ELEMENTWISE | _ASKING
        return indifferent and bool(computed) and all(self._half not in self._forms[value] for value in computed)

    def _fitting(self, value: Value) -> bool:
        """Whether the smaller type holds the numbers of an initialiser: each number of a constant, and all of a weight
        that are not small."""
        if value not in self._fits:
            assert value.tensor is not None
            array = value.tensor.load()
            self._fits[value] = self._range.holds_all(array) if array.size == 1 else self._range.holds(array)
        return self._fits[value]

    def _is_exact(self, node: Node, floats: list[Value]) -> bool:
        """Whether a result is computed from integers alone, such as a size or a position."""
        kind = node.op_type
        if kind == "Cast":
            given = node.inputs[0]
            return given is not None and (given.dtype in (DType.INT, DType.INT32) or given in self._exact)
        if kind == "Range":
            return True
        if kind not in _MOVING | _ELEMENTWISE or kind in _BOUNDED or kind == "Where":
            return False
        computed = [value for value in floats if value.tensor is None]
        return bool(computed) and all(value in self._exact for value in computed)
