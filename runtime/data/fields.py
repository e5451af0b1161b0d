"""The values of a field for every example, computed and held to the field's type a piece at a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dlc.compiler.graph import Graph
from dlc.compiler.program import DataSpec, Field
from dlc.compiler.types import DType, product
from dlc.grammar.diagnostics import Refusal
from dlc.runtime.data.room import Room
from dlc.runtime.data.source import DataSource, Table
from dlc.runtime.data.streamed import Stored
from dlc.runtime.errors import NotFinite, OutOfRange

# So many examples are computed at once, or as many as so many bytes hold: bounds the memory, and is part of what makes
# random fields reproducible.
_ROWS = 4096
_BYTES = 2**26

TORCH_TYPES = {
    DType.FLOAT: torch.float32,
    DType.FLOAT64: torch.float64,
    DType.FLOAT16: torch.float16,
    DType.BFLOAT16: torch.bfloat16,
    DType.INT: torch.int64,
    DType.INT32: torch.int32,
    DType.INT8: torch.int8,
    DType.UINT8: torch.uint8,
    DType.BOOL: torch.bool,
}

Function = Callable[..., Tensor]
Known = Mapping[str, Tensor | NDArray[Any]]


def piece_rows(spec: DataSpec) -> int:
    """How many examples are computed at once: a matter of the spec alone."""
    types = [*spec.schema.columns.values(), *(field.type for field in spec.fields.values())]
    size = sum(8 * int(product(type.shape)) for type in types)
    return max(1, min(_ROWS, _BYTES // max(1, size)))


@dataclass(frozen=True, slots=True)
class Computing:
    """What fields are computed from. known: columns, and the fields above, by their names. rows: at once."""

    source: DataSource
    table: Table
    functions: Mapping[Graph, Function]
    room: Room
    rows: int

    def pieces(self, graph: Graph, known: Known, fits: Mapping[str, Tensor]) -> Iterator[tuple[int, Tensor]]:
        """A graph's value for each example: where a piece starts, and the piece. fits: statistics by name."""
        (output,) = graph.outputs
        dtype = TORCH_TYPES[output.type.dtype]
        shape = tuple(int(size) for size in output.type.shape)
        function = self.functions[graph]
        # A field may read nothing at all, and is mapped over the examples all the same.
        axes = (0, *(None if name in fits else 0 for name in graph.inputs))

        def one(_: Tensor, *given: Tensor) -> Tensor:
            return function(*given)

        every = torch.vmap(one, in_dims=axes, randomness="different")
        for start in range(0, self.table.count, self.rows):
            stop = min(start + self.rows, self.table.count)
            given = [torch.arange(start, stop)]
            for name, value in graph.inputs.items():
                own = fits[name] if name in fits else _piece(known[name], start, stop)
                given.append(own.to(TORCH_TYPES[value.type.dtype]))
            found = every(*given)
            if found.shape[1:] != shape or found.dtype is not dtype:
                told = f"{found.dtype}{list(found.shape[1:])}"
                raise RuntimeError(f"the field {graph.name} was computed as {told}, and {output.type} was compiled")
            yield start, found
            self.room.release()

    def field(self, field: Field, known: Known, fits: Mapping[str, Tensor]) -> Stored:
        """A field of all examples, held to its type. Raises Refusal."""
        graph = field.graph
        dtype = TORCH_TYPES[graph.outputs[0].type.dtype]
        check = Check(field, self.source, self.table)
        taken = _as_it_is(graph, known, dtype, spilled=self.room.spilled)
        if taken is not None:  # without a copy: the windows of a text overlap
            apart = (self.table.overlap or 0) + 1  # so that no element is looked at as often as it is shared
            step = apart * self.rows
            for start in range(0, len(taken), step):
                check.see(start, taken[start : start + step : apart].to(dtype), apart)
                self.room.release()
            check.see(len(taken) - 1, taken[-1:].to(dtype))
            check.end()
            return Stored(taken, dtype)
        shape = tuple(int(size) for size in graph.outputs[0].type.shape)
        self.room.require(
            self.table.count * math.prod(shape) * dtype.itemsize, f"`{field.name}` of {self.source.title}"
        )
        made = self.room.column(np.int16 if dtype is torch.bfloat16 else _numpy_type(dtype), shape)
        for start, values in self.pieces(graph, known, fits):
            check.see(start, values)
            made.extend((values.view(torch.int16) if dtype is torch.bfloat16 else values).numpy())
        check.end()
        found = torch.as_tensor(made.done())
        return Stored(found.view(torch.bfloat16) if dtype is torch.bfloat16 else found, dtype)


