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
from dlc.runtime.errors import MissingData, SourceArguments, TooMuchData

if TYPE_CHECKING:
    from numpy.typing import NDArray


# What the columns of one source may take up in memory, in bytes. A file of a few bytes can claim any size.
MOST = 8 * 2**30
_HASHED = 1024  # examples at a time


@dataclass(frozen=True, slots=True)
class Table:
    """Columns in memory, each with one entry along axis 0 for each example.

    row: what an example is called in a report, as in `row 17 (line 18)`. overlap: where the examples stand in an order
    that a split keeps, with how many of those that follow one shares elements.
    """

    columns: Mapping[str, NDArray[Any]]
    count: int
    row: Callable[[int], str]
    overlap: int | None = None

    def fingerprint(self) -> str:
        """A hash of all that the columns hold."""
        import numpy as np

        hash = sha256(f"{self.count} examples".encode())
        for name, column in sorted(self.columns.items()):
            hash.update(f"{name}: {column.dtype.str}{list(column.shape)}".encode())
            apart = (self.overlap or 0) + 1  # so that no element is hashed as often as it is shared
            step = apart * _HASHED
            for start in range(0, len(column), step):
                hash.update(np.ascontiguousarray(column[start : start + step : apart]).tobytes())
            hash.update(np.ascontiguousarray(column[-1:]).tobytes())
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
    def load(self, columns: Collection[str]) -> Table:
        """The columns of these names, checked to be what the schema says. Raises Refusal."""

    def require_positive(self, *names: str) -> None:
        """Refuses whole numbers below 1."""
        for name in names:
            if getattr(self, name) < 1:
                message = f"`{name}` is at least 1, and this is {getattr(self, name)}"
                raise Refusal(SourceArguments(message, self.span))

    def require_room(self, size: int) -> None:
        """Refuses columns that would take up more memory than a source may have, in bytes."""
        if size > MOST:
            message = f"{self.title} would take up {_gigabytes(size)} of memory, and at most {_gigabytes(MOST)} may be"
            raise Refusal(TooMuchData(message, self.span))


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
            return file
        if file.is_dir():
            raise Refusal(MissingData(f"{self.path} is a folder, and a file is due", self.span))
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

    def read(self, most: int = MOST) -> bytes:
        """The whole file, if it has no more bytes than that. Raises Refusal."""
        try:
            with open(self.require_file(), "rb") as file:
                data = file.read(most + 1)
        except OSError as error:
            raise self.cannot_open(error) from error
        if len(data) > most:
            raise Refusal(TooMuchData(f"{self.path} has more than {_gigabytes(most)}", self.span))
        return data

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


def _gigabytes(size: int) -> str:
    return f"{size / 2**30:.3g} GiB"
