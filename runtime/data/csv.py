"""`csv(path, delimiter=",")`: a table of numbers and categories as text, whose first line names the columns."""

from __future__ import annotations

import csv
import math
from array import array
from collections.abc import Callable, Collection, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any

from dlc.compiler.program import Schema
from dlc.compiler.types import DType, Tensor
from dlc.grammar.diagnostics import Refusal
from dlc.grammar.suggest import nearest
from dlc.runtime.data.categories import class_type, classes, some
from dlc.runtime.data.room import Column, Room
from dlc.runtime.data.source import FileSource, Table, identifier
from dlc.runtime.errors import BadHeader, NotANumber, RaggedRow, SourceArguments, UnreadableData

# So many rows decide whether a column is of whole numbers; the rest is held to it when the data is loaded.
_SURVEYED = 10_000
_SHOWN = 30
_WORDS = 20  # of a column without categories
_ROWS = 2**16  # that are read before they are put away


@dataclass(frozen=True, slots=True)
class _Row:
    """A row of data, counted from 1 without the header, and the line that it ends on."""

    number: int
    line: int
    cells: list[str]


@dataclass(frozen=True)
class Csv(FileSource):
    """The columns of a file: int where all cells are whole numbers, else float.

    Where cells are words, `categories` numbers them, as they stand in its list; without it, what holds no number is no
    column.
    """

    delimiter: str = ","
    categories: dict[str, Any] | None = None

    def schema(self) -> Schema:
        return self._survey()[0]

    def _survey(self) -> tuple[Schema, dict[str, dict[str, int]]]:
        """The columns, and the numbers of the words of those that have categories."""
        with self._rows() as (names, rows):
            given = classes(self.categories, names, self.span)
            whole, numbers = [True] * len(names), [False] * len(names)
            words: list[dict[str, None]] = [{} for _ in names]
            for row in islice(rows, _SURVEYED):
                for column, cell in enumerate(row.cells):
                    if _number(cell) is not None:
                        numbers[column] = True
                        whole[column] = whole[column] and _whole(cell) is not None
                    elif not numbers[column] and len(words[column]) < _WORDS and cell.strip():
                        words[column][cell.strip()] = None
        columns: dict[str, Tensor] = {}
        texts: dict[str, str] = {}
        for column, name in enumerate(names):
            if name in given:
                columns[name] = class_type(given[name])
            elif words[column] and not numbers[column]:
                texts[name] = f"categories=({name}=[{some(sorted(words[column]))}])"
            else:  # a cell among numbers that is none is told where it stands, when the column is loaded
                columns[name] = Tensor.of(dtype=DType.INT if whole[column] else DType.FLOAT)
        return Schema(columns, texts=texts), given

    def load(self, columns: Collection[str], room: Room | None = None) -> Table:
        schema, given = self._survey()
        room = room or self.room()
        types = {name: "q" if schema.columns[name].dtype is DType.INT else "d" for name in columns}
        values: dict[str, array[Any]] = {name: array(type) for name, type in types.items()}
        made = {name: room.column(type) for name, type in types.items()}
        lines, ends = array("q"), room.column("q")
        with self._rows() as (names, rows):
            readers = [
                (values[name].append, names.index(name), _reader(schema.columns[name].dtype, given.get(name)))
                for name in values
            ]
            for row in rows:
                lines.append(row.line)
                if len(lines) == _ROWS:
                    _move(lines, ends)
                    for name, numbers in values.items():
                        _move(numbers, made[name])
                for append, column, read in readers:
                    number = read(row.cells[column])
                    if number is None:
                        name = names[column]
                        raise self._refused(row, name, row.cells[column], schema.columns[name].dtype, given.get(name))
                    append(number)
        _move(lines, ends)
        for name, numbers in values.items():
            _move(numbers, made[name])
        if not ends.count:
            raise Refusal(UnreadableData(f"{self.path} has a header and no rows", self.span))
        placed = ends.done()
        arrays = {name: column.done() for name, column in made.items()}
        return Table(arrays, len(placed), lambda index: f"row {index + 1} (line {placed[index]})")

    @contextmanager
    def _rows(self) -> Generator[tuple[list[str], Iterator[_Row]], None, None]:
        """The columns' names, and the rows, each as wide as the header."""
        if len(self.delimiter) != 1 or self.delimiter in '"\r\n':
            raise Refusal(SourceArguments("`csv` takes a single character as `delimiter`", self.span))
        path = self.require_file()
        try:
            with open(path, encoding="utf-8-sig", newline="") as file:
                reader = csv.reader(file, delimiter=self.delimiter, strict=True)
                header = next((row for row in reader if row), None)
                if header is None:
                    raise Refusal(UnreadableData(f"{self.path} is empty", self.span))
                yield self._names(header), self._even(reader, len(header))
        except OSError as error:
            raise self.cannot_open(error) from error
        except UnicodeDecodeError as error:
            raise Refusal(UnreadableData(f"{self.path} is not text in UTF-8", self.span)) from error
        except csv.Error as error:
            raise Refusal(UnreadableData(f"{self.path} is no table: {error}", self.span)) from error

    def _even(self, reader: Any, width: int) -> Iterator[_Row]:
        number = 0
        cells: list[str]
        for cells in reader:
            if not cells:
                continue
            number += 1
            line: int = reader.line_num
            if len(cells) != width:
                raise Refusal(
                    RaggedRow(
                        f"row {number} (line {line}) of {self.path} has {_cells(len(cells))}, "
                        f"and its header names {width}",
                        self.span,
                        notes=(f"the row is {_shortened(self.delimiter.join(cells))}",),
                    )
                )
            yield _Row(number, line, cells)

    def _names(self, header: list[str]) -> list[str]:
        if all(_number(cell) is not None for cell in header):
            raise Refusal(
                BadHeader(
                    f"the first line of {self.path} holds numbers, and the names of the columns are due",
                    self.span,
                    notes=(f"the line is {_shortened(self.delimiter.join(header))}",),
                    help="put a line with a name for each column before it",
                )
            )
        names: list[str] = []
        for position, cell in enumerate(header):
            name = identifier(cell)
            if not name:
                raise Refusal(BadHeader(f"column {position + 1} of {self.path} has no name", self.span))
            if name in names:
                first = header[names.index(name)]
                which = f"two columns `{name}`" if first == cell else f"`{first}` and `{cell}`, both read as `{name}`"
                raise Refusal(BadHeader(f"{self.path} has {which}", self.span))
            names.append(name)
        return names

    def _refused(self, row: _Row, column: str, cell: str, dtype: DType, words: Mapping[str, int] | None) -> Refusal:
        found = f"holds `{_shortened(cell.strip())}`" if cell.strip() else "is empty"
        due, help = "a number", None
        if words is not None:
            due, near = f"one of {some(words)}", nearest(cell.strip(), words)
            help = f"did you mean `{near}`?" if near else None
        elif dtype is DType.INT and _number(cell) is not None:
            due = "a whole number"
            help = f"the first {_SURVEYED:,} rows hold whole numbers; write the first as 1.0 for a column of floats"
        message = f"row {row.number} (line {row.line}), column `{column}` of {self.path} {found}, and {due} is due"
        return Refusal(NotANumber(message, self.span, help=help))


def _reader(dtype: DType, words: Mapping[str, int] | None) -> Callable[[str], float | None]:
    if words is not None:
        return lambda cell: words.get(cell.strip())
    return _whole if dtype is DType.INT else _number


def _move(numbers: array[Any], column: Column) -> None:
    """Puts away the numbers of some rows."""
    import numpy as np

    column.extend(np.array(numbers))
    del numbers[:]


def _number(cell: str) -> float | None:
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if math.isfinite(value) and "_" not in cell else None


def _whole(cell: str) -> int | None:
    try:
        value = int(cell)
    except ValueError:
        return None
    return value if -(2**63) <= value < 2**63 and "_" not in cell else None


def _cells(count: int) -> str:
    return "1 cell" if count == 1 else f"{count} cells"


def _shortened(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
