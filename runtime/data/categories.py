"""Columns of text that stand for classes: `csv("titanic.csv", categories=(port=["C", "Q", "S"]))`."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from dlc.compiler.dim import Dim
from dlc.compiler.elaborate.values import is_sequence
from dlc.compiler.types import DType, Tensor
from dlc.grammar.diagnostics import Refusal
from dlc.grammar.source import Span
from dlc.grammar.suggest import nearest
from dlc.runtime.errors import SourceArguments

_TOLD = 8


def classes(given: Mapping[str, Any] | None, columns: Collection[str], span: Span) -> dict[str, dict[str, int]]:
    """For each column that is of text, the number of each of its words: its place in the list that the spec gives.
    Raises Refusal."""
    return {name: dict(_numbered(name, words, columns, span)) for name, words in (given or {}).items()}


def class_type(words: Mapping[str, int]) -> Tensor:
    return Tensor(DType.INT, (), Dim.of(len(words)))


def some(words: Collection[str]) -> str:
    """What a column may hold, or some of that."""
    shown = ", ".join(f'"{word}"' for word in list(words)[:_TOLD])
    return shown if len(words) <= _TOLD else f"{shown}, …"


def _numbered(name: str, words: Any, columns: Collection[str], span: Span) -> Iterator[tuple[str, int]]:
    if name not in columns:
        near = nearest(name, columns)
        help = f"did you mean `{near}`?" if near else f"the columns are {', '.join(columns)}"
        raise Refusal(SourceArguments(f"there is no column `{name}` that could have categories", span, help=help))
    if not is_sequence(words) or not words or not all(isinstance(word, str) for word in words):
        help = f'as in categories=({name}=["no", "yes"])'
        raise Refusal(SourceArguments(f"the categories of `{name}` are a list of strings", span, help=help))
    for number, word in enumerate(words):
        if word in words[:number]:
            raise Refusal(SourceArguments(f'the categories of `{name}` name "{word}" twice', span))
        yield word, number
