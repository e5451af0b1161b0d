"""Where examples come from: what every source offers."""

from __future__ import annotations

import keyword
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlc.compiler.program import Schema
from dlc.grammar.diagnostics import Refusal
from dlc.grammar.source import Span
from dlc.grammar.suggest import nearest
from dlc.runtime.data.room import Room
from dlc.runtime.errors import MissingData, SourceArguments

if TYPE_CHECKING:
    from numpy.typing import NDArray


_HASHED = 2**22  # bytes at a time


@dataclass(frozen=True, slots=True)
class Table:
    """Columns in memory, each with one entry along axis 0 for each example.

    row: what an example is called in a report, as in `row 17 (line 18)`. overlap: where the examples stand in an order
    that a split keeps, with how many of those that follow one shares elements. hashed: the type in which elements are
    hashed, where the one that they are kept in is a matter of room.
    """

    columns: Mapping[str, NDArray[Any]]
    count: int
    row: Callable[[int], str]
    overlap: int | None = None
    hashed: str | None = None

    def fingerprint(self, seen: Callable[[], None] | None = None) -> str:
        """A hash of all that the columns hold. seen: is called after each piece."""
        import numpy as np

        hash = sha256(f"{self.count} examples".encode())
        for name, column in sorted(self.columns.items()):
            due = np.dtype(self.hashed or column.dtype)
            hash.update(f"{name}: {due.str}{list(column.shape)}".encode())
            apart = (self.overlap or 0) + 1  # so that no element is hashed as often as it is shared
            step = apart * max(1, _HASHED // max(1, column[0].nbytes))
            for start in range(0, len(column), step):
                piece = np.ascontiguousarray(column[start : start + step : apart], due)
                hash.update(piece.reshape(-1).view(np.uint8).data)
                if seen is not None:
                    seen()
            hash.update(np.ascontiguousarray(column[-1:], due).tobytes())
        return hash.hexdigest()


@dataclass(frozen=True)
class DataSource(ABC):
    """A source with its arguments given. The fields of a subclass are the parameters of its call.

    span: where the spec calls it. folder: where relative paths start.
    """

    span: Span
    folder: Path

    @property
    @abstractmethod
    def title(self) -> str:
        """What the source is called in a report: a file's name, as a rule."""

    @abstractmethod
    def schema(self) -> Schema:
        """The columns it offers, without reading more than that takes. Raises Refusal."""

    @abstractmethod
    def load(self, columns: Collection[str], room: Room | None = None) -> Table:
        """The columns of these names, checked to be what the schema says. room: where they are kept. Raises Refusal."""

    def room(self) -> Room:
        """Room of its own, for whoever gives it none."""
        return Room(span=self.span)

    def require_positive(self, *names: str) -> None:
        """Refuses whole numbers below 1."""
        for name in names:
            if getattr(self, name) < 1:
                message = f"`{name}` is at least 1, and this is {getattr(self, name)}"
                raise Refusal(SourceArguments(message, self.span))

    def require_inside(self, file: Path, name: str) -> None:
        """Refuses what a link leads to that leaves the folder of the spec, by a path that itself stays in it."""
        named = Path(name)
        if named.is_absolute() or ".." in named.parts:
            return
        found = file.resolve()
        if not found.is_relative_to(self.folder.resolve()):
            told = f"{name} is a link to {found}, outside of the folder of the spec"
            help = "a spec reads what it names: give the path that the link leads to"
            raise Refusal(MissingData(told, self.span, help=help))


@dataclass(frozen=True)
class FileSource(DataSource):
    """A source that is a file."""

    path: str

    @property
    def title(self) -> str:
        return self.path

    @property
    def file(self) -> Path:
        return self.folder / self.path

    def require_file(self) -> Path:
        """The file, which is there. Raises Refusal."""
        file = self.file
        if file.is_file():
            self.require_inside(file, self.path)
            return file
        if file.is_dir():
            raise Refusal(MissingData(f"{self.path} is a folder, and a file is due", self.span))
        if file.exists():  # which must not be opened: a pipe is read for as long as somebody holds it open
            raise Refusal(MissingData(f"{self.path} is no regular file, and one is due", self.span))
        beside = [other.name for other in file.parent.iterdir()] if file.parent.is_dir() else []
        near = nearest(file.name, beside)
        raise Refusal(
            MissingData(
                f"there is no file {self.path}",
                self.span,
                notes=(f"looked for {file}",),
                help=f'did you mean "{(Path(self.path).parent / near).as_posix()}"?' if near else None,
            )
        )

    def cannot_open(self, error: OSError) -> Refusal:
        reason = (error.strerror or str(error)).lower()
        return Refusal(MissingData(f"{self.path} cannot be opened: {reason}", self.span))


def identifier(text: str) -> str:
    """A column's name as a name in DL: every run of other characters becomes an underscore."""
    name = re.sub(r"[^0-9A-Za-z_]+", "_", text.strip()).strip("_")
    if name[:1].isdigit():
        name = f"_{name}"
    return f"{name}_" if name in _RESERVED or keyword.iskeyword(name) else name


_RESERVED = frozenset(["and", "elif", "else", "false", "for", "if", "in", "none", "not", "or", "return", "true"])
