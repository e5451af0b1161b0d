"""Where examples come from: what every source offers, and how a spec's call finds it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from dataclasses import MISSING, dataclass, fields
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from dlc.compiler.program import Schema, SourceCall
from dlc.grammar.diagnostics import Refusal
from dlc.grammar.source import Span
from dlc.grammar.suggest import nearest
from dlc.runtime.errors import MissingData, SourceArguments, UnknownSource

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Table:
    """Columns in memory, each with one entry along axis 0 for each example.

    row: what an example is called in a report, as in `row 17 (line 18)`.
    """

    columns: Mapping[str, NDArray[Any]]
    count: int
    row: Callable[[int], str]


@dataclass(frozen=True)
class DataSource(ABC):
    """A source with its arguments given. The fields of a subclass are the parameters of its call.

    span: where the spec calls it. folder: where relative paths start.
    """

    span: Span
    folder: Path

    _OWN: ClassVar[int] = 2  # fields that are no parameters

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

    def cannot_open(self, error: OSError) -> Refusal:
        reason = (error.strerror or str(error)).lower()
        return Refusal(MissingData(f"{self.path} cannot be opened: {reason}", self.span))


# Where each source is defined, so that none is imported before it is asked for.
_SOURCES = {
    "sklearn": ("dlc.runtime.data.sklearn", "Sklearn"),
    "csv": ("dlc.runtime.data.csv", "Csv"),
    "npz": ("dlc.runtime.data.npz", "Npz"),
    "generate": ("dlc.runtime.data.generate", "Generate"),
}


def open_source(call: SourceCall, folder: Path) -> DataSource:
    """The source that a spec calls, its arguments checked and nothing read yet. Raises Refusal."""
    if call.kind not in _SOURCES:
        near = nearest(call.kind, _SOURCES)
        raise Refusal(
            UnknownSource(
                f"there is no data source `{call.kind}`",
                call.span,
                help=f"did you mean `{near}`?" if near else f"the sources are {', '.join(_SOURCES)}",
            )
        )
    module, name = _SOURCES[call.kind]
    kind: type[DataSource] = getattr(import_module(module), name)
    return kind(call.span, folder, **_arguments(call, kind))


_WORDS = {"str": "a string", "int": "a whole number"}


def _arguments(call: SourceCall, kind: type[DataSource]) -> dict[str, Any]:
    """The call's arguments by the names of the source's parameters, each of the kind that is due."""
    parameters = {field.name: field for field in fields(kind)[kind._OWN :]}  # pyright: ignore[reportPrivateUsage]
    given: dict[str, Any] = {}
    if len(call.arguments) > len(parameters):
        raise _refused(call, f"takes {_count(len(parameters))}, and {len(call.arguments)} are given")
    given.update(zip(parameters, call.arguments, strict=False))
    for name, value in call.named.items():
        if name not in parameters:
            near = nearest(name, parameters)
            help = f"did you mean `{near}`?" if near else f"it has {', '.join(parameters)}"
            raise _refused(call, f"has no parameter `{name}`", help)
        if name in given:
            raise _refused(call, f"is given `{name}` twice")
        given[name] = value
    for name, parameter in parameters.items():
        if name not in given:
            if parameter.default is MISSING:
                raise _refused(call, f"needs `{name}`, {_WORDS[str(parameter.type)]}")
            continue
        if type(given[name]).__name__ != parameter.type:
            raise _refused(call, f"takes {_WORDS[str(parameter.type)]} as `{name}`, and this is {_shown(given[name])}")
    return given


def _refused(call: SourceCall, what: str, help: str | None = None) -> Refusal:
    return Refusal(SourceArguments(f"`{call.kind}` {what}", call.span, help=help))


def _count(number: int) -> str:
    return "one argument" if number == 1 else f"{number} arguments"


def _shown(value: object) -> str:
    match value:
        case None | bool():
            return str(value).lower()
        case str():
            return f'the string "{value}"'
        case list():
            return "a list"
        case _:
            return f"the number {value}"
