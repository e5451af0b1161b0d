"""Messages between a session and its process: a document in JSON and arrays behind it, as bytes. No pickle."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dlc.compiler.onnx.elements import numpy_type
from dlc.compiler.types import DType

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

_HEADER = struct.Struct("<Q")
_MOST = 2**26  # bytes of a document
_PIECE = 2**20  # bytes read at once
_MOST_PIECES = 64  # written at once


class BrokenFrameError(Exception):
    """The other side has ended, or does not keep to the protocol."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A message: what it says, and its arrays by name."""

    document: Mapping[str, Any]
    arrays: Mapping[str, Array]


def send(stream: int, document: Mapping[str, Any], arrays: Mapping[str, Array] | None = None) -> None:
    """Writes a message to a file descriptor. Raises BrokenFrameError where nobody reads it."""
    import numpy as np

    given = {name: np.ascontiguousarray(array).reshape(array.shape) for name, array in (arrays or {}).items()}
    told = [[name, _name(array), list(array.shape)] for name, array in given.items()]
    head = json.dumps({"document": document, "arrays": told}).encode()
    views: list[memoryview] = [array.reshape(-1).view(np.uint8).data for array in given.values() if array.size]
    try:
        _write(stream, [memoryview(_HEADER.pack(len(head)) + head), *views])
    except OSError as error:
        raise BrokenFrameError(str(error)) from error


def receive(stream: int, wait: Callable[[], None], most: int) -> Frame | None:
    """Reads a message from a file descriptor, none at its end.

    wait: called before each piece is read, and free to raise. most: bytes that its arrays may take up. Raises
    BrokenFrameError.
    """
    import numpy as np

    size = _read(stream, _HEADER.size, wait, may_end=True)
    if size is None:
        return None
    (length,) = _HEADER.unpack(size)
    if length > _MOST:
        raise BrokenFrameError("a message is too long")
    try:
        head: dict[str, Any] = json.loads(_expected(stream, length, wait))
        arrays: dict[str, Array] = {}
        for name, type, shape in head["arrays"]:
            array = _room(numpy_type(DType(type)), [int(size) for size in shape], most)
            most -= array.nbytes
            if array.size:
                _fill(stream, array.reshape(-1).view(np.uint8).data, wait)
            arrays[name] = array
        return Frame(head["document"], arrays)
    except (KeyError, TypeError, ValueError) as error:
        raise BrokenFrameError(str(error)) from error


def _room(dtype: np.dtype[Any], shape: list[int], most: int) -> Array:
    from math import prod

    import numpy as np

    if any(size < 0 for size in shape) or prod(shape) * dtype.itemsize > most:
        raise BrokenFrameError("an array is too large")
    return np.empty(shape, dtype)


def _name(array: Array) -> str:
    """The language's name for an array's element type."""
    found = next((dtype for dtype in DType if numpy_type(dtype) == array.dtype), None)
    if found is None:
        raise BrokenFrameError(f"there are no tensors of {array.dtype}")
    return found.value


def _write(stream: int, pieces: list[memoryview]) -> None:
    """Writes all pieces, as many at once as the system takes: of a small message its whole."""
    while pieces:
        written = os.writev(stream, pieces[:_MOST_PIECES])
        while pieces and written >= len(pieces[0]):
            written -= len(pieces.pop(0))
        if pieces:
            pieces[0] = pieces[0][written:]


def _expected(stream: int, length: int, wait: Callable[[], None]) -> bytes:
    data = _read(stream, length, wait, may_end=False)
    assert data is not None
    return data


def _read(stream: int, length: int, wait: Callable[[], None], *, may_end: bool) -> bytes | None:
    data = bytearray()
    while len(data) < length:
        wait()
        piece = os.read(stream, min(length - len(data), _PIECE))
        if not piece:
            if may_end and not data:
                return None
            raise BrokenFrameError("it has ended")
        data += piece
    return bytes(data)


def _fill(stream: int, room: memoryview, wait: Callable[[], None]) -> None:
    while room:
        wait()
        count = os.readv(stream, [room[:_PIECE]])
        if not count:
            raise BrokenFrameError("it has ended")
        room = room[count:]
