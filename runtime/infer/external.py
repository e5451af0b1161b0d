"""Weights in files beside a model: where they may lie, and that they are there."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from stat import S_ISREG

from dlc.grammar.diagnostics import Refusal
from dlc.runtime.infer.errors import UnreadableModel, UnsafeModel


@dataclass(frozen=True, slots=True)
class External:
    """A tensor whose bytes lie in another file. length: as declared, if it is. due: how many bytes there must be."""

    tensor: str
    location: str
    offset: int
    length: int | None
    due: int


def size_beside(path: Path, tensors: Iterable[External]) -> int:
    """The bytes of the files that hold a model's weights, in its folder, each under its only name, and long enough.

    Raises Refusal for any other: the model would choose which file is read.
    """
    sizes: dict[str, int] = {}
    for each in tensors:
        if each.location not in sizes:
            sizes[each.location] = _size(path, each.location)
        held = max(0, min(each.due if each.length is None else each.length, sizes[each.location] - each.offset))
        if held != each.due or (each.length is not None and each.length != each.due):
            told = f"{path} claims {each.due:,} bytes for the tensor `{each.tensor}`, and {held:,} are there"
            raise Refusal(UnreadableModel(told, None))
    return sum(sizes.values())


def _size(path: Path, location: str) -> int:
    folder = path.resolve().parent
    fault = _outside(location)
    stored = folder / location
    if fault is None and stored.resolve() != stored:
        fault = "behind a link"
    if fault is not None:
        raise Refusal(UnsafeModel(f"{path} keeps weights {fault}, {location!r}", None))
    try:
        status = stored.lstat()
    except OSError:
        raise Refusal(UnreadableModel(f"{path} needs {location} beside it, which is missing", None)) from None
    if not S_ISREG(status.st_mode):
        raise Refusal(UnsafeModel(f"{path} keeps weights in what is no file, {location!r}", None))
    if status.st_nlink > 1:
        help = "copy the file, so that it has one name"
        raise Refusal(UnsafeModel(f"{path} keeps weights behind a hard link, {location!r}", None, help=help))
    return status.st_size


def _outside(location: str) -> str | None:
    """Why a location is refused by its text alone, whatever system reads it."""
    windows = PureWindowsPath(location)
    if not location or "\0" in location:
        return "at no place"
    if PurePosixPath(location).is_absolute() or windows.is_absolute() or windows.drive or windows.root:
        return "at an absolute path"
    if ".." in windows.parts:
        return "outside its folder"
    return None
