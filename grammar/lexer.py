"""The terminals of a logical line. What the parser asks for decides whether a word is one of the language or a name."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

from dlc.grammar.automaton import Automaton
from dlc.grammar.tables import KEYWORDS, PATTERNS, PUNCTUATION

_MARKS = "|".join(re.escape(mark) for mark in sorted(PUNCTUATION, key=len, reverse=True))
_TERMINAL = re.compile(
    rf"(?:[ \t\f]|\r?\n|#[^\n]*+)*+(?:(?P<NAME>{PATTERNS['NAME']})|(?P<MARK>{_MARKS})|(?P<NUMBER>{PATTERNS['NUMBER']})"
    rf"|(?P<STRING>{PATTERNS['STRING']})|(?P<RESERVED>[a-z]+)|(?P<STRAY>.))",
    re.DOTALL,
)
_NAME = re.compile(PATTERNS["NAME"])
_GUARDS = {word: re.compile(pattern) for word, (_, pattern) in KEYWORDS.items() if pattern}

RESERVED = frozenset(word for word in KEYWORDS if not _NAME.fullmatch(word))
"""The words that can never be a name."""


@dataclass(frozen=True, slots=True)
class Token:
    """A terminal in the text. kind: its name in dl.lark, or `STRAY` for a character that starts none."""

    kind: str
    text: str
    start: int
    end: int


def tokens(text: str, start: int, end: int, automaton: Automaton) -> Iterator[Token]:
    """The terminals of a line, read as the automaton goes on."""
    for match in _TERMINAL.finditer(text, start, end):
        kind = match.lastgroup or ""
        at, stop = match.span(kind)
        value = match[kind]
        if kind == "NAME":
            if not value.isascii():
                stray = _stray(value)
                if stray is not None:
                    yield Token("STRAY", value[stray], at + stray, at + stray + 1)
                    return
                value = unicodedata.normalize("NFKC", value)
            elif value in KEYWORDS:
                kind = _word(value, text, at, end, automaton.row)
        elif kind == "MARK":
            kind = PUNCTUATION[value]
        elif kind == "RESERVED":
            kind = KEYWORDS[value][0]
        yield Token(kind, value, at, stop)


def _word(word: str, text: str, start: int, end: int, row: dict[str, int]) -> str:
    kind, _ = KEYWORDS[word]
    if kind not in row:
        return "NAME"
    guard = _GUARDS.get(word)
    return kind if guard is None or guard.match(text, start, end) else "NAME"


def _stray(name: str) -> int | None:
    """The place of the first character that no identifier may have, such as a superscript digit."""
    word = name.rstrip("'")
    if word.isidentifier():
        return None
    starts = [word[0], *(f"_{letter}" for letter in word[1:])]
    return next((place for place, start in enumerate(starts) if not start.isidentifier()), None)
