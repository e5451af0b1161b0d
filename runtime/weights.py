"""Weights as they lie in a .safetensors file: none is read before it is asked for.

The format: the length of the header in eight bytes, the header in JSON, the tensors one behind the other.
Source: https://github.com/huggingface/safetensors#format
"""

from __future__ import annotations

import io
import json
import mmap
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from dlc.compiler.onnx.elements import item_size, numpy_type
from dlc.compiler.onnx.model import Source
from dlc.compiler.types import DType

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

_LENGTH = 8
_LONGEST = 100_000_000  # the bytes of a header, as the format's own library has it
_TYPES = {
    "F64": DType.FLOAT64,
    "F32": DType.FLOAT,
    "F16": DType.FLOAT16,
    "BF16": DType.BFLOAT16,
    "I64": DType.INT,
    "I32": DType.INT32,
    "I8": DType.INT8,
    "U8": DType.UINT8,
    "BOOL": DType.BOOL,
}


class _File(io.FileIO):
    """A file that stays open as long as something of it may be read: what takes its place by then is another file."""

    def __del__(self) -> None:
        self.close()


@dataclass(frozen=True, slots=True)
class Entry:
    """One tensor in a file."""

    source: Source
    dtype: DType
    shape: tuple[int, ...]


class StoredWeights(Mapping[str, "Array"]):
    """Weights by name. Each time that one is asked for, it is mapped into memory anew, so that none is kept there."""

    def __init__(self, entries: Mapping[str, Entry]) -> None:
        self.entries = entries

    def source(self, path: str) -> Source:
        """Where a weight lies."""
        return self.entries[path].source

    def __getitem__(self, path: str) -> Array:
        import numpy as np

        entry = self.entries[path]
        dtype, size = numpy_type(entry.dtype), prod(entry.shape)
        if not size:  # nothing can be mapped where there is nothing
            return np.empty(entry.shape, dtype)
        start = entry.source.offset
        before = start % mmap.ALLOCATIONGRANULARITY
        length = before + size * dtype.itemsize
        mapped = mmap.mmap(entry.source.file.fileno(), length, access=mmap.ACCESS_COPY, offset=start - before)
        return np.frombuffer(mapped, dtype, size, before).reshape(entry.shape)

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)


def open_weights(path: Path) -> StoredWeights:
    """The weights in a file. OSError where it cannot be read, ValueError where it is not what it should be."""
    file = _File(path)
    size = os.fstat(file.fileno()).st_size
    length = int.from_bytes(file.read(_LENGTH), "little")
    if size < _LENGTH or length > min(_LONGEST, size - _LENGTH):
        raise ValueError("the header is longer than the file")
    try:
        header: Any = json.loads(file.read(length))
    except (ValueError, RecursionError):
        raise ValueError("the header is damaged") from None
    if not isinstance(header, dict):
        raise ValueError("the header is damaged")
    start = _LENGTH + length
    told = cast("dict[str, Any]", header)
    entries = {name: _entry(file, name, told[name], start, size) for name in told if name != "__metadata__"}
    held = sum(item_size(entry.dtype) * prod(entry.shape) for entry in entries.values())
    if start + held != size:
        raise ValueError(f"the file has {size} bytes, and its tensors fill {start + held}")
    return StoredWeights(entries)


def _entry(file: io.FileIO, name: str, told: Any, start: int, size: int) -> Entry:
    match told:
        case {"dtype": str(kind), "shape": [*sizes], "data_offsets": [int(first), int(end)]} if all(
            isinstance(each, int) and each >= 0 for each in sizes
        ):
            shape = tuple(sizes)
        case _:
            raise ValueError(f"the header is damaged at `{name}`")
    if kind not in _TYPES:
        raise ValueError(f"`{name}` is {kind}, which is no element type of the language")
    dtype = _TYPES[kind]
    if not 0 <= first <= end <= size - start or end - first != prod(shape) * item_size(dtype):
        raise ValueError(f"`{name}` does not lie where the header says")
    return Entry(Source(file, start + first), dtype, shape)
