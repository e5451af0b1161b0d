"""Tables of numbers as text, a row at a time."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

Number = float | int

_SHOWN = 60


def csv_rows(path: Path) -> Iterator[list[Number]]:
    """The rows of a .csv file, a first line of names being skipped. Raises ValueError at the row that is wrong."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = (row for row in csv.reader(file) if row)
        first = next(rows, None)
        if first is None:
            return
        named = not all(map(is_number, first))
        for line, row in enumerate(rows if named else chain([first], rows), 2 if named else 1):
            if len(row) != len(first):
                raise ValueError(f"row {line} has {len(row)} columns, and the first has {len(first)}")
            for column, cell in enumerate(row, 1):
                if not is_number(cell):
                    raise ValueError(f"row {line}, column {column}: `{shortened(cell)}` is not a number")
            yield [number(cell) for cell in row]


def txt_rows(path: Path) -> Iterator[list[Number]]:
    """The lines of a .txt file with numbers between blanks. Raises ValueError."""
    width = None
    with path.open(encoding="utf-8") as file:
        for place, line in enumerate(file, 1):
            row = [number(word) for word in line.split()]
            width = width or len(row)
            if row and len(row) != width:
                raise ValueError(f"line {place} has {len(row)} numbers, and the first has {width}")
            if row:
                yield row


def is_number(text: str) -> bool:
    try:
        number(text)
    except ValueError:
        return False
    return True


def number(text: str) -> Number:
    """A number as text, in the type that it is written in. Raises ValueError."""
    try:
        return int(text)
    except ValueError:
        return float(text)


def shortened(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."
