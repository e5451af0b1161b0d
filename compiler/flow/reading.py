"""How an operation reads its inputs, in the words that it says it in.

An operation runs over names: those of the axes of its result, and of what it goes through to make one element of it
(the inner axis of a matrix product). Each axis of an input is read at the positions that these names stand at
(a tuple of them, the first varying slowest, where axes are split or merged), near them, or as a whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dlc.compiler.dim import Dim
from dlc.compiler.types import Tensor

Name = int | str
"""An axis of the result by its number, or something else that an operation runs over."""

Group = tuple[Name, ...]
"""The position that names add up to, the last one varying fastest; 0 where there are none."""


@dataclass(frozen=True, slots=True)
class Near:
    """The positions p with `by * name + low <= per * p <= by * name + high`; none is no bound, no name is 0."""

    name: Name | None
    low: Dim | int | None
    high: Dim | int | None
    by: int = 1
    per: int = 1


@dataclass(frozen=True, slots=True)
class Whole:
    """All positions, each of which may count in its own way."""


WHOLE = Whole()
Read = Group | Near | Whole
Reads = tuple[Read, ...]


@dataclass(frozen=True, slots=True)
class Gate:
    """Where the input number `by` is `number`, the input number `of` is not read."""

    of: int
    by: int
    number: float


@dataclass(frozen=True)
class Flow:
    """How one result is made of the inputs.

    reads: for each input how each of its axes is read; none for an input that does not count, or is no tensor.
    result: what each axis of the result is made of. sizes: how far each name runs. keeps: the elements are those of
    the inputs, moved. mixes: what is read along a name as a whole, in whatever order, makes the axis it is mapped to.
    fixed: the names along which the operation itself tells positions apart, by weights or by their numbers.
    picks: the inputs whose elements are positions along an axis, by input and axis; places: those whose elements are
    positions along a name of the result. compares: those of which it only counts which elements are the same. joint:
    the same for every order of all axes of the result together. known: whether it reads no less than that.
    """

    reads: tuple[Reads | None, ...]
    result: tuple[Group, ...]
    sizes: Mapping[Name, Dim]
    gates: tuple[Gate, ...] = ()
    keeps: bool = False
    mixes: Mapping[Name, Name] = field(default_factory=dict[Name, Name])
    fixed: frozenset[Name] = frozenset()
    picks: Mapping[tuple[int, int], int] = field(default_factory=dict[tuple[int, int], int])
    places: Mapping[Name, int] = field(default_factory=dict[Name, int])
    joint: bool = False
    compares: frozenset[int] = frozenset()
    known: bool = True


def flow(
    result: Tensor,
    *reads: Sequence[Read] | None,
    inner: Mapping[Name, Dim] | None = None,
    **more: Any,
) -> Flow:
    """The flow of a result whose axes are what the operation runs over, besides `inner`."""
    sizes: dict[Name, Dim] = dict(enumerate(result.shape))
    groups = tuple((axis,) for axis in range(result.rank))
    fixed = frozenset[Name](more.pop("fixed", ()))
    given = tuple(None if each is None else tuple(each) for each in reads)
    return Flow(given, groups, sizes | dict(inner or {}), fixed=fixed, **more)


def everything(result: Tensor, *inputs: Any) -> Flow:
    """Each element of the result depends on all elements of all inputs."""
    reads = [(WHOLE,) * x.rank if isinstance(x, Tensor) else None for x in inputs]
    return flow(result, *reads, fixed=range(result.rank), known=False)


def aligned(x: Any, result: Tensor, *, above: int = 0) -> tuple[Read, ...] | None:
    """An input that is broadcast to the result, less the last `above` axes of it: element by element."""
    if not isinstance(x, Tensor):
        return None
    shift = result.rank - above - x.rank
    return tuple(at(x.shape[axis], axis + shift, result) for axis in range(x.rank))


def at(size: Dim, axis: int, result: Tensor) -> Read:
    """An axis of that size read at the position along an axis of the result, or at its only one."""
    return (axis,) if size == result.shape[axis] else ()


def pointwise(result: Tensor, *inputs: Any, **more: Any) -> Flow:
    """Element by element, inputs broadcast."""
    return flow(result, *(aligned(x, result) for x in inputs), **more)


def unread(result: Tensor, *inputs: Any, **more: Any) -> Flow:
    """A result that does not depend on the elements of any input."""
    return flow(result, *(None for _ in inputs), **more)


def along(x: Tensor, result: Tensor, how: Mapping[int, Read], **more: Any) -> Flow:
    """An input whose axes are those of the result, but for these, which are read in their own way."""
    return flow(result, [how.get(axis, (axis,)) for axis in range(x.rank)], **more)


def without(x: Tensor, result: Tensor, gone: Sequence[int], *, keep: bool = False) -> Flow:
    """An input whose axes `gone` are gone through as a whole, in whatever order; `keep` leaves them with size 1."""
    reads: list[Read] = []
    inner: dict[Name, Dim] = {}
    place = 0
    for axis, size in enumerate(x.shape):
        if axis in gone:
            reads.append((f"inner{axis}",))
            inner[f"inner{axis}"] = size
            place += keep
        else:
            reads.append((place,))
            place += 1
    return flow(result, reads, inner=inner)


def batched(result: Tensor, *inputs: Any, axes: int = 1) -> Flow:
    """Inputs whose first `axes` axes are those of the result, all else being read as a whole."""
    reads: list[Sequence[Read] | None] = []
    for x in inputs:
        if isinstance(x, Tensor):
            reads.append([at(x.shape[axis], axis, result) if axis < axes else WHOLE for axis in range(x.rank)])
        else:
            reads.append(None)
    return flow(result, *reads, fixed=range(axes, result.rank))


def mixed(x: Tensor, result: Tensor, axes: Sequence[int], **more: Any) -> Flow:
    """Each position along these axes depends on all of them, and is permuted as they are."""
    how: dict[int, Read] = {axis: (f"row{axis}",) for axis in axes}
    inner: dict[Name, Dim] = {f"row{axis}": x.shape[axis] for axis in axes}
    mixes: dict[Name, Name] = {f"row{axis}": axis for axis in axes}
    return along(x, result, how, inner=inner, mixes=mixes, **more)


def chosen(x: Tensor, result: Tensor, gone: Sequence[int], *, keep: bool) -> Flow:
    """As `without`, but for what depends on the numbers of the positions that are gone."""
    reads = list((without(x, result, gone, keep=keep).reads)[0] or ())
    return flow(result, [WHOLE if axis in gone else how for axis, how in enumerate(reads)])


def permuted(result: Tensor, order: Sequence[int]) -> Flow:
    """The axis `order[0]` of the input comes first."""
    return flow(result, [(order.index(axis),) for axis in range(len(order))], keeps=True)


def taken(x: Tensor, how: Mapping[int, Read]) -> list[Read]:
    """The axes of an input, all but these of which are those of the result in their order."""
    reads: list[Read] = []
    place = 0
    for axis in range(x.rank):
        if axis in how:
            reads.append(how[axis])
        else:
            reads.append((place,))
            place += 1
    return reads


def leading(x: Tensor, result: Tensor, own: int, trailing: int) -> list[Read]:
    """The axes of an input before its last `own`, broadcast to those of the result before its last `trailing`."""
    shift = (result.rank - trailing) - (x.rank - own)
    return [at(x.shape[axis], axis + shift, result) for axis in range(x.rank - own)]


def first(size: Dim, axis: int, result: Tensor) -> Read:
    """An axis of that size, at the first positions of which the result stands, or which are the result's first."""
    return (axis,) if size == result.shape[axis] else Near(axis, 0, 0)


