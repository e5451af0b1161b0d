"""From a `data` block to tensors: the source is read, each field computed and checked, and the examples split."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dlc.compiler.graph import Graph
from dlc.compiler.program import DataSpec, Field
from dlc.compiler.types import DType
from dlc.grammar.diagnostics import Refusal
from dlc.runtime.data.examples import Examples, Held
from dlc.runtime.data.open import open_source
from dlc.runtime.data.source import DataSource, Table
from dlc.runtime.data.statistics import frequencies, keys, standard
from dlc.runtime.data.windows import TOKENS
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

Function = Callable[..., Tensor]
Column = Tensor | NDArray[Any]


@dataclass(frozen=True, slots=True)
class Dataset:
    """The examples of each part.

    statistics: what `standardize` was fitted to, by the names that a run keeps it under. frequencies: of a text, the
    share of each token in the training part. fingerprint: a hash of what was read from the source.
    """

    parts: Mapping[str, Examples]
    statistics: Mapping[str, Tensor]
    frequencies: Tensor | None
    fingerprint: str

    def count(self, part: str) -> int:
        """The number of examples in a part."""
        return self.parts[part].count

    def to(self, device: torch.device) -> Dataset:
        """The same examples, fetched to a device."""
        parts = {part: examples.to(device) for part, examples in self.parts.items()}
        shares = None if self.frequencies is None else self.frequencies.to(device)
        return replace(self, parts=parts, frequencies=shares)


def load_data(spec: DataSpec, folder: Path, seed: int, fitted: Mapping[str, Tensor] | None = None) -> Dataset:
    """The examples that a `data` block describes, split, the same for the same seed.

    folder: where relative paths start. fitted: statistics that were fitted before, and are used again. Raises Refusal
    where the data does not fit what the block declares.
    """
    from dlc.compiler.torch.emit import emit_fields, field_functions

    source = open_source(spec.source, folder)
    table = source.load(columns_read(spec))
    module = load_module(spec.name, emit_fields(spec))
    functions = {graph: getattr(module, name) for graph, name in field_functions(spec).items()}
    return compute(spec, source, table, functions, seed, fitted)


def columns_read(spec: DataSpec) -> set[str]:
    """The columns of the source that a data block makes use of."""
    graphs = [field.graph for field in spec.fields.values()]
    graphs += [statistic.graph for field in spec.fields.values() for statistic in field.statistics]
    read = {name for graph in graphs for name in graph.inputs}
    return {name for name in spec.schema.columns if name in read or (name == TOKENS and spec.schema.vocabulary)}


def compute(
    spec: DataSpec,
    source: DataSource,
    table: Table,
    functions: Mapping[Graph, Function],
    seed: int,
    fitted: Mapping[str, Tensor] | None = None,
) -> Dataset:
    """Each field of all examples in order, by functions of one example for the fields' graphs and their statistics'.

    A field reads columns, the fields above it, and its own statistics. Raises Refusal.
    """
    rows = split(spec, table, seed)
    known: dict[str, Column] = dict(table.columns)
    fields: dict[str, Tensor] = {}
    statistics = dict(fitted or {})
    for index, (name, field) in enumerate(spec.fields.items()):
        fits: dict[str, Tensor] = {}
        for statistic in field.statistics:
            mean, deviation = keys(field, statistic)
            if fitted is None:
                # From the seed of the field, so that what is drawn in fitting is drawn again in computing.
                with torch_seeded(derive(seed, Stream.FIELDS, index)):
                    values = _each(statistic.graph, functions[statistic.graph], known, fits, table.count)
                _check_finite(field, values, source, table)
                statistics[mean], statistics[deviation] = standard(values[rows["train"]])
            fits[f"{statistic.name}_mean"], fits[f"{statistic.name}_std"] = statistics[mean], statistics[deviation]
        with torch_seeded(derive(seed, Stream.FIELDS, index)):
            fields[name] = _each(field.graph, functions[field.graph], known, fits, table.count)
        _check(field, fields[name], source, table)
        known[name] = fields[name]
    parts = {part: Held({name: values[chosen] for name, values in fields.items()}) for part, chosen in rows.items()}
    shares = None
    if spec.schema.vocabulary is not None:
        shares = frequencies(torch.as_tensor(table.columns[TOKENS])[rows["train"]], spec.schema.vocabulary)
    return Dataset(parts, statistics, shares, table.fingerprint())


def compute_fields(
    spec: DataSpec,
    names: Collection[str],
    source: DataSource,
    table: Table,
    functions: Mapping[Graph, Function],
    fitted: Mapping[str, Tensor],
    seed: int,
) -> dict[str, Tensor]:
    """Some fields of all examples of a table, by statistics that were fitted before. `names` holds every field that
    one of them reads. Raises Refusal."""
    known: dict[str, Column] = dict(table.columns)
    fields: dict[str, Tensor] = {}
    for index, (name, field) in enumerate(spec.fields.items()):
        if name not in names:
            continue
        fits: dict[str, Tensor] = {}
        for statistic in field.statistics:
            mean, deviation = keys(field, statistic)
            fits[f"{statistic.name}_mean"], fits[f"{statistic.name}_std"] = fitted[mean], fitted[deviation]
        with torch_seeded(derive(seed, Stream.FIELDS, index)):
            fields[name] = _each(field.graph, functions[field.graph], known, fits, table.count)
        _check(field, fields[name], source, table)
        known[name] = fields[name]
    return fields


def _each(
    graph: Graph, function: Function, known: Mapping[str, Column], fits: Mapping[str, Tensor], count: int
) -> Tensor:
    """A graph's value for each example. known: columns and fields, fits: statistics, by the names of inputs."""
    (output,) = graph.outputs
    dtype = TORCH_TYPES[output.type.dtype]
    column = next((known[name] for name, value in graph.inputs.items() if value is output and name in known), None)
    if column is not None and (isinstance(column, Tensor) or column.flags.writeable):
        taken = torch.as_tensor(column)
        if taken.dtype is dtype:
            return taken  # without a copy: the windows of a text overlap
    # A field may read nothing at all, and is mapped over the examples all the same.
    axes = (0, *(None if name in fits else 0 for name in graph.inputs))

    def one(_: Tensor, *given: Tensor) -> Tensor:
        return function(*given)

    every = torch.vmap(one, in_dims=axes, randomness="different")
    values = torch.empty((count, *(int(size) for size in output.type.shape)), dtype=dtype)
    for start in range(0, count, _CHUNK):
        stop = min(start + _CHUNK, count)
        given = [torch.arange(start, stop)]
        for name, value in graph.inputs.items():
            own = fits[name] if name in fits else _piece(known[name], start, stop)
            given.append(own.to(TORCH_TYPES[value.type.dtype]))
        found = every(*given)
        if found.shape[1:] != values.shape[1:] or found.dtype is not dtype:
            told = f"{found.dtype}{list(found.shape[1:])}"
            raise RuntimeError(f"the field {graph.name} was computed as {told}, and {output.type} was compiled")
        values[start:stop] = found
    return values


