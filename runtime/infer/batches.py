"""Inputs from files in batches: a part of a file is read at a time, so that it may be larger than memory."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy

from dlc.compiler.dim import Symbol
from dlc.grammar.diagnostics import Refusal
from dlc.runtime.infer.description import Port
from dlc.runtime.infer.errors import InputShape
from dlc.runtime.infer.inputs import channels_of, read_input, reading, stacked, table
from dlc.runtime.infer.pictures import image_files, read_image
from dlc.runtime.infer.session import Session
from dlc.runtime.infer.tables import Number, csv_rows, txt_rows

Array = np.ndarray[Any, Any]


def in_batches(
    session: Session, inputs: Mapping[str, Iterator[Array]], *, tuned: bool = False
) -> Iterator[dict[str, Array]]:
    """The outputs of one batch after the other. inputs: for each its batches, of equal lengths along axis 0.

    tuned: with the first batch it is measured how its size runs fastest.

    Raises Refusal where the model has inputs or outputs without an axis for the examples, which all share, and where
    one input has more examples than another.
    """
    require_batched(session)
    number = 0
    while True:
        given = {name: next(pieces, None) for name, pieces in inputs.items()}
        arrays = {name: array for name, array in given.items() if array is not None}
        if not arrays:
            if not number:
                raise Refusal(InputShape("the inputs hold no examples", None))
            return
        counts = {name: 0 if array is None else len(array) for name, array in given.items()}
        if len(set(counts.values())) > 1:
            told = ", ".join(f"{name}: {number + count}" for name, count in counts.items())
            raise Refusal(InputShape("the inputs have different numbers of examples", None, notes=(told,)))
        if tuned and not number:
            session.tune(arrays)
        number += next(iter(counts.values()))
        results = session.call(arrays)
        for name, array in results.items():
            if array.ndim == 0 or len(array) != counts[next(iter(counts))]:
                told = f"`{name}` is {list(array.shape)} for {counts[next(iter(counts))]} examples"
                raise Refusal(InputShape("an output has no axis for the examples of a batch", None, notes=(told,)))
        yield results


def require_batched(session: Session) -> None:
    """Refuses a model that does not have one axis for the examples of a batch, the first of all inputs and outputs."""
    axis: Symbol | None = None
    for port in (*session.inputs, *session.outputs):
        if port.any_rank:
            continue
        own = port.shape[0].as_symbol() if port.rank else None
        known = own is not None and (axis is None or axis == own or "?" in (axis.name[0], own.name[0]))
        if not known:
            first = f", whose first axis is {axis.name}" if axis else ""
            message = f"`{port.name}`: {port} has no first axis for the examples of a batch{first}"
            raise Refusal(InputShape(message, None, help="run the model on all of it, without batches"))
        axis = axis or own


def pieces(text: str, port: Port, batch: int) -> Iterator[Array]:
    """What `--in name=text` stands for, so many entries of axis 0 at a time. Raises Refusal.

    Of an .npy, an .npz, a table and a folder of images only a batch is read at a time.
    """
    path = Path(text)
    reader = _STREAMS.get(path.suffix.lower(), _images if os.path.isdir(text) else None)
    if reader is None:
        whole = read_input(text, port)
        yield from (whole[start : start + batch] for start in range(0, len(whole) if whole.ndim else 0, batch))
        return
    stream = reader(path, port, batch)
    while (piece := reading(port, path, lambda: next(stream, None))) is not None:
        yield piece


def _npy(path: Path, port: Port, batch: int) -> Iterator[Array]:
    with path.open("rb") as file:
        yield from _entries(file, batch)


def _npz(path: Path, port: Port, batch: int) -> Iterator[Array]:
    with zipfile.ZipFile(path) as archive:
        names = [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]
        if port.name not in names and len(names) != 1:
            raise ValueError(f"it holds {', '.join(names) or 'nothing'}, and no array {port.name}")
        with archive.open(f"{port.name if port.name in names else names[0]}.npy") as file:
            yield from _entries(file, batch)


def _entries(file: IO[bytes], batch: int) -> Iterator[Array]:
    """An array in NumPy's format, so many entries of axis 0 at a time. Raises ValueError."""
    shape, fortran, dtype = _header(file)
    if dtype.hasobject:
        raise ValueError("it holds objects, which are pickles, and are not read")
    if fortran or not shape:
        raise ValueError("it is a single number, or in Fortran's order, and has no entries one after the other")
    for start in range(0, shape[0], batch):
        own = (min(batch, shape[0] - start), *shape[1:])
        data = file.read(prod(own) * dtype.itemsize)
        if len(data) < prod(own) * dtype.itemsize:
            raise ValueError(f"it ends before its {shape[0]:,} entries do")
        yield np.frombuffer(data, dtype).reshape(own)


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = npy.read_magic(file)
    if version == (1, 0):
        return npy.read_array_header_1_0(file)
    if version == (2, 0):
        return npy.read_array_header_2_0(file)
    raise ValueError(f"it has version {version} of NumPy's format")


def _csv(path: Path, port: Port, batch: int) -> Iterator[Array]:
    return _tables(csv_rows(path), port, batch)


def _txt(path: Path, port: Port, batch: int) -> Iterator[Array]:
    return _tables(txt_rows(path), port, batch)


def _tables(rows: Iterator[list[Number]], port: Port, batch: int) -> Iterator[Array]:
    while some := [*islice(rows, batch)]:
        yield table(some, port)


def _images(path: Path, port: Port, batch: int) -> Iterator[Array]:
    channels = channels_of(port)
    files: Iterable[Path] = iter(image_files(path))
    while some := [*islice(files, batch)]:
        yield stacked([(file, read_image(file, channels)) for file in some])


_STREAMS: dict[str, Callable[[Path, Port, int], Iterator[Array]]] = {
    ".npy": _npy,
    ".npz": _npz,
    ".csv": _csv,
    ".txt": _txt,
}
