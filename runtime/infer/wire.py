"""Protobuf's wire format, read in place: what a file says is looked at field by field, and nothing is allocated for it.

A parser of protobuf makes an object of every message, and a copy of every tensor, before anybody has asked whether the
file is to be trusted. Here a field is a number and where its value stands.
"""

from __future__ import annotations

from collections.abc import Iterator
from mmap import mmap
from typing import NamedTuple

_MOST_FIELDS = 2_000_000  # a model of ten thousand nodes has some 200,000
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


class DamagedError(ValueError):
    """What is read is not protobuf, or not what ONNX makes of it."""


class Field(NamedTuple):
    """A field of a message: its number, and its value: a number, or the place of its bytes."""

    number: int
    value: int
    start: int
    end: int
    is_bytes: bool


class Wire:
    """The bytes of a file, and how many fields of it may still be read. The bound keeps time within limits."""

    def __init__(self, data: mmap | bytes, most: int = _MOST_FIELDS) -> None:
        self.data = data
        self._left = most

    def fields(self, start: int, end: int) -> Iterator[Field]:
        """The fields of the message from `start` to `end`. Raises DamagedError."""
        data, place = self.data, start
        while place < end:
            self._left -= 1
            if self._left < 0:
                raise DamagedError("it has more parts than a model has")
            key = data[place]
            if key < 0x80:
                place += 1
            else:
                key, place = self._varint(place, end)
            number, kind = key >> 3, key & 7
            if number == 0:
                raise DamagedError("a field has the number 0")
            if kind == _BYTES:
                size, place = self._varint(place, end)
                if size > end - place:
                    raise DamagedError("it ends before all that it announces")
                yield Field(number, 0, place, place + size, True)
                place += size
            elif kind == _VARINT:
                value, place = self._varint(place, end)
                yield Field(number, value, 0, 0, False)
            elif kind in (_FIXED64, _FIXED32):
                size = 8 if kind == _FIXED64 else 4
                if size > end - place:
                    raise DamagedError("it ends before all that it announces")
                yield Field(number, int.from_bytes(data[place : place + size], "little"), 0, 0, False)
                place += size
            else:
                raise DamagedError("it is not written as protobuf")

    def numbers(self, field: Field) -> Iterator[int]:
        """The signed integers of a repeated field, which stand one by one or packed."""
        if not field.is_bytes:
            yield signed(field.value)
            return
        place = field.start
        while place < field.end:
            value, place = self._varint(place, field.end)
            yield signed(value)

    def text(self, field: Field, most: int = 1_000_000) -> str:
        """The text of a field. Raises DamagedError where it is none, or longer than `most` bytes."""
        if not field.is_bytes or field.end - field.start > most:
            raise DamagedError("a name or a text is none, or too long")
        try:
            return bytes(self.data[field.start : field.end]).decode()
        except UnicodeDecodeError:
            raise DamagedError("a name or a text is not UTF-8") from None

    def _varint(self, place: int, end: int) -> tuple[int, int]:
        data, value, shift = self.data, 0, 0
        while place < end:
            byte = data[place]
            place += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value & 0xFFFF_FFFF_FFFF_FFFF, place
            shift += 7
            if shift > 63:
                raise DamagedError("a number is longer than 64 bits")
        raise DamagedError("it ends within a number")


def signed(value: int) -> int:
    """An int64 from the 64 bits that it is stored as."""
    return value - 2**64 if value >= 2**63 else value
