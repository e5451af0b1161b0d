"""Tensor types, and what the shape rules of the operations share: broadcasting, promotion, axes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum

from dlc.compiler.dim import Dim


class DType(Enum):
    """An element type, by its name in the language. `float` is the precision that training or export chooses."""

    FLOAT = "float"
    FLOAT64 = "float64"
    FLOAT16 = "float16"
    BFLOAT16 = "bfloat16"
    INT = "int"
    INT32 = "int32"
    INT8 = "int8"
    UINT8 = "uint8"
    BOOL = "bool"

    @property
    def is_float(self) -> bool:
        return self in _FLOATS

    @property
    def is_int(self) -> bool:
        return self is not DType.BOOL and self not in _FLOATS


_FLOATS = frozenset({DType.FLOAT, DType.FLOAT64, DType.FLOAT16, DType.BFLOAT16})


@dataclass(frozen=True, slots=True)
class Tensor:
    """The type of a tensor. `below` promises that every element x of an int tensor has 0 <= x < below."""

    dtype: DType
    shape: tuple[Dim, ...]
    below: Dim | None = None

    @staticmethod
    def of(*shape: Dim | int, dtype: DType = DType.FLOAT) -> Tensor:
        return Tensor(dtype, tuple(Dim.of(size) for size in shape))

    @property
    def rank(self) -> int:
        return len(self.shape)

    def reshaped(self, shape: Sequence[Dim | int]) -> Tensor:
        """The same elements' type in another shape; what is promised of each element still holds."""
        return replace(self, shape=tuple(Dim.of(size) for size in shape))

    def cast(self, dtype: DType) -> Tensor:
        return Tensor(dtype, self.shape)

    def __str__(self) -> str:
        promise = f" < {self.below}" if self.below is not None else ""
        return f"{self.dtype.value}[{', '.join(map(str, self.shape))}]{promise}"


@dataclass(frozen=True, slots=True)
class Scalar:
    """A static number where a tensor may stand: it takes on the element type of what it meets."""

    value: Dim | float | bool

    @property
    def rank(self) -> int:
        return 0

    @property
    def shape(self) -> tuple[Dim, ...]:
        return ()

    def __str__(self) -> str:
        return str(self.value).lower() if isinstance(self.value, bool) else str(self.value)


Operand = Tensor | Scalar


class ShapeError(Exception):
    """An operation's rule refuses its operands or parameters; knows no spans.

    argument: the name of the parameter at fault, none for the call as a whole. message: the first line of the report.
    label: a few words at the argument. help: what to write instead. against: a second argument it disagrees with.
    """

    def __init__(
        self,
        argument: str | None,
        message: str,
        *,
        label: str = "",
        help: str | None = None,
        against: str | None = None,
        notes: tuple[str, ...] = (),
        sizes: tuple[Dim, ...] = (),
    ) -> None:
        super().__init__(message)
        self.argument = argument
        self.message = message
        self.label = label
        self.help = help
        self.against = against
        self.notes = notes
        self.sizes = sizes


class TypeMismatch(ShapeError):
    """The element types, not the shapes, are refused."""


def agree(a: Dim, b: Dim) -> bool:
    """Whether two sizes are provably the same."""
    return a == b


def unify(a: Dim, b: Dim) -> Dim:
    """One of two equal sizes, preferring the one that remembers where it came from."""
    return a if a.origin is not None else b


def broadcast(a: Operand, b: Operand) -> tuple[Dim, ...]:
    """NumPy's rule: aligned at the last axis, sizes are equal or one of them is 1."""
    rank = max(a.rank, b.rank)
    left = (Dim.of(1),) * (rank - a.rank) + a.shape
    right = (Dim.of(1),) * (rank - b.rank) + b.shape
    shape: list[Dim] = []
    for axis, (m, n) in enumerate(zip(left, right, strict=True)):
        if m == n:
            shape.append(unify(m, n))
        elif m == 1:
            shape.append(n)
        elif n == 1:
            shape.append(m)
        else:
            raise ShapeError(
                None,
                "the shapes do not fit",
                label=f"{m} against {n} on axis {axis - rank}",
                sizes=(m, n),
            )
    return tuple(shape)


def promote(a: Operand, b: Operand) -> DType:
    """The element type of an arithmetic result: ints become floats where they meet them, nothing else is mixed."""
    if isinstance(a, Scalar) and isinstance(b, Scalar):
        raise TypeError("two static numbers are combined at compile time, not by an operation")
    if isinstance(a, Scalar):
        return _with_scalar(b, a)
    if isinstance(b, Scalar):
        return _with_scalar(a, b)
    if a.dtype is b.dtype:
        return a.dtype
    if a.dtype.is_float and b.dtype.is_int:
        return a.dtype
    if b.dtype.is_float and a.dtype.is_int:
        return b.dtype
    raise TypeMismatch(
        None,
        f"{a.dtype.value} and {b.dtype.value} do not mix",
        label=f"{a} with {b}",
        help=f'convert one of them, as in cast(x, "{a.dtype.value}")',
    )


