"""Reads a spec from its file, with the files that it imports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dlc.compiler.errors import ImportFailed
from dlc.compiler.program import Program, Schema, SourceCall
from dlc.grammar import ast
from dlc.grammar.diagnostics import Diagnostic, Refusal, Sink
from dlc.grammar.parse import parse
from dlc.grammar.source import Source, Span
from dlc.grammar.suggest import nearest
from dlc.runtime.errors import FileTooLarge, MissingFile, NotText

MAX_BYTES = 1_000_000
SUFFIX = ".dl"
_LIBRARY = "std"


@dataclass(frozen=True, eq=False)
class SpecFile(Source):
    """A spec that was read from a file.

    path: the file, symbolic links resolved. place: where it stands in a run, relative to the run's folder. tree: the
    folder that its imports may not leave. data_folder: where relative paths of its data start.
    """

    path: Path = field(kw_only=True)
    place: str = field(kw_only=True)
    tree: Path = field(kw_only=True)
    data_folder: Path = field(kw_only=True)


def read_spec(
    path: str | Path,
    overrides: Mapping[str, str] | None = None,
    *,
    data_folder: Path | None = None,
    library: Path | None = None,
) -> tuple[Program | None, Sink]:
    """The checked program of a spec, or none where the sink tells what is wrong with it.

    overrides: values by name, as `--set` gives them. data_folder: where relative paths of data start, by default the
    spec's own folder. library: a folder with copies of what the spec imports from the standard library, as a run has.
    """
    sink = Sink()
    try:
        main = _main(Path(path), data_folder)
    except Refusal as refusal:
        sink.extend(refusal.diagnostics)
        return None, sink
    tree = parse(main, sink)
    if sink:
        return None, sink
    from dlc.compiler.elaborate import elaborate

    program = elaborate(tree, sink, loader=Files(tree, main, library), overrides=overrides or {})
    return (None if sink else program), sink


def read_checked(path: str | Path, overrides: Mapping[str, str] | None = None) -> Program:
    """The checked program of a spec. Raises Refusal with all that is wrong with it."""
    program, sink = read_spec(path, overrides)
    if program is None:
        raise Refusal(*sink)
    return program


def read_tree(path: str | Path) -> ast.File:
    """The syntax tree of a spec. Raises Refusal with all syntax errors."""
    return _parsed(_main(Path(path), None))


def _main(path: Path, data_folder: Path | None) -> SpecFile:
    text = _read(path, None)
    resolved = path.resolve()
    return SpecFile(
        str(path),
        text,
        path=resolved,
        place=f"spec{SUFFIX}",
        tree=resolved.parent,
        data_folder=(data_folder or resolved.parent),
    )


def _parsed(source: Source) -> ast.File:
    sink = Sink()
    tree = parse(source, sink)
    if sink:
        raise Refusal(*sink)
    return tree


class Files:
    """The outside world as elaboration sees it: spec files beside the main one, the standard library, and data."""

    def __init__(self, tree: ast.File, main: SpecFile, library: Path | None = None) -> None:
        self._main = main
        self._library = library
        self._trees: dict[Path, ast.File] = {main.path: tree}

    def module(self, statement: ast.Import) -> ast.File:
        """The file that an import names, read once. Raises Refusal."""
        span = statement.path[0].span.to(statement.path[-1].span)
        parts = tuple(name.id for name in statement.path)
        importer = statement.span.source
        assert isinstance(importer, SpecFile)
        package = importer.place.split(".")[:-1]
        if statement.dots == 0:
            file = self._library_file(parts, span)
        elif package[0] == _LIBRARY and statement.dots < len(package):
            file = self._library_file((*package[: -statement.dots], *parts), span)
        else:
            file = self._file_beside(importer, statement.dots, parts, span)
        if file.path not in self._trees:
            self._trees[file.path] = _parsed(file)
        return self._trees[file.path]

    def schema(self, call: SourceCall) -> Schema:
        """The columns that a data source offers. Raises Refusal."""
        from dlc.runtime.data.open import open_source

        importer = call.span.source
        assert isinstance(importer, SpecFile)
        return open_source(call, importer.data_folder).schema()

    def _library_file(self, parts: tuple[str, ...], span: Span) -> SpecFile:
        if parts[0] != _LIBRARY or len(parts) < 2:
            raise Refusal(
                ImportFailed(
                    f"`{span.text}` is not in the standard library, whose names start with `std.`",
                    span,
                    help=f"a file beside this one is imported with a dot: from .{span.text} import …",
                )
            )
        place = ".".join(parts) + SUFFIX
        if self._library is not None and (self._library / place).is_file():
            path = self._library / place
        else:
            path = _package().joinpath(*parts[:-1], parts[-1] + SUFFIX)
        if not path.is_file():
            raise Refusal(_no_module(f"the standard library has no `{span.text}`", span, path, f"{_LIBRARY}."))
        path = path.resolve()
        return SpecFile(
            "/".join(parts) + SUFFIX,
            _read(path, span),
            path=path,
            place=place,
            tree=_package().resolve(),
            data_folder=path.parent,
        )

    def _file_beside(self, importer: SpecFile, dots: int, parts: tuple[str, ...], span: Span) -> SpecFile:
        folder = importer.path.parent
        for _ in range(dots - 1):
            folder = folder.parent
        path = folder.joinpath(*parts[:-1], parts[-1] + SUFFIX)
        resolved = path.resolve()
        tree = importer.tree
        if not resolved.is_relative_to(tree):
            raise Refusal(
                ImportFailed(
                    f"`{'.' * dots}{span.text}` lies outside of the folder of the spec that is read",
                    span,
                    notes=(f"the folder is {tree}",),
                    help="nothing above or beside that folder is imported: move the file into it",
                )
            )
        if not resolved.is_file():
            raise Refusal(_no_module(f"there is no file {path.relative_to(tree)}", span, path, ""))
        inside = resolved.relative_to(tree)
        return SpecFile(
            str(Path(self._main.name).parent / inside),
            _read(resolved, span),
            path=resolved,
            place=inside.as_posix(),
            tree=tree,
            data_folder=(self._main.data_folder / inside).parent,
        )


def _package() -> Path:
    """The folder of the specs that come with dlc."""
    from importlib.resources import files

    return Path(str(files("dlc.specs")))


def _no_module(message: str, span: Span, path: Path, prefix: str) -> ImportFailed:
    beside = [other.stem for other in path.parent.glob(f"*{SUFFIX}")] if path.parent.is_dir() else []
    near = nearest(path.stem, beside)
    return ImportFailed(message, span, help=f"did you mean `{prefix}{near}`?" if near else None)


def _read(path: Path, span: Span | None) -> str:
    """The text of a spec. Raises Refusal where there is none; `span` is the import that asks for it."""
    try:
        if not path.is_file():
            raise Refusal(_missing(path, span))
        with open(path, "rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise Refusal(MissingFile(f"{path} cannot be read: {(error.strerror or str(error)).lower()}", span)) from error
    if len(data) > MAX_BYTES:
        advice = "data belongs in files of its own, which a `data` block names"
        raise Refusal(FileTooLarge(f"{path} has more than {MAX_BYTES:,} bytes", span, help=advice))
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        message = f"{path} is not text in UTF-8: line {line} holds the byte 0x{data[error.start]:02x}"
        raise Refusal(NotText(message, span, help="save it as UTF-8, or name a .dl file")) from error


def _missing(path: Path, span: Span | None) -> Diagnostic:
    if path.is_dir():
        specs = sorted(other.name for other in path.glob(f"*{SUFFIX}"))
        help = f"name a file in it, as in {path / specs[0]}" if specs else None
        return MissingFile(f"{path} is a folder, and a spec is a file", span, help=help)
    folder = path.parent
    near = nearest(path.name, [other.name for other in folder.glob(f"*{SUFFIX}")]) if folder.is_dir() else None
    return MissingFile(f"there is no file {path}", span, help=f"did you mean {folder / near}?" if near else None)
