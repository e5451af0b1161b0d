"""How the call of a spec finds its source, and what it gives for each parameter."""

from __future__ import annotations

from dataclasses import MISSING, fields
from importlib import import_module
from pathlib import Path
from typing import Any

from dlc.compiler.program import SourceCall
from dlc.grammar.diagnostics import Refusal
from dlc.grammar.suggest import nearest
from dlc.runtime.data.source import DataSource
from dlc.runtime.data.tokenizer_file import TokenizerFile
from dlc.runtime.data.tokenizers import Bytes, Chars, Tokenizer, Words
from dlc.runtime.errors import SourceArguments, UnknownSource

# Where each source is defined, so that none is imported before it is asked for.
_SOURCES = {
    "sklearn": ("dlc.runtime.data.sklearn", "Sklearn"),
    "builtin": ("dlc.runtime.data.builtin", "Builtin"),
    "csv": ("dlc.runtime.data.csv", "Csv"),
    "jsonl": ("dlc.runtime.data.jsonl", "Jsonl"),
    "parquet": ("dlc.runtime.data.parquet", "Parquet"),
    "npz": ("dlc.runtime.data.npz", "Npz"),
    "idx": ("dlc.runtime.data.idx", "Idx"),
    "images": ("dlc.runtime.data.images", "Images"),
    "text": ("dlc.runtime.data.text", "Text"),
    "generate": ("dlc.runtime.data.generate", "Generate"),
}

_TOKENIZERS: dict[str, type[Tokenizer]] = {"bytes": Bytes, "chars": Chars, "words": Words, "file": TokenizerFile}

# What a parameter takes, by its annotation.
_WORDS = {"str": "a string", "int": "a whole number", "Tokenizer": "a tokenizer", "dict": "a record of lists"}


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
    own = {field.name for field in fields(DataSource)}
    return kind(call.span, folder, **_arguments(call, kind, own, folder))


def _tokenizer(call: SourceCall, folder: Path) -> Tokenizer:
    if call.kind not in _TOKENIZERS:
        near = nearest(call.kind, _TOKENIZERS)
        help = f"did you mean `{near}`?" if near else f"the tokenizers are {', '.join(_TOKENIZERS)}"
        raise Refusal(SourceArguments(f"there is no tokenizer `{call.kind}`", call.span, help=help))
    kind: Any = _TOKENIZERS[call.kind]
    own = {"span": call.span, "folder": folder} if kind is TokenizerFile else {}
    tokenizer: Tokenizer = kind(**own, **_arguments(call, kind, set(own), folder))
    if isinstance(tokenizer, Words) and tokenizer.vocab < 2:
        raise _refused(call, "takes 2 tokens at least: the unknown word, and one that is known")
    return tokenizer


def _arguments(call: SourceCall, kind: type[Any], own: set[str], folder: Path) -> dict[str, Any]:
    """The call's arguments by the names of the parameters, each of the kind that is due. own: fields that are none."""
    parameters = {field.name: field for field in fields(kind) if field.name not in own}
    given: dict[str, Any] = {}
    if len(call.arguments) > len(parameters):
        raise _refused(call, f"takes {_count(len(parameters))}, and {len(call.arguments)} are given")
    given.update(zip(parameters, call.arguments, strict=False))
    for name, value in call.named.items():
        if name not in parameters:
            near = nearest(name, parameters)
            help = f"did you mean `{near}`?" if near else f"it has {', '.join(parameters)}" if parameters else None
            raise _refused(call, f"has no parameter `{name}`", help)
        if name in given:
            raise _refused(call, f"is given `{name}` twice")
        given[name] = value
    for name, parameter in parameters.items():
        due = str(parameter.type).removesuffix(" | None").partition("[")[0]
        if name in given:
            given[name] = _converted(call, name, given[name], due, folder)
        elif parameter.default is MISSING:
            raise _refused(call, f"needs `{name}`, {_WORDS[due]}", _example(due))
    return given


def _converted(call: SourceCall, name: str, value: object, due: str, folder: Path) -> object:
    if due == "Tokenizer" and isinstance(value, SourceCall):
        return _tokenizer(value, folder)
    if type(value).__name__ != due:
        raise _refused(call, f"takes {_WORDS[due]} as `{name}`, and this is {_shown(value)}", _example(due))
    return value


def _example(due: str) -> str | None:
    return 'as in tokenizer=bytes(), chars(), words(5000) or file("tokenizer.json")' if due == "Tokenizer" else None


def _refused(call: SourceCall, what: str, help: str | None = None) -> Refusal:
    return Refusal(SourceArguments(f"`{call.kind}` {what}", call.span, help=help))


def _count(number: int) -> str:
    return "no arguments" if number == 0 else "one argument" if number == 1 else f"{number} arguments"


def _shown(value: object) -> str:
    match value:
        case None | bool():
            return str(value).lower()
        case str():
            return f'the string "{value}"'
        case list():
            return "a list"
        case dict():
            return "a record"
        case SourceCall():
            return f"a call of `{value.kind}`"
        case _:
            return f"the number {value}"
