"""Indexing and slicing as NumPy does, and elements picked by tensors of positions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dlc.compiler.dim import Dim
from dlc.compiler.flow.reading import WHOLE, Flow, Near, Read, aligned, flow, permuted
from dlc.compiler.kept import NOTHING, Kept, Tape
from dlc.compiler.op import Example, Ints, Op
from dlc.compiler.torch.context import Code
from dlc.compiler.types import DType, ShapeError, Tensor, TypeMismatch, axes, broadcast, require_rank

if TYPE_CHECKING:
    from dlc.compiler.onnx.context import OnnxContext, OnnxValue
    from dlc.compiler.torch.context import TorchContext

_END = 2**63 - 1  # what ONNX takes for "to the end"


@dataclass(frozen=True, slots=True)
class At:
    """One position, counted from the end if it is negative; the axis goes."""

    position: Dim


@dataclass(frozen=True, slots=True)
class Range:
    """The positions from `start` up to `stop`, every `step`-th; negative ones count from the end, none is the end."""

    start: Dim | None = None
    stop: Dim | None = None
    step: int = 1

    @property
    def is_full(self) -> bool:
        return self.start is None and self.stop is None and self.step == 1


@dataclass(frozen=True, slots=True)
class NewAxis:
    """A new axis of size 1."""


@dataclass(frozen=True, slots=True)
class Rest:
    """All axes that the other items leave over, in full."""


@dataclass(frozen=True, slots=True)
class Gather:
    """The positions in the next tensor of ints, whose shape stands in place of the axis.

    Several of them, on adjacent axes, are broadcast and give one element for each tuple of positions.
    """


AxisItem = At | Range | NewAxis | Gather
Item = AxisItem | Rest


class Index(Op):
    """x[items]: positions, slices, new axes, and tensors of positions.

    A position or a bound that is provably outside its axis is refused; slices are never cut short silently.
    """

    hidden = True
    items: tuple[Item, ...]
    examples = (
        Example("N T 8", items=(At(Dim.of(0)),), gives="T 8"),
        Example("N T", items=(Rest(), At(Dim.of(-1))), gives="N"),
        Example("N 9", items=(Range(), Range(Dim.of(1), Dim.of(-1))), gives="N 7"),
        Example("N 9", items=(Range(), Range(None, None, 2)), gives="N 5"),
        Example("N T", items=(Range(), Range(Dim.of(1))), gives="N T-1"),
        Example("N T 4", items=(Range(), NewAxis(), Range(), At(Dim.of(2)), NewAxis()), gives="N 1 T 1"),
        Example("int 2 K < V", items=(At(Dim.of(1)),), gives="int K < V"),
        Example("V D", "int N T < V", items=(Gather(),), gives="N T D"),
        Example("N V D", "int K < V", items=(Range(), Gather()), gives="N K D"),
        Example("3 N V", "int K < V", items=(At(Dim.of(1)), Range(), Gather()), gives="N K"),
        Example("V", "int < V", items=(Gather(),), gives=""),
        Example("N V D", "int K 1 < V", "int K < D", items=(Range(), Gather(), Gather()), gives="N K K"),
        Example("V 6", "int K < V", items=(Gather(), NewAxis(), Range(None, Dim.of(2))), gives="K 1 2"),
    )

    def infer(self, x: Tensor, *indices: Tensor) -> Tensor:
        result: list[Dim] = []
        pending = list(indices)
        group: list[Tensor] = []
        grouped = -1  # the place among the items of the last Gather
        for place, item, axis in self._by_axis(x):
            match item:
                case NewAxis():
                    result.append(Dim.of(1))
                case At(position):
                    _check_position(f"items[{place}]", position, x.shape[axis], axis)
                case Range():
                    result.append(_length(f"items[{place}]", item, x.shape[axis], axis))
                case Gather():
                    index = pending.pop(0)
                    _check_index(index, x.shape[axis], axis)
                    if group and place != grouped + 1:
                        raise ShapeError(
                            f"items[{place}]",
                            "tensors of positions stand on axes that are not adjacent",
                            help="index in two steps, or bring the axes together with permute",
                        )
                    if group:
                        del result[len(result) - _joint(group).rank :]
                    group.append(index)
                    grouped = place
                    result += _joint(group).shape
        return x.reshaped(result)

    def flow(self, to: tuple[Tensor, ...], x: Tensor, *indices: Tensor) -> Flow:
        reads: list[Read] = []
        picks: dict[tuple[int, int], int] = {}
        joint = _joint(list(indices)).rank if indices else 0
        start = place = 0
        for _, item, axis in self._by_axis(x):
            match item:
                case At(position):
                    first = position + x.shape[axis] if position.less(0) else position
                    reads.append(Near(None, first, first) if _counted(position) else WHOLE)
                case NewAxis():
                    place += 1
                case Range():
                    reads.append(_walked(item, x.shape[axis], place))
                    place += 1
                case Gather():
                    if not picks:
                        start = place
                        place += joint
                    picks[0, axis] = len(picks) + 1
                    reads.append(WHOLE)
        result = to[0]
        behind = result.rank - start - joint
        others = [aligned(index, result, above=behind) for index in indices]
        return flow(result, reads, *others, picks=picks, keeps=True, known=not picks)

    def _by_axis(self, x: Tensor) -> Iterator[tuple[int, AxisItem, int]]:
        """Each item, with its place and the axis of x that it is for; slices in full stand for what is left over."""
        taken = sum(isinstance(item, (At, Range, Gather)) for item in self.items)
        if sum(isinstance(item, Rest) for item in self.items) > 1:
            raise ShapeError("items", "an index has one `...` at most")
        if taken > x.rank:
            raise ShapeError("items", f"the index is for {axes(taken)}, and x has {x.rank}", label=str(x))
        axis = 0
        for place, item in enumerate([*self.items] if Rest() in self.items else [*self.items, Rest()]):
            if isinstance(item, Rest):
                for _ in range(x.rank - taken):
                    yield place, Range(), axis
                    axis += 1
            else:
                yield place, item, axis
                axis += not isinstance(item, NewAxis)

    def keeps(self, tape: Tape, to: tuple[Tensor, ...], x: Tensor, *indices: Tensor) -> Kept:
        return Kept(tuple(range(1, 1 + len(indices))))

    def shares(self, x: Tensor, *indices: Tensor) -> bool:
        return not indices

    def torch(self, t: TorchContext, x: Code, *indices: Code) -> Code:
        pending = [
            code if type.dtype is DType.INT else t.method(code, "long")
            for code, type in zip(indices, t.inputs[1:], strict=True)
        ]
        parts: list[str] = []
        for item in self.items:
            match item:
                case At(position):
                    parts.append(t.size(position))
                case Range():
                    parts.append(_slice(t, item))
                case NewAxis():
                    parts.append("None")
                case Rest():
                    parts.append("...")
                case Gather():
                    parts.append(pending.pop(0))
        while parts and parts[-1] in (":", "..."):
            parts.pop()
        return t.index(x, *parts) if parts else x

    def onnx(self, g: OnnxContext, x: OnnxValue, *indices: OnnxValue) -> OnnxValue:
        items = list(self._by_axis(g.inputs[0]))
        x = _slice_axes(g, x, [(axis, item) for _, item, axis in items if isinstance(item, Range)])
        gathers = [axis for _, item, axis in items if isinstance(item, Gather)]
        for _, item, axis in reversed(items):  # from the last axis, so that the numbers of the others stay
            match item:
                case At(position):
                    x = g.op("Gather", x, g.size(position), axis=axis)
                case Gather() if axis == gathers[0]:
                    x = _gather(g, x, axis, indices)
                case _:
                    continue
        return self._insert_axes(g, x, [item for _, item, _ in items])

    def _insert_axes(self, g: OnnxContext, x: OnnxValue, items: list[AxisItem]) -> OnnxValue:
        new: list[int] = []
        place = 0
        gathered = False
        for item in items:
            match item:
                case NewAxis():
                    new.append(place)
                    place += 1
                case Range():
                    place += 1
                case Gather() if not gathered:
                    place += _joint(list(g.inputs[1:])).rank
                    gathered = True
                case _:
                    continue
        return g.op("Unsqueeze", x, g.ints(new)) if new else x


def _joint(indices: list[Tensor]) -> Tensor:
    """The type of tensors of positions, broadcast."""
    joint = indices[0]
    for index in indices[1:]:
        joint = Tensor(DType.INT, broadcast(joint, index))
    return joint


def _check_position(argument: str, position: Dim, size: Dim, axis: int) -> None:
    if position.less(size) is False or (position + size).less(0):
        raise ShapeError(argument, f"there is no position {position} on axis {axis}", label=f"its size is {size}")


def _check_index(index: Tensor, size: Dim, axis: int) -> None:
    if index.dtype is DType.BOOL:
        raise TypeMismatch(
            "indices",
            "a bool tensor as an index would give a shape that depends on values",
            label=str(index),
            help="keep the shape and choose with where(mask, x, 0)",
        )
    if not index.dtype.is_int:
        raise TypeMismatch("indices", f"an index is {index.dtype.value}, and it must be int", label=str(index))
    if index.below is not None and size.less(index.below):
        raise ShapeError("indices", f"positions below {index.below} exceed axis {axis}", label=f"its size is {size}")


def _length(argument: str, item: Range, size: Dim, axis: int) -> Dim:
    if item.step < 1:
        raise ShapeError(argument, f"a slice has the step {item.step}, and it must be positive", help="flip(x, axis)")
    start, stop = _bound(argument, item.start, Dim.of(0), size, axis), _bound(argument, item.stop, size, size, axis)
    length = stop - start
    if length.less(0):
        raise ShapeError(argument, f"the slice of axis {axis} ends before it starts", label=f"{start} to {stop}")
    return (length + (item.step - 1)) // item.step


def _bound(argument: str, bound: Dim | None, default: Dim, size: Dim, axis: int) -> Dim:
    if bound is None:
        return default
    counted = bound + size if bound.less(0) else bound
    if counted.less(0) or size.less(counted):
        raise ShapeError(argument, f"the slice leaves axis {axis} at {bound}", label=f"its size is {size}")
    return counted


def _counted(bound: Dim) -> bool:
    """Whether it is known from which end a position counts."""
    return bound.less(0) is not None


def _walked(item: Range, size: Dim, place: int) -> Read:
    """The positions that a slice makes the axis `place` of the result of."""
    start = Dim.of(0) if item.start is None else item.start
    if item.is_full:
        return (place,)
    if not _counted(start):
        return WHOLE
    start = start + size if start.less(0) else start
    return Near(place, start, start, by=item.step)


def _slice(t: TorchContext, item: Range) -> str:
    start = "" if item.start is None or item.start == 0 else t.size(item.start)
    stop = "" if item.stop is None else t.size(item.stop)
    return f"{start}:{stop}" if item.step == 1 else f"{start}:{stop}:{item.step}"


def _slice_axes(g: OnnxContext, x: OnnxValue, ranges: list[tuple[int, Range]]) -> OnnxValue:
    cut = [(axis, item) for axis, item in ranges if not item.is_full]
    if not cut:
        return x
    starts = g.sizes([Dim.of(0) if item.start is None else item.start for _, item in cut])
    stops = g.sizes([Dim.of(_END) if item.stop is None else item.stop for _, item in cut])
    steps = g.ints([item.step for _, item in cut])
    return g.op("Slice", x, starts, stops, g.ints([axis for axis, _ in cut]), steps)


def _gather(g: OnnxContext, x: OnnxValue, axis: int, indices: tuple[OnnxValue, ...]) -> OnnxValue:
    """Elements along the axes from `axis` on, one for each index; several axes are made one first."""
    positions = [g.cast(index, DType.INT) for index in indices]
    if len(positions) == 1:
        return g.op("Gather", x, positions[0], axis=axis)
    shape = g.op("Shape", x)
    flat = g.constant(0, DType.INT)
    for place, position in enumerate(positions):
        size = g.op("Gather", shape, g.constant(axis + place, DType.INT), axis=0)
        flat = g.op("Add", g.op("Mul", flat, size), g.op("Mod", position, size))  # Mod: from the end if negative
    before = g.op("Slice", shape, g.ints([0]), g.ints([axis]))
    after = g.op("Slice", shape, g.ints([axis + len(positions)]), g.ints([_END]))
    joined = g.op("Reshape", x, g.op("Concat", before, g.ints([-1]), after, axis=0), allowzero=0)
    return g.op("Gather", joined, flat, axis=axis)


class Positions(Op):
    """The positions that an index lists: x[[0, 2, 1]]."""

    hidden = True
    places: Ints
    examples = (Example(places=[0, 2, 1], gives="int 3 < 3"), Example(places=[0, -1], gives="int 2"))

    def infer(self) -> Tensor:
        if not self.places:
            raise ShapeError("places", "the index lists no positions")
        below = Dim.of(max(self.places) + 1) if min(self.places) >= 0 else None
        return Tensor(DType.INT, (Dim.of(len(self.places)),), below)

    def flow(self, to: tuple[Tensor, ...]) -> Flow:
        return flow(to[0], fixed=(0,))

    def torch(self, t: TorchContext) -> Code:
        return t.factory("torch.tensor", Code(str(list(self.places))), dtype=None)

    def onnx(self, g: OnnxContext) -> OnnxValue:
        return g.constant(list(self.places), DType.INT)


class SwapLast(Op):
    """x.T: the last two axes exchanged; of a matrix, its transpose."""

    hidden = True
    examples = (Example("N T", gives="T N"), Example("N T 8", gives="N 8 T"))
    kept = NOTHING
    view = True

    def infer(self, x: Tensor) -> Tensor:
        require_rank("x", x, 2, 99)
        return x.reshaped((*x.shape[:-2], x.shape[-1], x.shape[-2]))

    def flow(self, to: tuple[Tensor, ...], x: Tensor) -> Flow:
        last = x.rank - 1
        return permuted(to[0], [*range(last - 1), last, last - 1])

    def torch(self, t: TorchContext, x: Code) -> Code:
        return t.attribute(x, "T" if t.inputs[0].rank == 2 else "mT")

    def onnx(self, g: OnnxContext, x: OnnxValue) -> OnnxValue:
        rank = g.inputs[0].rank
        return g.op("Transpose", x, perm=[*range(rank - 2), rank - 1, rank - 2])
