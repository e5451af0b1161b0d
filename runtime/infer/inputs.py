"""Inputs of a model from files and from text: arrays, tables, images, numbers in brackets."""

from __future__ import annotations

import ast
import csv
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from dlc.compiler.onnx.elements import numpy_type
from dlc.compiler.types import DType
from dlc.grammar.diagnostics import Refusal
from dlc.runtime.infer.description import Port
from dlc.runtime.infer.errors import UnreadableInput

Array = np.ndarray[Any, Any]

_MAX_LITERAL = 1_000_000
_GREY, _RGB = 1, 3


def read_input(text: str, port: Port) -> Array:
    """The array that `--in name=text` stands for: a file by its ending, or numbers such as `[[1, 2], [3, 4]]`.

    Text is read in the element type of the port; .npy and .npz keep theirs. An image becomes numbers from 0 to 1 in
    the shape [1, channels, height, width], in grey or colour as the port has channels. Raises Refusal.
    """
    reader = _READERS.get(Path(text).suffix.lower())
    if reader is None:
        return _literal(text, port)
    path = Path(text)
    try:
        return reader(path, port)
    except FileNotFoundError:
        raise Refusal(_unreadable(port, f"there is no file {path}")) from None
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise Refusal(_unreadable(port, f"{path} cannot be read", str(error))) from None


def from_python(value: Any, port: Port | None) -> Array:
    """An array as it is; numbers and nested lists in the element type of the port where that loses nothing."""
    array: Array = np.asarray(value)
    return array if isinstance(value, np.ndarray) or port is None else _of_type(array, port)


def _of_type(array: Array, port: Port) -> Array:
    """Numbers that had no element type of their own: whole ones go into any, fractions into floats alone."""
    whole = array.dtype.kind in "iu" or array.size == 0
    if (
        array.dtype.kind == "b"
        or (array.dtype.kind == "f" and not port.dtype.is_float)
        or array.dtype.kind not in "iuf"
    ):
        return array
    due = numpy_type(port.dtype)
    if port.dtype is DType.BOOL or (whole and port.dtype.is_int and not _holds(due, array)):
        return array
    return array.astype(due)


def _holds(due: np.dtype[Any], array: Array) -> bool:
    limits = np.iinfo(due)
    return array.size == 0 or bool(limits.min <= array.min() and array.max() <= limits.max)


def _literal(text: str, port: Port) -> Array:
    if len(text) > _MAX_LITERAL:
        raise Refusal(_unreadable(port, "the value is too long: put it into a file"))
    spelled = {"true": "True", "false": "False"}.get(text.strip(), text)
    try:
        value: Any = ast.literal_eval(spelled)
        array = np.asarray(value)
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        raise Refusal(
            _unreadable(port, f"`{_short(text)}` is neither a file of a kind that is known nor numbers")
        ) from None
    if array.dtype.kind not in "biuf":
        raise Refusal(_unreadable(port, f"`{_short(text)}` is not numbers in brackets"))
    return _of_type(array, port)


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}..."


def _npy(path: Path, port: Port) -> Array:
    with path.open("rb") as file:
        return np.lib.format.read_array(file, allow_pickle=False)


def _npz(path: Path, port: Port) -> Array:
    with np.load(path, allow_pickle=False) as stored:
        names = list(stored.files)
        if port.name not in names and len(names) != 1:
            raise ValueError(f"it holds {', '.join(names) or 'nothing'}, and no array {port.name}")
        return stored[port.name if port.name in names else names[0]]


def _csv(path: Path, port: Port) -> Array:
    """A table of numbers, a first line of names being skipped."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = [row for row in csv.reader(file) if row]
    first = 1 if rows and not all(map(_is_number, rows[0])) else 0
    numbers: list[list[float | int]] = []
    for line, row in enumerate(rows[first:], first + 1):
        if len(row) != len(rows[first]):
            raise ValueError(f"row {line} has {len(row)} columns, and the first has {len(rows[first])}")
        for column, cell in enumerate(row, 1):
            if not _is_number(cell):
                raise ValueError(f"row {line}, column {column}: `{_short(cell)}` is not a number")
        numbers.append([_number(cell) for cell in row])
    table = np.asarray(numbers)
    return _of_type(table[:, 0] if port.rank == 1 and table.ndim == 2 and table.shape[1] == 1 else table, port)


def _txt(path: Path, port: Port) -> Array:
    """Numbers between blanks, a line a row; one line is one row of as many axes as the port has."""
    lines = [line.split() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    table = np.asarray([[_number(word) for word in line] for line in lines])
    if table.ndim == 2 and port.rank < 2:
        table = table.reshape(-1) if port.rank == 1 else table.reshape(()) if table.size == 1 else table
    return _of_type(table, port)


def _is_number(text: str) -> bool:
    try:
        _number(text)
    except ValueError:
        return False
    return True


def _number(text: str) -> float | int:
    try:
        return int(text)
    except ValueError:
        return float(text)


def _image(path: Path, port: Port) -> Array:
    from PIL import Image, UnidentifiedImageError

    channels = port.shape[1].constant if port.rank == 4 else None
    if channels not in (_GREY, _RGB):
        raise ValueError(f"an image fits an input float[N, 1, H, W] or float[N, 3, H, W], and {port.name} is {port}")
    try:
        with Image.open(path) as image:
            pixels = np.asarray(image.convert("L" if channels == _GREY else "RGB"), np.float32) / 255
    except (UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise ValueError(str(error)) from error
    layout = pixels[None] if channels == _GREY else pixels.transpose(2, 0, 1)
    return np.ascontiguousarray(layout[None])


def _unreadable(port: Port, message: str, *notes: str) -> UnreadableInput:
    return UnreadableInput(f"the input `{port.name}`: {message}", None, notes=notes)


_READERS: dict[str, Callable[[Path, Port], Array]] = {
    ".npy": _npy,
    ".npz": _npz,
    ".csv": _csv,
    ".txt": _txt,
    ".png": _image,
    ".jpg": _image,
    ".jpeg": _image,
}
