"""`jsonl(path)`: a line of JSON for each example, an object whose members are the columns."""

from __future__ import annotations

import json
import math
from array import array
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from dlc.compiler.elaborate.values import is_sequence
from dlc.compiler.program import Schema
from dlc.compiler.types import DType, Tensor
from dlc.grammar.diagnostics import Refusal
from dlc.grammar.suggest import nearest
from dlc.runtime.data.categories import class_type, classes, some
from dlc.runtime.data.room import Room
from dlc.runtime.data.source import FileSource, Table, identifier
from dlc.runtime.errors import BadHeader, NotANumber, UnreadableData

# So many rows decide what a column holds; the rest is held to it when the data is loaded.
_SURVEYED = 10_000
_LINE = 2**26  # bytes
_NUMBERS = 2**18  # that are read before they are put away
_RANK = 8
_SHOWN = 30
_WORDS = 20  # of a column without categories


@dataclass(frozen=True, slots=True)
class _Row:
    """An example, counted from 1, and the line that it stands on."""

    number: int
    line: int
    members: Mapping[str, Any]


@dataclass(frozen=True)
class Jsonl(FileSource):
    """Columns of numbers, truth values, and lists of them that have the same shape in every row.

    Int where all numbers are whole, else float; `categories` numbers words. What holds something else in the first row
    is no column.
    """

    categories: dict[str, Any] | None = None

    def schema(self) -> Schema:
        columns, keys, words = self._survey()
        known = classes(self.categories, keys, self.span)
        texts = {name: f"categories=({name}=[{some(sorted(found))}])" for name, found in words.items()}
        columns |= {name: class_type(given) for name, given in known.items()}
        return Schema(columns, texts={name: text for name, text in texts.items() if name not in known})

    def load(self, columns: Collection[str], room: Room | None = None) -> Table:
        import numpy as np

        types, keys, _ = self._survey()
        given = classes(self.categories, keys, self.span)
        types |= {name: class_type(words) for name, words in given.items()}
        room = room or self.room()
        codes = {name: "d" if types[name].dtype is DType.FLOAT else "q" for name in columns}
        values: dict[str, array[Any]] = {name: array(code) for name, code in codes.items()}
        kept = {name: bool if types[name].dtype is DType.BOOL else code for name, code in codes.items()}
        made = {name: room.column(kept[name], tuple(int(size) for size in types[name].shape)) for name in columns}
        lines, ends = array("q"), room.column("q")

        def put_away() -> None:
            ends.extend(np.array(lines))
            del lines[:]
            for name, numbers in values.items():
                made[name].extend(np.array(numbers))
                del numbers[:]

        gathered = 0
        for row in self._rows():
            lines.append(row.line)
            for name, numbers in values.items():
                before = len(numbers)
                if name in given:
                    numbers.append(self._number(row, keys[name], given[name]))
                else:
                    numbers.extend(self._numbers(row, keys[name], types[name]))
                gathered += len(numbers) - before
            if gathered >= _NUMBERS or len(lines) >= _NUMBERS:
                put_away()
                gathered = 0
        put_away()
        placed = ends.done()
        arrays = {name: column.done() for name, column in made.items()}
        return Table(arrays, len(placed), lambda index: f"row {index + 1} (line {placed[index]})")

    def _survey(self) -> tuple[dict[str, Tensor], dict[str, str], dict[str, set[str]]]:
        """The type of each column, the member that each name is, and some words of those that hold words."""
        found: dict[str, Tensor | None] = {}
        keys: dict[str, str] = {}
        words: dict[str, set[str]] = {}
        for row in islice(self._rows(), _SURVEYED):
            for key, value in row.members.items():
                name = identifier(key)
                if keys.setdefault(name, key) != key:
                    message = f"{self.path} has `{keys[name]}` and `{key}`, both read as `{name}`"
                    raise Refusal(BadHeader(message, self.span))
                if row.number == 1:
                    found[name] = _type(value)
                    if isinstance(value, str):
                        words[name] = {value}
                elif isinstance(value, str) and len(words.get(name, ())) in range(1, _WORDS):
                    words[name].add(value)
                elif (before := found.get(name)) is not None:
                    # What is of another type is told where it stands, when the column is loaded.
                    found[name] = _widened(before, _type(value)) or before
        if not keys:
            raise Refusal(UnreadableData(f"{self.path} holds no examples", self.span))
        return {name: type for name, type in found.items() if name and type is not None}, keys, words

    def _rows(self) -> Iterator[_Row]:
        try:
            with open(self.require_file(), "rb") as file:
                number = line = 0
                while text := file.readline(_LINE + 1):
                    line += 1
                    if len(text) > _LINE:
                        message = f"line {line} of {self.path} has more than {_LINE:,} bytes"
                        raise Refusal(UnreadableData(message, self.span))
                    if text.strip():
                        number += 1
                        yield _Row(number, line, self._object(text, line))
        except OSError as error:
            raise self.cannot_open(error) from error

    def _object(self, text: bytes, line: int) -> Mapping[str, Any]:
        try:
            members: Any = json.loads(text.decode("utf-8-sig" if line == 1 else "utf-8"))
        except (ValueError, RecursionError) as error:
            reason = "it is nested too deep" if isinstance(error, RecursionError) else str(error)
            message = f"line {line} of {self.path} is no JSON"
            raise Refusal(UnreadableData(message, self.span, notes=(reason,))) from error
        if not isinstance(members, dict):
            help = 'an object holds the columns, as in {"price": 3.5, "rooms": 4}'
            raise Refusal(UnreadableData(f"line {line} of {self.path} is no object", self.span, help=help))
        return members  # pyright: ignore[reportUnknownVariableType]

    def _number(self, row: _Row, key: str, words: Mapping[str, int]) -> int:
        """The number of a category. Raises Refusal where the row holds none of them."""
        word = row.members.get(key)
        if isinstance(word, str) and word in words:
            return words[word]
        found = _shortened(json.dumps(word, ensure_ascii=False))
        message = (
            f"row {row.number} (line {row.line}) of {self.path}: `{key}` is {found}, and one of {some(words)} is due"
        )
        near = nearest(word, words) if isinstance(word, str) else None
        raise Refusal(NotANumber(message, self.span, help=f"did you mean `{near}`?" if near else None))

    def _numbers(self, row: _Row, key: str, due: Tensor) -> Iterator[float]:
        """The numbers of a column in a row, in order. Raises Refusal where they are not of its type."""
        place = f"row {row.number} (line {row.line}) of {self.path}"
        if key not in row.members:
            raise Refusal(NotANumber(f"{place} has no `{key}`, and each row before it does", self.span))
        value = row.members[key]
        found = _type(value)
        if found is None or _widened(due, found) != due:
            told = str(found) if found is not None else _shortened(json.dumps(value))
            message = f"{place}: `{key}` is {told}, and {due} is due"
            raise Refusal(NotANumber(message, self.span))
        return _flat(value)


def _type(value: Any, depth: int = 0) -> Tensor | None:
    """The type of a number or of a list of lists of numbers; none for everything else."""
    if isinstance(value, bool):
        return Tensor.of(dtype=DType.BOOL)
    if isinstance(value, int) and -(2**63) <= value < 2**63:
        return Tensor.of(dtype=DType.INT)
    if isinstance(value, float) and math.isfinite(value):
        return Tensor.of()
    if not is_sequence(value) or not value or depth == _RANK:
        return None
    items = list(value)
    first = _type(items[0], depth + 1)
    for item in items[1:]:
        first = None if first is None else _widened(first, _type(item, depth + 1))
    return None if first is None else Tensor.of(len(items), *first.shape, dtype=first.dtype)


def _widened(before: Tensor, now: Tensor | None) -> Tensor | None:
    """The type of both; none where there is none."""
    if now is None or now.shape != before.shape or (before.dtype is DType.BOOL) != (now.dtype is DType.BOOL):
        return None
    return replace(before, dtype=before.dtype if now.dtype is DType.INT else now.dtype)


def _flat(value: Any) -> Iterator[float]:
    if is_sequence(value):
        for item in value:
            yield from _flat(item)
    else:
        yield value


def _shortened(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
