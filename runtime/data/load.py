"""From a `data` block to tensors: the source is read, each field computed and checked, and the examples split."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import accumulate, pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dlc.compiler.program import DataSpec, Field
from dlc.compiler.types import DType
from dlc.grammar.diagnostics import Refusal
from dlc.runtime.data.source import DataSource, Table, open_source
from dlc.runtime.emitted import load_module
from dlc.runtime.errors import EmptyPart, NotFinite, OutOfRange
from dlc.runtime.seeds import Stream, derive, permutation, torch_seeded

# So many examples are computed at once: bounds the memory, and is part of what makes random fields reproducible.
_CHUNK = 4096

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


@dataclass(frozen=True, slots=True)
class Dataset:
    """Examples in memory: for each part its fields, each with one entry along axis 0 for each example."""

    parts: Mapping[str, Mapping[str, Tensor]]

    def count(self, part: str) -> int:
        """The number of examples in a part."""
        return next(iter(self.parts[part].values())).shape[0]

    def to(self, device: torch.device) -> Dataset:
        """The same examples in the memory of a device."""
        return Dataset(
            {part: {name: value.to(device) for name, value in fields.items()} for part, fields in self.parts.items()}
        )


def load_data(spec: DataSpec, folder: Path, seed: int) -> Dataset:
    """The examples that a `data` block describes, split, the same for the same seed.

    folder: where relative paths start. Raises Refusal where the data does not fit what the block declares.
    """
    from dlc.compiler.torch.emit import emit_fields
    from dlc.compiler.torch.names import identifier

    source = open_source(spec.source, folder)
    table = source.load({name for field in spec.fields.values() for name in field.graph.inputs})
    module = load_module(spec.name, emit_fields(spec))
    functions = {name: getattr(module, identifier(name)) for name in spec.fields}
    fields = compute_fields(spec, source, table, functions, seed)
    return split(spec, fields, table.count, seed)


def compute_fields(
    spec: DataSpec,
    source: DataSource,
    table: Table,
    functions: Mapping[str, Callable[..., Tensor]],
    seed: int,
) -> dict[str, Tensor]:
    """Each field of all examples, by functions of the columns of one example. Raises Refusal."""
    fields: dict[str, Tensor] = {}
    for index, (name, field) in enumerate(spec.fields.items()):
        with torch_seeded(derive(seed, Stream.FIELDS, index)):
            fields[name] = _compute(field, table, functions[name])
        _check(field, fields[name], source, table)
    return fields


def _compute(field: Field, table: Table, function: Callable[..., Tensor]) -> Tensor:
    columns = [(table.columns[name], TORCH_TYPES[value.type.dtype]) for name, value in field.graph.inputs.items()]

    def one(_: Tensor, *given: Tensor) -> Tensor:
        return function(*given)

    every = torch.vmap(one, randomness="different")
    chunks: list[Tensor] = []
    for start in range(0, table.count, _CHUNK):
        stop = min(start + _CHUNK, table.count)
        # A field may read no column at all, and is mapped over the examples all the same.
        given = [torch.arange(start, stop)]
        given += [torch.as_tensor(np.array(column[start:stop])).to(dtype) for column, dtype in columns]
        chunks.append(every(*given))
    values = torch.cat(chunks)
    due = (table.count, *(int(size) for size in field.type.shape))
    if tuple(values.shape) != due or values.dtype is not TORCH_TYPES[field.type.dtype]:
        found = f"{values.dtype}{list(values.shape)}"
        raise RuntimeError(f"the field {field.name} was computed as {found}, and {field.type} was compiled")
    return values.contiguous()


def _check(field: Field, values: Tensor, source: DataSource, table: Table) -> None:
    """Holds a field to the range that its type promises."""
    if field.type.dtype.is_float:
        found = _first(values.isnan())
        if found is not None:
            raise Refusal(NotFinite(f"{_place(field, found, source, table)} is not a number", field.span))
    if field.type.below is not None:
        below = int(field.type.below)
        found = _first((values < 0) | (values >= below))
        if found is not None:
            value = int(values[found])
            raise Refusal(
                OutOfRange(
                    f"{_place(field, found, source, table)} is {value}, outside of the declared range",
                    field.span,
                    label=f"from 0 to {below - 1}",
                    help=_counting_from_one(values, below),
                )
            )


def _first(wrong: Tensor) -> tuple[int, ...] | None:
    """The indices of the first element that is true."""
    places = wrong.nonzero()
    return tuple(int(index) for index in places[0]) if len(places) else None


def _place(field: Field, index: tuple[int, ...], source: DataSource, table: Table) -> str:
    """An element of a field in the words of the data: its row, and its column where it is read from a single one."""
    columns = list(field.graph.inputs)
    read = f" from column `{columns[0]}`" if len(columns) == 1 and columns[0] != field.name else ""
    element = f"[{', '.join(map(str, index[1:]))}]" if index[1:] else ""
    return f"{table.row(index[0])} of {source.title}: `{field.name}{element}`{read}"


def _counting_from_one(values: Tensor, below: int) -> str | None:
    if int(values.min()) == 1 and int(values.max()) == below:
        return "the values count from 1: subtract 1 from them"
    return None


# --- parts ------------------------------------------------------------------------------------------------------


def split(spec: DataSpec, fields: Mapping[str, Tensor], count: int, seed: int) -> Dataset:
    """The examples of each part, drawn without replacement. Raises Refusal where a part would be empty."""
    bounds = [0, *(round(share * count) for share in accumulate(spec.split.values()))]
    order = permutation(count, seed, Stream.SPLIT)
    parts: dict[str, dict[str, Tensor]] = {}
    for (part, share), (start, stop) in zip(spec.split.items(), pairwise(bounds), strict=True):
        if start == stop:
            raise Refusal(
                EmptyPart(f"the part `{part}` of {spec.name} would be empty: {share:g} of {count} examples", spec.span)
            )
        chosen = torch.as_tensor(np.sort(order[start:stop]))
        parts[part] = {name: values[chosen] for name, values in fields.items()}
    return Dataset(parts)
