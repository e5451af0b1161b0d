"""Where a piece of text stands: a source and the spans within it."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from functools import cached_property


@dataclass(frozen=True, eq=False)
class Source:
    """A spec's text and the name it is shown under. Two sources are the same only if they are one object."""

    name: str
    text: str = field(repr=False)

    @cached_property
    def _line_starts(self) -> list[int]:
        starts = [0]
        position = self.text.find("\n")
        while position >= 0:
            starts.append(position + 1)
            position = self.text.find("\n", position + 1)
        return starts

    def locate(self, offset: int) -> tuple[int, int]:
        """The line and column, both from 1, of a character offset."""
        line = bisect_right(self._line_starts, offset)
        return line, offset - self._line_starts[line - 1] + 1

    def line(self, number: int) -> str:
        """The text of a line, counted from 1, without its line break."""
        start = self._line_starts[number - 1]
        end = self._line_starts[number] - 1 if number < len(self._line_starts) else len(self.text)
        return self.text[start:end].rstrip("\r")

    @property
    def line_count(self) -> int:
        return len(self._line_starts)


@dataclass(frozen=True, slots=True)
class Span:
    """A half-open range of characters in a source."""

    source: Source
    start: int
    end: int

    @property
    def text(self) -> str:
        return self.source.text[self.start : self.end]

    @property
    def line(self) -> int:
        """The line that the span starts on, from 1."""
        return self.source.locate(self.start)[0]

    @property
    def column(self) -> int:
        """The column that the span starts at, from 1."""
        return self.source.locate(self.start)[1]

    @property
    def place(self) -> str:
        """The start as `line:column`, for use within a sentence."""
        line, column = self.source.locate(self.start)
        return f"{line}:{column}"

    def to(self, other: Span) -> Span:
        """The range from the start of this span to the end of `other`."""
        return Span(self.source, min(self.start, other.start), max(self.end, other.end))

    def after(self) -> Span:
        """The empty span directly behind this one: where something is missing."""
        return Span(self.source, self.end, self.end)
