"""Inputs of a model from files and from text: arrays, tables, images, numbers in brackets."""

from __future__ import annotations

import ast
import os
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from dlc.compiler.onnx.elements import numpy_type
from dlc.compiler.types import DType
from dlc.grammar.diagnostics import Refusal
from dlc.runtime.infer.description import Port
from dlc.runtime.infer.errors import UnreadableInput
from dlc.runtime.infer.pictures import image_files, read_image
from dlc.runtime.infer.tables import Number, csv_rows, shortened, txt_rows

Array = np.ndarray[Any, Any]
T = TypeVar("T")

_MAX_LITERAL = 1_000_000
_GREY, _RGB = 1, 3


def read_input(text: str, port: Port) -> Array:
    """The array that `--in name=text` stands for: a file by its ending, or numbers such as `[[1, 2], [3, 4]]`.

    Text is read in the element type of the port; .npy and .npz keep theirs. An image becomes numbers from 0 to 1 in
    the shape [1, channels, height, width], in grey or colour as the port has channels; a folder becomes all of its
    images, in the order of their names. Raises Refusal.
    """
    path = Path(text)
    reader = _READERS.get(path.suffix.lower())
    if reader is None and not os.path.isdir(text):
        return _literal(text, port)
    return reading(port, path, lambda: (reader or _folder)(path, port))


def reading(port: Port, path: Path, read: Callable[[], T]) -> T:
    """What `read` gives, a failure being told as one of the file. Raises Refusal."""
    try:
        return read()
    except FileNotFoundError:
        raise Refusal(_unreadable(port, f"there is no file {path}")) from None
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise Refusal(_unreadable(port, f"{path} cannot be read", str(error))) from None


def from_python(value: Any, port: Port | None) -> Array:
    """An array as it is; numbers and nested lists in the element type of the port where that loses nothing."""
    array: Array = np.asarray(value)
    if isinstance(value, np.ndarray) or port is None:
        return array
    try:
        return _of_type(array, port)
    except ValueError as error:
        raise Refusal(_unreadable(port, str(error))) from None


def _of_type(array: Array, port: Port) -> Array:
    """Numbers that had no element type of their own: whole ones go into any, fractions into floats alone.

    Raises ValueError for one that is beyond what a float of the port can hold.
    """
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
    with np.errstate(over="ignore"):
        cast = array.astype(due)
    if port.dtype.is_float:
        beyond = ~np.isfinite(cast) & np.isfinite(array)
        if beyond.any():
            raise ValueError(f"{array[beyond][0]} is beyond what {due} can hold")
    return cast


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
            _unreadable(port, f"`{shortened(text)}` is neither a file of a kind that is known nor numbers")
        ) from None
    if array.dtype.kind not in "biuf":
        raise Refusal(_unreadable(port, f"`{shortened(text)}` is not numbers in brackets"))
    try:
        return _of_type(array, port)
    except ValueError as error:
        raise Refusal(_unreadable(port, str(error))) from None


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
    return table([*csv_rows(path)], port)


def _txt(path: Path, port: Port) -> Array:
    """One line is one row of as many axes as the port has."""
    rows = [*txt_rows(path)]
    if port.rank < 2 and len(rows) == 1:
        row: Array = np.asarray(rows[0])
        return _of_type(row.reshape(()) if port.rank == 0 and row.size == 1 else row, port)
    return table(rows, port)


def table(rows: Sequence[Sequence[Number]], port: Port) -> Array:
    """Rows of numbers in the element type of the port; of a single column a vector, where that is due. ValueError."""
    found: Array = np.asarray(rows)
    return _of_type(found[:, 0] if port.rank == 1 and found.ndim == 2 and found.shape[1] == 1 else found, port)


def _image(path: Path, port: Port) -> Array:
    return read_image(path, channels_of(port))[None]


def _folder(path: Path, port: Port) -> Array:
    channels = channels_of(port)
    return stacked([(file, read_image(file, channels)) for file in image_files(path)])


def stacked(images: Sequence[tuple[Path, Array]]) -> Array:
    """Images float32[channels, height, width] of one size as float32[n, channels, height, width]. Raises ValueError."""
    if not images:
        raise ValueError("it holds no images")
    first, pixels = images[0]
    for file, other in images:
        if other.shape != pixels.shape:
            (height, width), (tall, wide) = pixels.shape[1:], other.shape[1:]
            raise ValueError(f"{file.name} is {wide} wide and {tall} high, and {first.name} is {width} and {height}")
    return np.stack([other for _, other in images])


def channels_of(port: Port) -> int:
    """How many channels the images of a port have. Raises ValueError where it takes none."""
    channels = port.shape[1].constant if port.rank == 4 else None
    if channels not in (_GREY, _RGB):
        raise ValueError(f"an image fits an input float[N, 1, H, W] or float[N, 3, H, W], and {port.name} is {port}")
    return channels


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
