"""What happens to tensors on their way to a weight, in shapes first and then in numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dlc.grammar.diagnostics import Refusal
from dlc.grammar.source import Span
from dlc.grammar.suggest import nearest
from dlc.runtime.mapping.errors import MappingSyntax

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

Shape = tuple[int, ...]

_STEP = re.compile(r"(\w+)(?:\((.*)\))?")
_AXIS = re.compile(r"\s*axis\s*=\s*(\d{1,2})\s*")
_ALONG = ("split", "concat")
NAMES = ("transpose", "reshape", "cast", *_ALONG)


@dataclass(frozen=True)
class Step:
    """`transpose` exchanges the axes of a matrix, `reshape` gives the weight's shape, `cast` its element type; `split`
    and `concat` go along `axis`, into parts of the weights' sizes."""

    name: str
    axis: int
    span: Span


class Unfit(Exception):
    """Shapes with which a step cannot be taken."""


def read_step(span: Span) -> Step:
    """The step that stands there. Raises Refusal."""
    found = _STEP.fullmatch(span.text)
    name = found[1] if found else span.text
    if found is None or name not in NAMES:
        near = nearest(name, NAMES)
        help = f"did you mean `{near}`?" if near else f"the steps are {', '.join(NAMES)}"
        raise Refusal(MappingSyntax(f"there is no step `{name}`", span, help=help))
    if name not in _ALONG:
        if found[2] is not None:
            raise Refusal(MappingSyntax(f"`{name}` takes no arguments", span))
        return Step(name, 0, span)
    axis = _AXIS.fullmatch(found[2] or "")
    if axis is None:
        raise Refusal(MappingSyntax(f"`{name}` needs its axis", span, help=f"as in {name}(axis=0)"))
    return Step(name, int(axis[1]), span)


def shapes_after(steps: Sequence[Step], shapes: Sequence[Shape], due: Sequence[Shape]) -> list[Shape]:
    """The shapes that tensors of these shapes have after the steps, where those of the weights are `due`. Raises
    Unfit."""
    now = list(shapes)
    for step in steps:
        match step.name:
            case "transpose":
                for shape in now:
                    if len(shape) != 2:
                        raise Unfit(f"{told(shape)} is no matrix that could be transposed")
                now = [shape[::-1] for shape in now]
            case "reshape":
                if _count(now[0]) != _count(due[0]):
                    raise Unfit(f"{told(now[0])} has not as many elements as {told(due[0])}")
                now = [due[0]]
            case "split":
                now = _split(now[0], step.axis, due)
            case "concat":
                now = [_concat(now, step.axis)]
            case _:
                continue
    return now


def _split(shape: Shape, axis: int, due: Sequence[Shape]) -> list[Shape]:
    for each in (shape, *due):
        if axis >= len(each):
            raise Unfit(f"{told(each)} has no axis {axis}")
    sizes = [each[axis] for each in due]
    if sum(sizes) != shape[axis]:
        parts = " + ".join(map(str, sizes))
        raise Unfit(f"{told(shape)} has the size {shape[axis]} along axis {axis}, and the weights have {parts}")
    return [(*shape[:axis], size, *shape[axis + 1 :]) for size in sizes]


def _concat(shapes: Sequence[Shape], axis: int) -> Shape:
    first = shapes[0]
    for shape in shapes:
        if axis >= len(shape):
            raise Unfit(f"{told(shape)} has no axis {axis}")
        if (*shape[:axis], *shape[axis + 1 :]) != (*first[:axis], *first[axis + 1 :]):
            raise Unfit(f"{told(first)} and {told(shape)} cannot be joined along axis {axis}")
    return (*first[:axis], sum(shape[axis] for shape in shapes), *first[axis + 1 :])


def apply(steps: Sequence[Step], arrays: Sequence[Array], due: Sequence[Shape]) -> list[Array]:
    """The arrays after the steps, whose shapes have been tried by `shapes_after`."""
    import numpy as np

    now = list(arrays)
    for step in steps:
        match step.name:
            case "transpose":
                now = [array.T for array in now]
            case "reshape":
                now = [now[0].reshape(due[0])]
            case "split":
                ends = np.cumsum([shape[step.axis] for shape in due])[:-1]
                now = np.split(now[0], ends, axis=step.axis)
            case "concat":
                now = [np.concatenate(now, axis=step.axis)]
            case _:
                continue
    return now


def told(shape: Shape) -> str:
    return f"[{', '.join(map(str, shape))}]"


def _count(shape: Shape) -> int:
    product = 1
    for size in shape:
        product *= size
    return product
