"""Diagnostics for people, with the lines they are about, and for programs.

Columns of the pictures are columns of a terminal: wide characters take two, tabs go to the next multiple of four,
and what would disturb a terminal is shown by a stand-in.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from dlc.grammar.diagnostics import Diagnostic
from dlc.grammar.source import Source, Span

_TAB = 4
_WIDEST = 160
_CONTEXT = 40
# A span over more lines is shown by its first.
_MOST_LINES = 3
# So many lines may lie between two that are shown before their distance is marked.
_NEAR = 4

_RESET, _BOLD, _RED, _BLUE = "\033[0m", "\033[1m", "\033[1;31m", "\033[1;34m"


def render_text(diagnostics: Iterable[Diagnostic], *, color: bool = False) -> str:
    """The diagnostics as text, a blank line between each two and a line break at the end; empty if there are none."""
    pictures = [_Picture(diagnostic, color).text() for diagnostic in diagnostics]
    return "\n".join(pictures)


def to_json(diagnostics: Iterable[Diagnostic]) -> list[dict[str, Any]]:
    """The diagnostics as plain data.

    `line`, `column`, `end_line` and `end_column` count characters from 1, the end not included; they and `file` are
    None where a diagnostic has no place. `label` is said at the place itself, each of `labels` at one of its own.
    """
    return [
        {
            "code": diagnostic.code,
            "message": diagnostic.message,
            **_place(diagnostic.span),
            "label": diagnostic.label,
            "labels": [{"text": label.text, **_place(label.span)} for label in diagnostic.labels],
            "notes": list(diagnostic.notes),
            "help": diagnostic.help,
        }
        for diagnostic in diagnostics
    ]


def _place(span: Span | None) -> dict[str, str | int | None]:
    if span is None:
        return dict.fromkeys(("file", "line", "column", "end_line", "end_column"))
    line, column = span.source.locate(span.start)
    end_line, end_column = span.source.locate(span.end)
    name = span.source.name
    return {"file": name, "line": line, "column": column, "end_line": end_line, "end_column": end_column}


@dataclass(frozen=True, slots=True)
class _Mark:
    """What is drawn under one line, from column `start` to column `end` of its characters, counted from 0."""

    line: int
    start: int
    end: int
    text: str
    primary: bool


class _Picture:
    """One diagnostic, drawn."""

    def __init__(self, diagnostic: Diagnostic, color: bool) -> None:
        self._diagnostic = diagnostic
        self._color = color
        self._out: list[str] = []
        # By source in the order of mention; the source of the diagnostic itself comes first.
        self._marks: dict[Source, list[_Mark]] = {}
        if diagnostic.span:
            self._add(diagnostic.span, diagnostic.label, primary=True)
        for label in diagnostic.labels:
            self._add(label.span, label.text, primary=False)
        shown = [mark.line for marks in self._marks.values() for mark in marks]
        self._gutter = len(str(max(shown, default=0)))

    def _add(self, span: Span, text: str, *, primary: bool) -> None:
        marks = self._marks.setdefault(span.source, [])
        first, start = span.source.locate(span.start)
        last, end = span.source.locate(max(span.start, span.end))
        if end == 1 and last > first:
            last, end = last - 1, len(span.source.line(last - 1)) + 1
        if last - first >= _MOST_LINES:
            last, end = first, len(span.source.line(first)) + 1
        contents = {line: span.source.line(line) for line in range(first, last + 1)}
        drawn = [line for line, content in contents.items() if content.strip()] or [first]
        for line in drawn:
            content = contents[line]
            left = start - 1 if line == first else len(content) - len(content.lstrip())
            right = end - 1 if line == last else len(content)
            marks.append(_Mark(line, left, max(right, left), text if line == drawn[-1] else "", primary))

    def text(self) -> str:
        diagnostic = self._diagnostic
        title = self._paint(f"error[{diagnostic.code}]", _RED) + self._paint(f": {_safe(diagnostic.message)}", _BOLD)
        self._out = [title]
        for number, (source, marks) in enumerate(self._marks.items()):
            self._section(source, marks, first=number == 0)
        if self._marks and diagnostic.notes:
            self._row("", "|")
        for note in diagnostic.notes:
            head, *rest = _safe(note, keep="\n").split("\n")
            self._out.append(f"{' ' * (self._gutter + 2)}{self._paint('=', _BLUE)} {head}")
            self._out += [f"{' ' * (self._gutter + 4)}{line}" for line in rest]
        if diagnostic.help:
            head, *rest = _safe(diagnostic.help, keep="\n").split("\n")
            self._out += [f"{self._paint('help', _BOLD)}: {head}", *(f"      {line}" for line in rest)]
        return "\n".join(line.rstrip() for line in self._out) + "\n"

    # --- a section for each source ------------------------------------------------------------------------------

    def _section(self, source: Source, marks: Sequence[_Mark], *, first: bool) -> None:
        chief = next((mark for mark in marks if mark.primary), marks[0])
        place = f"{_safe(source.name)}:{chief.line}:{chief.start + 1}"
        self._out.append(f"{' ' * (self._gutter + 1)}{self._paint('-->' if first else ':::', _BLUE)} {place}")
        self._row("", "|")
        before = 0
        for line in sorted({mark.line for mark in marks}):
            if before and line - before > _NEAR:
                self._out.append(self._paint("...", _BLUE))
            before = line
            self._line(source.line(line), line, [mark for mark in marks if mark.line == line])

    def _line(self, content: str, number: int, marks: list[_Mark]) -> None:
        left, right = _window(content, marks)
        shown = ("…" if left else "") + _drawn(content[:right])[len(_drawn(content[:left])) :]
        shown += "…" if right < len(content) else ""
        self._row(str(number), "|", shown)

        offset = int(left > 0) - _width(content[:left])
        spots: list[_Spot] = []
        for mark in marks:
            start, end = min(max(mark.start, left), right), min(max(mark.end, left), right)
            column = _width(content[:start]) + offset
            spots.append(_Spot(column, max(_width(content[:end]) + offset - column, 1), mark.text, mark.primary))
        for row in _under(spots):
            self._row("", "|", self._painted(row))

    # --- rows ---------------------------------------------------------------------------------------------------

    def _row(self, number: str, bar: str, content: str = "") -> None:
        gutter = self._paint(f" {number.rjust(self._gutter)} {bar}", _BLUE)
        self._out.append(f"{gutter} {content}" if content else gutter)

    def _painted(self, row: list[tuple[str, bool | None]]) -> str:
        """A row of characters, each for the primary place, another one, or neither."""
        text = ""
        run, kind = "", None
        for character, belongs in [*row, ("", None)]:
            if belongs is not kind or not character:
                text += run if kind is None else self._paint(run, _RED if kind else _BLUE)
                run, kind = "", belongs
            run += character
        return text

    def _paint(self, text: str, style: str) -> str:
        return f"{style}{text}{_RESET}" if self._color and text else text


# --- under a line -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Spot:
    """A mark in columns of the terminal."""

    start: int
    width: int
    text: str
    primary: bool


_Row = list[tuple[str, bool | None]]


def _under(spots: list[_Spot]) -> list[_Row]:
    """The rows under a line: underlines, the rightmost text behind them, the others below on stems."""
    marks: _Row = []
    for spot in sorted(spots, key=lambda spot: spot.primary):
        _write(marks, spot.start, ("^" if spot.primary else "-") * spot.width, spot.primary)
    texts = sorted((spot for spot in spots if spot.text), key=lambda spot: (spot.start, spot.primary))
    if not texts:
        return [marks]
    rows = [marks]
    last = texts[-1]
    # Only what ends furthest to the right has room for its text beside it.
    if all(spot is last or spot.start + spot.width < last.start + last.width for spot in spots):
        _write(marks, last.start + last.width + 1, _safe(last.text), last.primary)
        texts.pop()
    if texts:
        rows.append(_stems(texts))
    while texts:
        lowest = texts.pop()
        row = _stems(texts)
        del row[lowest.start :]
        _write(row, lowest.start, _safe(lowest.text), lowest.primary)
        rows.append(row)
    return rows


def _stems(spots: list[_Spot]) -> _Row:
    row: _Row = []
    for spot in spots:
        _write(row, spot.start, "|", spot.primary)
    return row


def _write(row: _Row, column: int, text: str, primary: bool) -> None:
    row += [(" ", None)] * (column + len(text) - len(row))
    row[column : column + len(text)] = [(character, primary) for character in text]


# --- columns of a terminal --------------------------------------------------------------------------------------


def _window(content: str, marks: list[_Mark]) -> tuple[int, int]:
    """The part of a very long line to show: around its first mark."""
    if len(content) <= _WIDEST:
        return 0, len(content)
    chief = next((mark for mark in marks if mark.primary), marks[0])
    left = max(0, min(chief.start - _CONTEXT, len(content) - _WIDEST))
    return left, min(left + _WIDEST, len(content))


def _drawn(text: str) -> str:
    """A line as it can be shown: tabs as spaces, stand-ins for what does not print."""
    if text.isascii() and text.isprintable():
        return text
    drawn: list[str] = []
    column = 0
    for character in text:
        shown = " " * (_TAB - column % _TAB) if character == "\t" else _stand_in(character)
        drawn.append(shown)
        column += _columns(shown)
    return "".join(drawn)


def _width(text: str) -> int:
    return _columns(_drawn(text))


def _columns(text: str) -> int:
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(character) else 1 + (unicodedata.east_asian_width(character) in "WF")
        for character in text
    )


def _stand_in(character: str) -> str:
    if character.isprintable() or unicodedata.category(character) == "Zs":
        return character
    code = ord(character)
    if code < 0x20:
        return chr(0x2400 + code)
    return "\u2421" if code == 0x7F else "\ufffd"


def _safe(text: str, keep: str = "") -> str:
    """A text of ours with what it quotes from a spec made fit for a terminal."""
    if text.isprintable():
        return text
    return "".join(character if character in keep else _stand_in(character) for character in text)
