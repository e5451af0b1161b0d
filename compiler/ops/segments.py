"""Rows gathered into segments: the messages that arrive at the nodes of a graph, the members of sets.

`values` is [E, …], `index` an int [E] that tells the segment of each row, and `count` the number of segments.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from dlc.compiler.dim import Dim
from dlc.compiler.flow.reading import Flow, Name, Read, flow
from dlc.compiler.op import Example, Op, Size
from dlc.compiler.ops.selection import check_below, positions
from dlc.compiler.types import (
    DType,
    ShapeError,
    Tensor,
    require_axes,
    require_float,
    require_number,
    require_positive,
    require_rank,
)

if TYPE_CHECKING:
    from dlc.compiler.onnx.context import OnnxContext, OnnxValue
    from dlc.compiler.torch.context import Code, TorchContext


class Segments(Op, abstract=True):
    """One row for each segment."""

    count: Size
    source: ClassVar[str]

    def check(self, values: Tensor, index: Tensor) -> None:
        require_axes("values", values, 1)
        require_rank("index", index, 1)
        require_positive("count", self.count)
        check_below("index", index, self.count, "segments")
        if values.shape[0] != index.shape[0]:
            raise ShapeError(
                "index",
                f"{index.shape[0]} segments are named for {values.shape[0]} rows",
                label=str(index),
                sizes=(values.shape[0], index.shape[0]),
            )

    def infer(self, values: Tensor, index: Tensor) -> Tensor:
        self.check(values, index)
        require_float("values", values)
        return values.reshaped((self.count, *values.shape[1:]))

    def flow(self, to: tuple[Tensor, ...], values: Tensor, index: Tensor) -> Flow:
        reads: list[Read] = [("rows",), *((axis,) for axis in range(1, values.rank))]
        return flow(to[0], reads, [("rows",)], inner={"rows": values.shape[0]}, places={0: 1}, fixed=(0,))

    def torch(self, t: TorchContext, values: Code, index: Code) -> Code:
        return t.call(t.defining(self.source), values, positions(t, 1, index), self.count)


def _scatter(g: OnnxContext, values: OnnxValue, index: OnnxValue, count: Dim, start: float, how: str) -> OnnxValue:
    """The rows of each segment reduced, from `start`, which stays where a segment is empty."""
    type: Tensor = g.inputs[0]
    empty = g.op("Expand", g.constant(start, type.dtype), g.sizes((count, *type.shape[1:])))
    return g.op("ScatterND", empty, _rows(g, index), values, reduction=how)


def _rows(g: OnnxContext, index: OnnxValue) -> OnnxValue:
    return g.op("Unsqueeze", g.cast(index, DType.INT), g.ints([1]))


class SegmentSum(Segments):
    """The sum of the rows of each segment, 0 where there are none."""

    examples = (
        Example("E D", "int E < 4", count=4, gives="4 D"),
        Example("E", "int E < E", count="E", gives="E"),
        Example("int E 2", "int E < 4", count=4, gives="int 4 2"),
    )
    source = """def segment_sum(values, index, count):
    return values.new_zeros(count, *values.shape[1:]).index_add(0, index, values)"""

    def infer(self, values: Tensor, index: Tensor) -> Tensor:
        self.check(values, index)
        require_number("values", values)
        return Tensor(values.dtype, (self.count, *values.shape[1:]))

    def onnx(self, g: OnnxContext, values: OnnxValue, index: OnnxValue) -> OnnxValue:
        return _scatter(g, values, index, self.count, 0, "add")

    def macs(self, values: Tensor, index: Tensor) -> Dim:
        return Dim.of(0)


class SegmentMean(Segments):
    """The mean of the rows of each segment, 0 where there are none."""

    examples = (Example("E D", "int E < 4", count=4, gives="4 D"), Example("E", "int E < E", count="E", gives="E"))
    source = """def segment_mean(values, index, count):
    total = values.new_zeros(count, *values.shape[1:]).index_add(0, index, values)
    rows = index.new_zeros(count).index_add(0, index, torch.ones_like(index)).clamp(min=1)
    return total / rows.reshape(-1, *[1] * (values.dim() - 1))"""

    def onnx(self, g: OnnxContext, values: OnnxValue, index: OnnxValue) -> OnnxValue:
        type: Tensor = g.inputs[0]
        total = _scatter(g, values, index, self.count, 0, "add")
        one = g.op("Expand", g.constant(1, type.dtype), g.sizes(type.shape[:1]))
        none = g.op("Expand", g.constant(0, type.dtype), g.sizes([self.count]))
        rows = g.op("ScatterND", none, _rows(g, index), one, reduction="add")
        rows = g.op("Max", rows, g.constant(1, type.dtype))
        behind = list(range(1, type.rank))
        return g.op("Div", total, g.op("Unsqueeze", rows, g.ints(behind)) if behind else rows)


class SegmentMax(Segments):
    """The greatest element of each column in each segment, 0 where a segment has no rows."""

    examples = (Example("E D", "int E < 4", count=4, gives="4 D"), Example("E", "int E < E", count="E", gives="E"))
    source = """def segment_max(values, index, count):
    places = index.reshape(-1, *[1] * (values.dim() - 1)).expand_as(values)
    start = values.new_zeros(count, *values.shape[1:])
    return start.scatter_reduce(0, places, values, "amax", include_self=False)"""

    def onnx(self, g: OnnxContext, values: OnnxValue, index: OnnxValue) -> OnnxValue:
        dtype = g.outputs[0].dtype
        least = _scatter(g, values, index, self.count, -_LARGEST, "max")
        empty = g.op("Equal", least, g.constant(-_LARGEST, dtype))
        return g.op("Where", empty, g.constant(0, dtype), least)


_LARGEST = 3.0e38  # below every float32 that a network should make


class SegmentSoftmax(Segments):
    """The softmax of each column among the rows of the same segment, of the shape of `values`."""

    examples = (Example("E D", "int E < 4", count=4, gives="E D"), Example("E", "int E < E", count="E", gives="E"))
    source = """def segment_softmax(values, index, count):
    places = index.reshape(-1, *[1] * (values.dim() - 1)).expand_as(values)
    start = values.new_zeros(count, *values.shape[1:])
    most = start.scatter_reduce(0, places, values.detach(), "amax", include_self=False)
    weights = (values - most[index]).exp()
    return weights / start.index_add(0, index, weights)[index]"""

    def infer(self, values: Tensor, index: Tensor) -> Tensor:
        self.check(values, index)
        require_float("values", values)
        return values

    def flow(self, to: tuple[Tensor, ...], values: Tensor, index: Tensor) -> Flow:
        reads: list[Read] = [("rows",), *((axis,) for axis in range(1, values.rank))]
        rows: dict[Name, Dim] = {"rows": values.shape[0]}
        return flow(to[0], reads, [("rows",)], inner=rows, mixes={"rows": 0}, compares=frozenset((1,)))

    def onnx(self, g: OnnxContext, values: OnnxValue, index: OnnxValue) -> OnnxValue:
        most = _scatter(g, values, index, self.count, -_LARGEST, "max")
        weights = g.op("Exp", g.op("Sub", values, g.op("Gather", most, index, axis=0)))
        total = _scatter(g, weights, index, self.count, 0, "add")
        return g.op("Div", weights, g.op("Gather", total, index, axis=0))
