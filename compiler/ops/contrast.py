"""Similarity of vectors, and losses that pull like ones together and push others apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dlc.compiler.dim import Dim
from dlc.compiler.flow.reading import Flow, batched, flow, mixed, taken
from dlc.compiler.kept import Casting, Kept, Tape
from dlc.compiler.op import Example, Int, Op, PositiveFloat
from dlc.compiler.ops.losses import Reduction, reduce, reduced, require_target, unless_mean
from dlc.compiler.torch.context import Code, TorchContext
from dlc.compiler.types import DType, Tensor, product, require_axes, require_float, require_rank, resolve_axis

if TYPE_CHECKING:
    from dlc.compiler.onnx.context import OnnxContext, OnnxValue


class Normalize(Op):
    """Vectors along `axis` divided by their length, so that it is 1; zeros stay zeros."""

    axis: Int = -1
    examples = (Example("N D", gives="N D"), Example("N C H W", axis=1, gives="N C H W"))
    casting = Casting.FULL

    def infer(self, x: Tensor) -> Tensor:
        require_float("x", x)
        resolve_axis(self.axis, x.rank)
        return x

    def flow(self, to: tuple[Tensor, ...], x: Tensor) -> Flow:
        return mixed(x, to[0], [resolve_axis(self.axis, x.rank)])

    def keeps(self, tape: Tape, to: tuple[Tensor, ...], x: Tensor) -> Kept:
        axis = resolve_axis(self.axis, x.rank)
        lengths = Tensor(x.dtype, (*x.shape[:axis], *x.shape[axis + 1 :]))
        return Kept((0,), made=(lengths, lengths))

    def torch(self, t: TorchContext, x: Code) -> Code:
        return t.call("F.normalize", x, dim=self.axis)

    def onnx(self, g: OnnxContext, x: OnnxValue) -> OnnxValue:
        return g.op("Div", x, _length(g, x, self.axis, least=1e-12))


class CosineSimilarity(Op):
    """The cosine of the angle between x and y along one axis, from -1 to 1."""

    axis: Int = -1
    examples = (Example("N D", "N D", gives="N"), Example("N D T", "N D T", axis=1, gives="N T"))

    def infer(self, x: Tensor, y: Tensor) -> Tensor:
        require_float("x", x)
        require_float("y", y)
        require_target("y", y, "x", x)
        axis = resolve_axis(self.axis, x.rank)
        return Tensor(x.dtype, x.shape[:axis] + x.shape[axis + 1 :])

    def flow(self, to: tuple[Tensor, ...], x: Tensor, y: Tensor) -> Flow:
        axis = resolve_axis(self.axis, x.rank)
        reads = taken(x, {axis: ("inner",)})
        return flow(to[0], reads, reads, inner={"inner": x.shape[axis]})

    def torch(self, t: TorchContext, x: Code, y: Code) -> Code:
        return t.call("F.cosine_similarity", x, y, dim=self.axis)

    def onnx(self, g: OnnxContext, x: OnnxValue, y: OnnxValue) -> OnnxValue:
        x, y = (g.op("Div", each, _length(g, each, self.axis, least=1e-8)) for each in (x, y))
        return g.op("ReduceSum", g.op("Mul", x, y), g.ints([self.axis]), keepdims=0)


def _length(g: OnnxContext, x: OnnxValue, axis: int, least: float) -> OnnxValue:
    """The length of the vectors along an axis, which stays with size 1; never below `least`, by which is divided."""
    return g.op("Max", g.op("ReduceL2", x, g.ints([axis]), keepdims=1), g.constant(least, g.inputs[0].dtype))


class Triplet(Op):
    """How far the positive is not nearer than the negative by the margin. Schroff et al., 2015.

    It is max(0, distance to the positive - distance to the negative + margin), along the last axis.
    """

    noun = "loss"
    margin: PositiveFloat = 1.0
    reduction: Reduction = "mean"
    examples = (
        Example("N D", "N D", "N D", gives=""),
        Example("N D", "N D", "N D", margin=0.2, reduction="none", gives="N"),
    )

    def infer(self, anchor: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        require_float("anchor", anchor)
        require_axes("anchor", anchor, 1)
        for name, operand in (("positive", positive), ("negative", negative)):
            require_float(name, operand)
            require_target(name, operand, "anchor", anchor)
        return reduced(Tensor(anchor.dtype, anchor.shape[:-1]), self.reduction)

    def flow(self, to: tuple[Tensor, ...], *inputs: Tensor) -> Flow | tuple[Flow, ...]:
        return super().flow(to, *inputs) if self.reduction != "none" else batched(to[0], *inputs, axes=to[0].rank)

    def torch(self, t: TorchContext, anchor: Code, positive: Code, negative: Code) -> Code:
        margin = {} if self.margin == 1 else {"margin": self.margin}
        return t.call("F.triplet_margin_loss", anchor, positive, negative, **margin, **unless_mean(self.reduction))

    def onnx(self, g: OnnxContext, anchor: OnnxValue, positive: OnnxValue, negative: OnnxValue) -> OnnxValue:
        dtype = g.inputs[0].dtype

        def distance(other: OnnxValue) -> OnnxValue:
            apart = g.op("Add", g.op("Sub", anchor, other), g.constant(1e-6, dtype))  # as PyTorch, for the gradient
            return g.op("ReduceL2", apart, g.ints([-1]), keepdims=0)

        gap = g.op("Sub", distance(positive), distance(negative))
        return reduce(g, g.op("Relu", g.op("Add", gap, g.constant(self.margin, dtype))), self.reduction)


class InfoNce(Op):
    """Tells each query's own key, the one at the same place, from all others. van den Oord et al., 2018.

    It is the cross-entropy of the cosines between queries and keys, divided by `temperature`.
    """

    noun = "loss"
    temperature: PositiveFloat = 0.1
    reduction: Reduction = "mean"
    examples = (
        Example("N D", "N D", gives=""),
        Example("N D", "N D", temperature=0.5, reduction="none", gives="N"),
    )

    def infer(self, query: Tensor, key: Tensor) -> Tensor:
        require_float("query", query)
        require_float("key", key)
        require_rank("query", query, 2)
        require_target("key", key, "query", query)
        return reduced(Tensor(query.dtype, query.shape[:1]), self.reduction)

    def macs(self, query: Tensor, key: Tensor) -> Dim:
        return product(query.shape) * key.shape[0]

    def torch(self, t: TorchContext, query: Code, key: Code) -> Code:
        query, key = (t.call("F.normalize", each, dim=-1) for each in (query, key))
        scores = t.binary("/", t.binary("@", query, t.attribute(key, "T")), t.literal(self.temperature))
        own = t.factory("torch.arange", t.inputs[0].shape[0], dtype=None)
        return t.call("F.cross_entropy", scores, own, **unless_mean(self.reduction))

    def onnx(self, g: OnnxContext, query: OnnxValue, key: OnnxValue) -> OnnxValue:
        dtype, axes = g.inputs[0].dtype, g.ints([-1])
        least = g.constant(1e-12, dtype)
        query, key = (
            g.op("Div", each, g.op("Max", g.op("ReduceL2", each, axes, keepdims=1), least)) for each in (query, key)
        )
        scores = g.op("MatMul", query, g.op("Transpose", key, perm=[1, 0]))
        logs = g.op("LogSoftmax", g.op("Div", scores, g.constant(self.temperature, dtype)), axis=1)
        size = g.size(g.inputs[0].shape[0])
        own = g.op("Range", g.constant(0, DType.INT), size, g.constant(1, DType.INT))
        right = g.op("GatherElements", logs, g.op("Unsqueeze", own, axes), axis=1)
        return reduce(g, g.op("Neg", g.op("Squeeze", right, axes)), self.reduction)