def padded(near: Near, before: int, behind: int, mode: str) -> Read:
    """What is read where so much padding is put around an axis, zeros or copies of what is there."""
    assert near.low is not None
    assert near.high is not None
    if (not before and not behind) or mode == "zeros":
        return near
    if mode == "circular":
        return WHOLE
    way = 2 if mode == "reflect" else 1
    return Near(near.name, near.low - way * behind, near.high + way * before, near.by, near.per)


def reshaped(x: Tensor, result: Tensor) -> Flow:
    """The elements in their order, in another shape."""
    sizes: dict[Name, Dim] = {}
    before: list[list[Name]] = [[] for _ in x.shape]
    after: list[list[Name]] = [[] for _ in result.shape]
    left, right = _sized(x), _sized(result)
    while left and right:
        (old, a), (new, b) = left.pop(), right.pop()
        part = a if a == b else None
        if part is None:
            rest = a.divide(b)
            if rest is not None:
                part = b
                left.append((old, rest))
            else:
                rest = b.divide(a)
                if rest is None:
                    left.append((old, a))
                    right.append((new, b))
                    break
                part = a
                right.append((new, rest))
        name = f"part{len(sizes)}"
        sizes[name] = part
        before[old].insert(0, name)
        after[new].insert(0, name)
    lost = {axis for axis, _ in left}
    reads: list[Read] = []
    for axis, names in enumerate(before):
        reads.append(WHOLE if axis in lost else tuple(names))
    for axis, size in right:  # made of what could not be told apart
        name = f"rest{axis}"
        sizes[name] = size
        after[axis].insert(0, name)
    fixed = frozenset[Name](f"rest{axis}" for axis, _ in right)
    return Flow((tuple(reads),), tuple(map(tuple, after)), sizes, keeps=not lost, fixed=fixed, known=not lost)


def _sized(x: Tensor) -> list[tuple[int, Dim]]:
    return [(axis, size) for axis, size in enumerate(x.shape) if size != 1]