def _as_it_is(graph: Graph, known: Known, dtype: torch.dtype, *, spilled: bool) -> Tensor | None:
    """What a field is that is nothing but a column or another field. What is in files is kept there in its own type."""
    (output,) = graph.outputs
    column = next((known[name] for name, value in graph.inputs.items() if value is output and name in known), None)
    if column is None or not (isinstance(column, Tensor) or column.flags.writeable):
        return None
    if isinstance(column, np.ndarray) and not column.dtype.isnative:
        return None
    if isinstance(column, np.ndarray) and column.dtype.kind == "u" and column.dtype.itemsize > 1:
        return None  # which PyTorch computes nothing with
    taken = torch.as_tensor(column)
    return taken if taken.dtype is dtype or spilled else None


def _piece(column: Tensor | NDArray[Any], start: int, stop: int) -> Tensor:
    return column[start:stop] if isinstance(column, Tensor) else torch.as_tensor(np.array(column[start:stop]))


def _numpy_type(dtype: torch.dtype) -> np.dtype[Any]:
    return torch.empty(0, dtype=dtype).numpy().dtype


# --- ranges -----------------------------------------------------------------------------------------------------


class Check:
    """Holds a field to the range that its type promises. The first value of all that is none is told."""

    def __init__(self, field: Field, source: DataSource, table: Table) -> None:
        self._field, self._source, self._table = field, source, table
        self._below = None if field.type.below is None else int(field.type.below)
        self._low = self._high = 0
        self._found: tuple[tuple[int, ...], int] | None = None

    def see(self, start: int, values: Tensor, apart: int = 1) -> None:
        """A piece of the values, of every so many-th example from one on. Raises Refusal for what is no number."""
        self.finite(start, values, apart)
        if self._below is None or not values.numel():
            return
        low, high = int(values.min()), int(values.max())
        self._low, self._high = (min(self._low, low), max(self._high, high)) if start else (low, high)
        if self._found is None and (low < 0 or high >= self._below):
            index = _first((values < 0) | (values >= self._below))
            self._found = (start + index[0] * apart, *index[1:]), int(values[index])

    def finite(self, start: int, values: Tensor, apart: int = 1) -> None:
        """Refuses what is not a number."""
        if values.dtype.is_floating_point and bool(values.isnan().any()):
            index = _first(values.isnan())
            place = self._place((start + index[0] * apart, *index[1:]))
            raise Refusal(NotFinite(f"{place} is not a number", self._field.span))

    def end(self) -> None:
        """All values were seen. Raises Refusal where one is out of range."""
        if self._found is not None and self._below is not None:
            index, value = self._found
            from_one = self._low == 1 and self._high == self._below
            raise Refusal(
                OutOfRange(
                    f"{self._place(index)} is {value}, outside of the declared range",
                    self._field.span,
                    label=f"from 0 to {self._below - 1}",
                    help="the values count from 1: subtract 1 from them" if from_one else None,
                )
            )

    def _place(self, index: tuple[int, ...]) -> str:
        """An element of the field in the words of the data: its row, and its column where it is read from a single
        one."""
        field = self._field
        columns = [name for name in field.graph.inputs if name in self._table.columns]
        read = f" from column `{columns[0]}`" if len(columns) == 1 and columns[0] != field.name else ""
        element = f"[{', '.join(map(str, index[1:]))}]" if index[1:] else ""
        return f"{self._table.row(index[0])} of {self._source.title}: `{field.name}{element}`{read}"


def _first(wrong: Tensor) -> tuple[int, ...]:
    """The indices of the first element that is true."""
    return tuple(int(index) for index in wrong.nonzero()[0])
