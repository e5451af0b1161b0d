"""Tensors written out, number by number."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, cast

from dlc.compiler.dim import Dim
from dlc.compiler.op import Example, Op
from dlc.compiler.torch.context import Code, TorchContext
from dlc.compiler.types import DType, Tensor
from dlc.compiler.validation import Before, Described

if TYPE_CHECKING:
    from dlc.compiler.onnx.context import OnnxContext, OnnxValue

_DUE = "a list of numbers, or of lists of equal length, is due"


def as_numbers(value: Any) -> Any:
    """Nested tuples of ints, floats or bools. Raises ValueError for what is ragged, empty, or something else."""
    if not isinstance(value, list | tuple) or not value:
        raise ValueError(_DUE)
    rows = cast("list[Any] | tuple[Any, ...]", value)
    if not any(isinstance(row, list | tuple) for row in rows):
        return tuple(map(_as_number, rows))
    inner = tuple(map(as_numbers, rows))
    if len({shape_of(row) for row in inner}) > 1:
        raise ValueError(_DUE)
    return inner


def _as_number(value: Any) -> int | float | bool:
    number = value.constant if isinstance(value, Dim) else value
    if not isinstance(number, int | float):
        raise ValueError(_DUE)
    return number


def shape_of(values: Any) -> tuple[int, ...]:
    """The lengths of nested tuples, from the outside in."""
    if not isinstance(values, tuple):
        return ()
    rows = cast("tuple[Any, ...]", values)
    return len(rows), *shape_of(rows[0])


def _as_floats(values: Any) -> Any:
    return tuple(map(_as_floats, cast("tuple[Any, ...]", values))) if isinstance(values, tuple) else float(values)


class Literal(Op, name="tensor"):
    """The numbers of a list, or of nested ones: floats if one of them is, else ints, or bools if all of them are."""

    elements: Annotated[tuple[Any, ...], Before(as_numbers), Described("list of numbers, or of lists of equal length")]
    examples = (
        Example(elements=(1.0, 2.5, -3), gives="3"),
        Example(elements=((1, 0), (0, 2), (3, 3)), gives="int 3 2 < 4"),
        Example(elements=(-1, 1), gives="int 2"),
        Example(elements=((True, False),), gives="bool 1 2"),
    )

    def infer(self) -> Tensor:
        numbers = self.numbers()
        shape = tuple(map(Dim.of, shape_of(self.elements)))
        if all(isinstance(number, bool) for number in numbers):
            return Tensor(DType.BOOL, shape)
        if any(isinstance(number, float) for number in numbers):
            return Tensor(DType.FLOAT, shape)
        return Tensor(DType.INT, shape, Dim.of(int(max(numbers)) + 1) if min(numbers) >= 0 else None)

    def numbers(self) -> list[int | float | bool]:
        """All of them, the last axis fastest."""
        found: list[Any] = [self.elements]
        for _ in shape_of(self.elements):
            found = [number for row in found for number in row]
        return found

    def floats(self) -> Literal:
        """The same as floats, unless they are bools."""
        return self if self.infer().dtype is DType.BOOL else Literal(elements=_as_floats(self.elements))

    def torch(self, t: TorchContext) -> Code:
        return t.factory("torch.tensor", _written(t, self.elements, t.outputs[0].dtype), dtype=t.outputs[0].dtype)

    def onnx(self, g: OnnxContext) -> OnnxValue:
        return g.constant(self.elements, g.outputs[0].dtype)


def _written(t: TorchContext, values: Any, dtype: DType) -> Code:
    if isinstance(values, tuple):
        rows = cast("tuple[Any, ...]", values)
        return Code(f"[{', '.join(_written(t, row, dtype) for row in rows)}]")
    return t.literal(values if dtype is DType.BOOL else int(values) if dtype is DType.INT else float(values))
