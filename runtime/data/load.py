"""From a `data` block to examples: the source is read, each field computed and checked, and the examples split."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dlc.compiler.graph import Graph
from dlc.compiler.program import DataSpec
from dlc.grammar.diagnostics import Refusal
from dlc.runtime.data.examples import Examples, Held
from dlc.runtime.data.fields import Check, Computing, Function, piece_rows
from dlc.runtime.data.open import open_source
from dlc.runtime.data.room import Room
from dlc.runtime.data.source import DataSource, Table
from dlc.runtime.data.statistics import Moments, frequencies, keys
from dlc.runtime.data.streamed import Stored, Streamed
from dlc.runtime.data.windows import TOKENS
from dlc.runtime.emitted import load_module
from dlc.runtime.errors import EmptyPart
from dlc.runtime.seeds import Stream, derive, permutation, torch_seeded

if TYPE_CHECKING:
    from dlc.runtime.data.examples import Rows


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
    room = Room(span=spec.source.span)
    table = source.load(columns_read(spec), room)
    module = load_module(spec.name, emit_fields(spec))
    functions = {graph: getattr(module, name) for graph, name in field_functions(spec).items()}
    return compute(spec, source, table, functions, seed, fitted, room)


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
    room: Room | None = None,
) -> Dataset:
    """Each field of all examples in order, by functions of one example for the fields' graphs and their statistics'.

    A field reads columns, the fields above it, and its own statistics. room: that of the table, in which fields are
    kept too. Raises Refusal.
    """
    rows = split(spec, table, seed)
    room = room or Room(span=spec.source.span)
    computing = Computing(source, table, functions, room, piece_rows(spec))
    known: dict[str, Tensor | NDArray[Any]] = dict(table.columns)
    fields: dict[str, Stored] = {}
    statistics = dict(fitted or {})
    for index, (name, field) in enumerate(spec.fields.items()):
        fits: dict[str, Tensor] = {}
        for statistic in field.statistics:
            mean, deviation = keys(field, statistic)
            if fitted is None:
                # From the seed of the field, so that what is drawn in fitting is drawn again in computing.
                with torch_seeded(derive(seed, Stream.FIELDS, index)):
                    pieces = computing.pieces(statistic.graph, known, fits)
                    found = _fit(pieces, rows["train"], Check(field, source, table))
                statistics[mean], statistics[deviation] = found
            fits[f"{statistic.name}_mean"], fits[f"{statistic.name}_std"] = statistics[mean], statistics[deviation]
        with torch_seeded(derive(seed, Stream.FIELDS, index)):
            fields[name] = computing.field(field, known, fits)
        known[name] = fields[name].values
    shares = None
    if spec.schema.vocabulary is not None:
        shares = frequencies(torch.as_tensor(table.columns[TOKENS])[rows["train"]], spec.schema.vocabulary)
    parts: dict[str, Examples]
    if room.spilled:
        parts = {part: Streamed(fields, chosen, room) for part, chosen in rows.items()}
    else:
        parts = {
            part: Held({name: field.values[chosen] for name, field in fields.items()}) for part, chosen in rows.items()
        }
    printed = table.fingerprint(room.release)
    return Dataset(parts, statistics, shares, printed)


def _fit(pieces: Iterator[tuple[int, Tensor]], chosen: Rows, check: Check) -> tuple[Tensor, Tensor]:
    """The mean and the deviation of the examples of a part."""
    moments = Moments()
    dtype = torch.float32
    for start, values in pieces:
        check.finite(start, values)
        dtype, stop = values.dtype, start + len(values)
        if isinstance(chosen, slice):
            moments.add(values[max(0, chosen.start - start) : max(0, chosen.stop - start)])
        else:
            first, last = np.searchsorted(chosen, (start, stop))
            moments.add(values[torch.as_tensor(chosen[first:last] - start)])
    return moments.standard(dtype)


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
    computing = Computing(source, table, functions, Room(span=spec.source.span), piece_rows(spec))
    known: dict[str, Tensor | NDArray[Any]] = dict(table.columns)
    fields: dict[str, Tensor] = {}
    for index, (name, field) in enumerate(spec.fields.items()):
        if name not in names:
            continue
        fits: dict[str, Tensor] = {}
        for statistic in field.statistics:
            mean, deviation = keys(field, statistic)
            fits[f"{statistic.name}_mean"], fits[f"{statistic.name}_std"] = fitted[mean], fitted[deviation]
        with torch_seeded(derive(seed, Stream.FIELDS, index)):
            fields[name] = computing.field(field, known, fits).values
        known[name] = fields[name]
    return fields


# --- parts ------------------------------------------------------------------------------------------------------


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
        parts[part] = slice(start, end) if order is None else np.sort(order[start:end])
    return parts
