"""Operations of one turn of a loop, done for all turns at once: the same operation, with an axis of turns."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import Any

from dlc.compiler.dim import Dim
from dlc.compiler.graph import Loop, Node, Value
from dlc.compiler.op import Op
from dlc.compiler.ops.choosing import Cast, Clamp, Extreme, Where
from dlc.compiler.ops.comparisons import LogicalNot
from dlc.compiler.ops.elementwise import Unary
from dlc.compiler.ops.joining import Concat, Split
from dlc.compiler.ops.linalg import Matmul
from dlc.compiler.ops.linear import Embedding, Linear
from dlc.compiler.ops.norms import LayerNorm, RmsNorm
from dlc.compiler.ops.operators import Binary, Negate
from dlc.compiler.ops.products import Affine
from dlc.compiler.ops.reductions import Reduction
from dlc.compiler.ops.scans import Normalised
from dlc.compiler.types import ShapeError, Tensor, TypeMismatch, resolve_axis

_POINTWISE = (Unary, Binary, Negate, Where, Cast, Clamp, Extreme, LogicalNot)


@dataclass(frozen=True, slots=True)
class Batched:
    """An operation for all turns at once. lifts: the place of the axis of size 1 that an operand needs first, where it
    is the same in all turns and has axes in front of that of the turns."""

    op: Op
    lifts: tuple[int | None, ...]


def stacked(type: Tensor, loop: Loop) -> Tensor | None:
    """The type of a turn's value for all turns; none for one that has no such axis."""
    if type.rank < loop.axis:
        return None
    return type.reshaped((*type.shape[: loop.axis], loop.turns, *type.shape[loop.axis :]))


def batched(node: Node, walked: Container[Value], loop: Loop) -> Batched | None:
    """The operation of a node over all turns, some of whose operands are other ones in each; none where there is none.

    It gives of every turn what the node gives of it, and no larger result than it has operands, matrix products aside.
    """
    op = node.action
    if not isinstance(op, Op):
        return None
    varies = [isinstance(operand, Value) and operand in walked for operand in node.inputs]
    types = list(node.operand_types)
    lifts: list[int | None] = [None] * len(types)
    if isinstance(op, _POINTWISE):
        found = _pointwise(types, varies, node.outputs[0].type, loop.axis, lifts)
        whole: Op | None = op if found else None
    else:
        whole = _along(op, types, varies, loop.axis)
    if whole is None:
        return None
    given = [
        _lifted(type, lift) if not one else stacked(type, loop)
        for type, lift, one in zip(types, lifts, varies, strict=True)
    ]
    due = [stacked(output.type, loop) for output in node.outputs]
    return Batched(whole, tuple(lifts)) if None not in due and _gives(whole, given, due) else None


def _gives(op: Op, given: Sequence[Any], due: Sequence[Tensor | None]) -> bool:
    try:
        results = op.results(*given)
    except (ShapeError, TypeMismatch):
        return False
    return [(type.dtype, type.shape) for type in results] == [(type.dtype, type.shape) for type in due if type]


def _lifted(type: Any, axis: int | None) -> Any:
    return type if axis is None else type.reshaped((*type.shape[:axis], Dim.of(1), *type.shape[axis:]))


def _pointwise(
    types: Sequence[Any], varies: Sequence[bool], result: Tensor, axis: int, lifts: list[int | None]
) -> bool:
    """Whether operands are broadcast to the result in all turns as in one; notes which are to be lifted for it."""
    behind = result.rank - axis
    if not any(one and type.shape == result.shape for type, one in zip(types, varies, strict=True)):
        return False
    for place, (type, one) in enumerate(zip(types, varies, strict=True)):
        if one and type.rank != result.rank:
            return False
        if not one and isinstance(type, Tensor) and type.rank > behind:
            lifts[place] = type.rank - behind
    return True


def _along(op: Op, types: Sequence[Any], varies: Sequence[bool], axis: int) -> Op | None:
    """An operation that treats some axes otherwise, with its axes counted as they stand then."""
    first = types[0] if types and isinstance(types[0], Tensor) else None
    if first is None or not varies[0]:
        return None
    only = not any(varies[1:])

    def moved(place: int) -> int:
        place = resolve_axis(place, first.rank)
        return place + 1 if place >= axis else place

    match op:
        case Linear() | Affine():
            fits = only and axis < first.rank
            return op if fits else None
        case Matmul():
            fits = only and axis < first.rank and types[1].rank <= 2
            return op if fits else None
        case Embedding():
            return op
        case LayerNorm(axes=axes):
            return op if axis <= first.rank - axes else None
        case RmsNorm():
            return op if axis < first.rank else None
        case Normalised():
            return type(op)(axis=moved(op.axis))
        case Concat():
            fits = all(varies) and all(type.rank == first.rank for type in types)
            return Concat(axis=moved(op.axis)) if fits else None
        case Split():
            return Split(parts=op.parts, axis=moved(op.axis))
        case Reduction():
            places = op.reduced(first)
            fits = places and (op.keep or min(places) >= axis)
            return _reduction(op, tuple(map(moved, places))) if fits else None
        case _:
            return None


def _reduction(op: Reduction, places: tuple[int, ...]) -> Reduction:
    values = dict(zip(op.fields(), op.values(), strict=True))
    one = len(places) == 1
    return type(op)(**values | {"axis": places[0] if one else None, "axes": None if one else places})
