"""A run's data expressions over other data of the same columns: what its model is given, as it was in training."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlc.compiler.calls import every_node
from dlc.compiler.graph import Call, Value
from dlc.compiler.program import DataSpec, Schema
from dlc.compiler.types import DType
from dlc.grammar.diagnostics import Refusal
from dlc.grammar.suggest import nearest
from dlc.runtime.data.source import Table
from dlc.runtime.errors import BadHeader, SourceArguments, UnknownInstance
from dlc.runtime.train.run import Run

if TYPE_CHECKING:
    import numpy as np

    from dlc.runtime.data.source import DataSource

    Array = np.ndarray[Any, Any]

_PATHS = ("csv", "parquet", "jsonl", "npz", "images")


class Transformed:
    """The inputs of a run's instance for the rows of a file. Raises Refusal where the file does not fit the spec.

    The file is of the kind that the run's `data` block reads, with the columns that the model's inputs are made of;
    statistics are those that were fitted in training.
    """

    def __init__(self, run: Run, instance: str, inputs: list[str], path: str) -> None:
        from dlc.runtime.data.statistics import read_statistics

        self._spec = run.spec.data
        self._named = _fields_of(run, instance, inputs)
        self._fields = _needed(self._spec, set(self._named.values()))
        self._source = _source(self._spec, path)
        read = {name for field in self._fields for name in self._spec.fields[field].graph.inputs}
        columns = read & self._spec.schema.columns.keys()
        _compare(self._spec.schema, self._source, columns)
        self._table = self._source.load(columns)
        self._fitted = read_statistics(run.folder, self._spec)
        self._seed = run.config.seed

    @property
    def count(self) -> int:
        """How many examples there are."""
        return self._table.count

    def batches(self, size: int) -> Iterator[dict[str, Array]]:
        """The model's inputs by name, so many examples at a time; each field is held to its type."""
        from dlc.compiler.torch.emit import emit_fields, field_functions
        from dlc.runtime.data.load import compute_fields
        from dlc.runtime.emitted import load_module

        spec = self._spec
        module = load_module(spec.name, emit_fields(spec))
        functions = {graph: getattr(module, name) for graph, name in field_functions(spec).items()}
        for start in range(0, self.count, size):
            part = _rows(self._table, start, min(start + size, self.count))
            found = compute_fields(spec, self._fields, self._source, part, functions, self._fitted, self._seed)
            yield {name: found[field].numpy() for name, field in self._named.items()}


def _fields_of(run: Run, instance: str, inputs: list[str]) -> dict[str, str]:
    """The field that each input of an instance is given in the run's own step. Raises Refusal."""
    spec = run.spec
    graph = (spec.evaluate or spec.step).graph
    names = {value: name for name, value in graph.inputs.items()}
    given: list[dict[str, str]] = []
    for node in every_node(graph):
        if node.module == instance and isinstance(node.action, Call):
            operands = node.inputs[: len(inputs)]
            fields = [names.get(operand, "") for operand in operands if isinstance(operand, Value)]
            known = [field for field in fields if field in spec.data.fields]
            if len(known) == len(inputs):
                given.append(dict(zip(inputs, known, strict=True)))
    if given and all(other == given[0] for other in given):
        return given[0]
    if all(name in spec.data.fields for name in inputs):
        return {name: name for name in inputs}
    told = "gives it different fields" if given else "gives it something else than fields of the data"
    raise Refusal(
        UnknownInstance(
            f"the inputs of `{instance}` are not known from the data alone: the step of {spec.name} {told}",
            spec.span,
            help="give them by name, as in --in name=file.npy",
        )
    )


def _needed(spec: DataSpec, wanted: set[str]) -> set[str]:
    """The fields that are wanted, and those that they read."""
    needed = set(wanted)
    for name, field in reversed([*spec.fields.items()]):
        if name in needed:
            needed |= field.graph.inputs.keys() & spec.fields.keys()
    return needed


def _source(spec: DataSpec, path: str) -> DataSource:
    """The block's source with another file in its place. Relative paths start where the command was called."""
    from dlc.runtime.data.open import open_source

    call = spec.source
    if call.kind not in _PATHS:
        told = f"{spec.name} reads `{call.kind}`, in whose place no file can be read"
        raise Refusal(SourceArguments(told, call.span, help=f"that can be done for {', '.join(_PATHS)}"))
    if call.arguments:
        other = replace(call, arguments=(path, *call.arguments[1:]))
    else:
        other = replace(call, named={**call.named, "path": path})
    return open_source(other, Path.cwd())


def _compare(schema: Schema, source: DataSource, columns: set[str]) -> None:
    """Refuses a file whose columns are not what the fields were compiled for."""
    offered = source.schema()
    found = offered.columns
    for name in sorted(columns):
        due = schema.columns[name]
        if name in offered.texts:
            raise Refusal(BadHeader(f"column `{name}` of {source.title} holds words, and {due} is due", None))
        if name not in found:
            near = nearest(name, found)
            help = f"did you mean `{near}`?" if near else f"it has {', '.join(found)}"
            raise Refusal(BadHeader(f"{source.title} has no column `{name}`", None, help=help))
        has = found[name]
        widened = has.dtype is DType.INT and due.dtype is DType.FLOAT
        if has.shape != due.shape or not (has.dtype is due.dtype or widened):
            told = f"column `{name}` of {source.title} is {has} for each example, and {due} is due"
            raise Refusal(BadHeader(told, None))


def _rows(table: Table, start: int, stop: int) -> Table:
    return Table(
        {name: column[start:stop] for name, column in table.columns.items()},
        stop - start,
        lambda index: table.row(start + index),
    )