def _with_scalar(tensor: Operand, scalar: Scalar) -> DType:
    assert isinstance(tensor, Tensor)
    if isinstance(scalar.value, bool) != (tensor.dtype is DType.BOOL):
        raise TypeMismatch(None, "a bool and a number do not mix", label=f"{tensor} with {scalar}")
    if isinstance(scalar.value, float) and not tensor.dtype.is_float:
        return DType.FLOAT
    return tensor.dtype


def require_float(name: str, operand: Tensor) -> None:
    if not operand.dtype.is_float:
        raise TypeMismatch(
            name,
            f"{name} is {operand.dtype.value}, and it must be float",
            label=str(operand),
            help=f'cast({name}, "float")',
        )


def require_weight_type(name: str, operand: Tensor) -> None:
    """Refuses what does not have the element type of weights, `float`."""
    if operand.dtype is not DType.FLOAT:
        raise TypeMismatch(
            name,
            f"{name} is {operand.dtype.value}, and it meets weights, which are float",
            label=str(operand),
            help=f'convert it first, as in cast({name}, "float")',
        )


def require_int(name: str, operand: Tensor) -> None:
    if not operand.dtype.is_int:
        raise TypeMismatch(name, f"{name} is {operand.dtype.value}, and it must be int", label=str(operand))


def _is_bool(operand: Operand) -> bool:
    return isinstance(operand.value, bool) if isinstance(operand, Scalar) else operand.dtype is DType.BOOL


def require_bool(name: str, operand: Operand) -> None:
    if not _is_bool(operand):
        raise TypeMismatch(
            name, f"{name} is not bool", label=str(operand), help=f"compare it with something, as in {name} > 0"
        )


def require_number(name: str, operand: Operand) -> None:
    """Refuses bools, of which there is no sum, order or magnitude."""
    if _is_bool(operand):
        raise TypeMismatch(
            name, f"{name} is bool, and it must be a number", label=str(operand), help=f'cast({name}, "float")'
        )


def axes(count: int) -> str:
    """A number of axes in words."""
    return "1 axis" if count == 1 else f"{count} axes"


def require_rank(name: str, operand: Tensor, least: int, most: int | None = None) -> None:
    """Refuses a tensor of fewer than `least` or more than `most` axes (exactly `least` where `most` is none)."""
    most = least if most is None else most
    if not least <= operand.rank <= most:
        due = str(least) if least == most else f"{least} or more" if most >= 99 else f"{least} to {most}"
        due = "1 axis is due" if due == "1" else f"{due} axes are due"
        raise ShapeError(name, f"{name} has {axes(operand.rank)}, and {due}", label=str(operand))


def require_axes(name: str, operand: Tensor, least: int) -> None:
    """Refuses a tensor of fewer than `least` axes."""
    require_rank(name, operand, least, 99)


def require_filled(name: str, operand: Tensor, axes: Sequence[int]) -> None:
    """Refuses a tensor that is known to have no elements along one of these axes."""
    for axis in axes:
        if operand.shape[axis].less(1):
            raise ShapeError(
                name, f"{name} is empty along axis {axis}", label=str(operand), sizes=(operand.shape[axis],)
            )


def require_positive(name: str, size: Dim) -> None:
    """Refuses a static size that is known to be less than 1."""
    if size.less(1):
        raise ShapeError(name, f"{name} is {size}, and at least 1 is due", sizes=(size,))


def resolve_axis(axis: int, rank: int, argument: str = "axis") -> int:
    """An axis counted from either end as one counted from 0."""
    if not -rank <= axis < rank:
        span = f"0 to {rank - 1}, or {-rank} to -1" if rank else "no axis at all: the tensor is a scalar"
        raise ShapeError(argument, f"there is no axis {axis}", label=f"the tensor has axes {span}")
    return axis % rank


def resolve_axes(axes: Sequence[int], rank: int, argument: str = "axes") -> tuple[int, ...]:
    """Several axes, each counted from 0, none twice, in ascending order."""
    resolved = [resolve_axis(axis, rank, argument) for axis in axes]
    for position, axis in enumerate(resolved):
        if axis in resolved[:position]:
            raise ShapeError(argument, f"axis {axes[position]} is named twice")
    return tuple(sorted(resolved))


def product(sizes: Sequence[Dim]) -> Dim:
    total = Dim.of(1)
    for size in sizes:
        total = total * size
    return total
