"""Outputs of a model as they come, a batch at a time, into a file: whole or not at all."""

from __future__ import annotations

import csv
import json
import os
import shutil
import zipfile
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, TYPE_CHECKING, Any

import click

from dlc.runtime.cli.arrays import plain
from dlc.runtime.cli.output import refusing_to_write

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

Results = Mapping[str, "Array"]
FORMATS = (".npz", ".npy", ".csv", ".jsonl", ".png")
_MOST_IMAGES = 1024


def require_format(output: str) -> None:
    """UsageError where results cannot be written to a file of this name."""
    if Path(output).suffix not in FORMATS:
        raise click.UsageError(f"{output}: outputs are written to {', '.join(FORMATS[:-1])} or {FORMATS[-1]}")


def write_results(batches: Iterator[Results], output: str) -> int:
    """Writes the outputs of one batch after the other, and tells of how many examples they are.

    .npz has an array an output, .npy the only one, .csv a column a number, .jsonl a line an example, .png the images
    of the only output that is images. Raises Refusal, and UsageError where the outputs do not fit the format.
    """
    with refusing_to_write(output), _replacing(Path(output)) as path:
        return _WRITERS[Path(output).suffix](batches, path, output)


@contextmanager
def _replacing(path: Path) -> Generator[Path]:
    """A file beside that place, which takes the place once all is written."""
    from dlc.runtime.files import sync_folder

    beside = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        yield beside
        with open(beside, "rb") as file:
            os.fsync(file.fileno())
        os.replace(beside, path)
        sync_folder(path.parent)
    finally:
        beside.unlink(missing_ok=True)


class _Spool:
    """An array that grows along axis 0, in a file of its own."""

    def __init__(self, name: str, file: IO[bytes]) -> None:
        self._name, self._file = name, file
        self._count = 0
        self._like: Array | None = None

    def add(self, array: Array) -> None:
        like = self._like
        if like is not None and (array.shape[1:], array.dtype) != (like.shape[1:], like.dtype):
            told = f"{self._name} is {list(array.shape[1:])} for some examples, and {list(like.shape[1:])} for others"
            raise click.UsageError(f"{told}: results of several sizes are written to .jsonl")
        self._like = array[:0]
        self._count += len(array)
        self._file.write(array.tobytes())

    def copy(self, target: IO[bytes]) -> None:
        """The whole array in NumPy's format."""
        from numpy.lib import format as npy

        assert self._like is not None
        shape = (self._count, *self._like.shape[1:])
        described = npy.dtype_to_descr(self._like.dtype)
        npy.write_array_header_1_0(target, {"descr": described, "fortran_order": False, "shape": shape})
        self._file.seek(0)
        shutil.copyfileobj(self._file, target, 2**20)


def _npz(batches: Iterator[Results], path: Path, output: str) -> int:
    with ExitStack() as stack:
        count, spools = _spooled(batches, stack)
        with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
            for name, spool in spools.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                    spool.copy(entry)
    return count


def _npy(batches: Iterator[Results], path: Path, output: str) -> int:
    with ExitStack() as stack:
        count, spools = _spooled(batches, stack)
        if len(spools) != 1:
            told = f"a .npy file holds one array, and there are {len(spools)}: name an .npz"
            raise click.UsageError(f"{output}: {told}")
        with open(path, "wb") as file:
            next(iter(spools.values())).copy(file)
    return count


def _spooled(batches: Iterator[Results], stack: ExitStack) -> tuple[int, dict[str, _Spool]]:
    count = 0
    spools: dict[str, _Spool] = {}
    for results in batches:
        count += _count(results)
        for name, array in results.items():
            if name not in spools:
                file = stack.enter_context(TemporaryFile())  # noqa: SIM115 (the stack closes it)
                spools[name] = _Spool(name, file)
            spools[name].add(array)
    return count, spools


def _csv(batches: Iterator[Results], path: Path, output: str) -> int:
    count = 0
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        for results in batches:
            tables = {name: _table(name, array, output) for name, array in results.items()}
            if not count:
                writer.writerow([title for titles, _ in tables.values() for title in titles])
            count += _count(results)
            columns = [rows for _, rows in tables.values()]
            writer.writerows([cell for cells in row for cell in cells] for row in zip(*columns, strict=True))
    return count


def _table(name: str, array: Array, output: str) -> tuple[list[str], list[list[Any]]]:
    """The titles of an output's columns, and its rows."""
    if array.ndim > 2:
        told = f"{name} has {array.ndim} axes, and a row of a table one beside that of the examples: name an .npz"
        raise click.UsageError(f"{output}: {told}")
    titles = [name] if array.ndim == 1 else [f"{name}_{place}" for place in range(array.shape[1])]
    return titles, array.reshape(len(array), -1).tolist()


def _jsonl(batches: Iterator[Results], path: Path, output: str) -> int:
    count = 0
    with open(path, "w", encoding="utf-8") as file:
        for results in batches:
            examples = {name: plain(array) for name, array in results.items()}
            for place in range(_count(results)):
                line = {name: values[place] for name, values in examples.items()}
                file.write(json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n")
            count += _count(results)
    return count


def _png(batches: Iterator[Results], path: Path, output: str) -> int:
    import numpy as np

    from dlc.runtime.infer.pictures import is_images, picture

    found: list[Array] = []
    for results in batches:
        images = [array for array in results.values() if is_images(array)]
        if len(images) != 1:
            told = ", ".join(f"{name}: {array.dtype}{list(array.shape)}" for name, array in results.items())
            raise click.UsageError(f"{output}: a picture is of one output float[n, 1 or 3, h, w], and there is {told}")
        found.append(images[0])
        if sum(map(len, found)) > _MOST_IMAGES:
            raise click.UsageError(f"{output}: a picture is of {_MOST_IMAGES} images at most: name an .npz")
    path.write_bytes(picture(np.concatenate(found)))
    return sum(map(len, found))


def _count(results: Results) -> int:
    """How many examples there are: the size of axis 0, which all outputs share."""
    counts = {name: len(array) if array.ndim else None for name, array in results.items()}
    if len(set(counts.values())) != 1 or None in counts.values():
        told = ", ".join(f"{name}: {list(array.shape)}" for name, array in results.items())
        raise click.UsageError(f"outputs of one example after the other are due, and there is {told}: name an .npz")
    return next(count for count in counts.values() if count is not None)


_WRITERS: dict[str, Callable[[Iterator[Results], Path, str], int]] = {
    ".npz": _npz,
    ".npy": _npy,
    ".csv": _csv,
    ".jsonl": _jsonl,
    ".png": _png,
}