def _piece(column: Column, start: int, stop: int) -> Tensor:
    return column[start:stop] if isinstance(column, Tensor) else torch.as_tensor(np.array(column[start:stop]))


def _check(field: Field, values: Tensor, source: DataSource, table: Table) -> None:
    """Holds a field to the range that its type promises."""
    _check_finite(field, values, source, table)
    if field.type.below is not None and (values.min() < 0 or values.max() >= int(field.type.below)):
        below = int(field.type.below)
        found = _first((values < 0) | (values >= below))
        raise Refusal(
            OutOfRange(
                f"{_place(field, found, source, table)} is {int(values[found])}, outside of the declared range",
                field.span,
                label=f"from 0 to {below - 1}",
                help=_counting_from_one(values, below),
            )
        )


def _check_finite(field: Field, values: Tensor, source: DataSource, table: Table) -> None:
    if values.dtype.is_floating_point and bool(values.isnan().any()):
        place = _place(field, _first(values.isnan()), source, table)
        raise Refusal(NotFinite(f"{place} is not a number", field.span))


def _first(wrong: Tensor) -> tuple[int, ...]:
    """The indices of the first element that is true."""
    return tuple(int(index) for index in wrong.nonzero()[0])


def _place(field: Field, index: tuple[int, ...], source: DataSource, table: Table) -> str:
    """An element of a field in the words of the data: its row, and its column where it is read from a single one."""
    columns = [name for name in field.graph.inputs if name in table.columns]
    read = f" from column `{columns[0]}`" if len(columns) == 1 and columns[0] != field.name else ""
    element = f"[{', '.join(map(str, index[1:]))}]" if index[1:] else ""
    return f"{table.row(index[0])} of {source.title}: `{field.name}{element}`{read}"


def _counting_from_one(values: Tensor, below: int) -> str | None:
    if int(values.min()) == 1 and int(values.max()) == below:
        return "the values count from 1: subtract 1 from them"
    return None


# --- parts ------------------------------------------------------------------------------------------------------

Rows = Tensor | slice


def split(spec: DataSpec, table: Table, seed: int) -> dict[str, Rows]:
    """The examples of each part: drawn without replacement, or one after the other where the source has an order.

    What stands between two parts that are in order, and shares something with both, belongs to neither. Raises Refusal
    where a part would be empty.
    """
    count, overlap = table.count, table.overlap
    bounds = [0, *(round(share * count) for share in accumulate(spec.split.values()))]
    order = permutation(count, seed, Stream.SPLIT) if overlap is None else None
    parts: dict[str, Rows] = {}
    for (part, share), (start, stop) in zip(spec.split.items(), pairwise(bounds), strict=True):
        end = stop if stop == count else stop - (overlap or 0)
        if start >= end:
            raise Refusal(
                EmptyPart(f"the part `{part}` of {spec.name} would be empty: {share:g} of {count} examples", spec.span)
            )
        parts[part] = slice(start, end) if order is None else torch.as_tensor(np.sort(order[start:end]))
    return parts
