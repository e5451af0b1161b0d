"""The lines of a spec: where each logical line starts and ends, how deep it is indented, and the comments.

A logical line goes on over line breaks inside brackets, and where the next line starts with `->`. What is wrong with
brackets, strings and indentation is found here, so that the parser need not look into such a line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from dlc.grammar.ast import Comment
from dlc.grammar.diagnostics import Diagnostic, Label
from dlc.grammar.errors import (
    MAX_BRACKETS,
    MAX_INDENTATION,
    BracketsTooDeep,
    InconsistentDedent,
    IndentationTooDeep,
    MixedIndentation,
    StrayBracket,
    StrayCharacter,
    UnclosedBracket,
    UnterminatedString,
)
from dlc.grammar.source import Source, Span

# A run of plain text, a string with or without its end, a comment, or one character that matters.
_PIECE = re.compile(
    r"""(?:[^\n"'#()\[\]{}\\]|(?<=[\w'])')++"""
    r'|"""(?:[^"]|"(?!""))*+(?:""")?'
    r'|"(?:[^"\\\n]|\\[^\n])*+"?'
    r"""|'[^'\n]*+'"""
    r"|\#[^\n]*+|.|\n"
)
_INDENTATION = re.compile(r"[ \t\f]*+")
_BLANK = re.compile(r"[ \t\f]*+\r?(#[^\n]*+)?(?:\n|\Z)")
_CONTINUED = re.compile(r"(?:[ \t\f]*+\r?(?:#[^\n]*+)?\n)*+[ \t\f]*+->")
# What cannot stand within brackets at the start of a line: there, a bracket was forgotten.
_OUTSIDE = re.compile(r"(?:let|block|model|data|train|from|language)[ \t]+[\w.]|[ \t]*return\b")
_PAIRS = {"(": ")", "[": "]", "{": "}"}
# A search for the end of an unclosed bracket may read the whole file; so many are made, not more.
_MAX_SEARCHES = 10


@dataclass(frozen=True, slots=True)
class Line:
    """A logical line from its first character to its last, comments behind it left out.

    level: how many bodies it stands in; none if its indentation, or that of a line above, fits nothing. mistake: what
    is wrong with it, told or not told by whoever reads it; none if it can be read.
    """

    start: int
    end: int
    level: int | None
    mistake: Diagnostic | None


class Layout:
    """The logical lines of a source, read one at a time, and the comments passed so far.

    hopeless: the lines end early, because too many brackets are not closed.
    """

    def __init__(self, source: Source) -> None:
        self.comments: list[Comment] = []
        self.hopeless = False
        self._source = source
        self._text = source.text
        self._indents = [""]
        self._lost = False
        self._searches = 0

    def lines(self) -> Iterator[Line]:
        text = self._text
        position = 1 if text.startswith("\ufeff") else 0
        while position < len(text) and not self.hopeless:
            if blank := _BLANK.match(text, position):
                if blank[1] is not None:
                    self._comment(blank.start(1), blank.end(1))
                position = blank.end()
                continue
            start = _end(_INDENTATION, text, position)
            level, misfit = self._level(text[position:start].rpartition("\f")[2], start)
            end, position, mistake = self._line(start)
            yield Line(start, end, level, misfit or mistake)

    # --- indentation --------------------------------------------------------------------------------------------

    def _level(self, indent: str, start: int) -> tuple[int | None, Diagnostic | None]:
        """How deep a line with this indentation stands. Once one fits nothing, none does until the margin."""
        known = self._indents
        if not indent:
            del known[1:]
            self._lost = False
        elif self._lost:
            return None, None
        elif indent in known:
            del known[known.index(indent) + 1 :]
        elif not indent.startswith(known[-1]):
            self._lost = True
            return None, self._misfit(indent, start)
        elif len(known) > MAX_INDENTATION:
            span = self._span(start - len(indent), start)
            message = f"bodies nest more than {MAX_INDENTATION} deep"
            self._lost = True
            return None, IndentationTooDeep(message, span, help="move the inner ones to a block of their own")
        else:
            known.append(indent)
        return len(known) - 1, None

    def _misfit(self, indent: str, start: int) -> Diagnostic:
        span = self._span(start - len(indent), start)
        above = self._indents[-1]
        if set(indent) != set(above):
            message = f"this line is indented by {_words(indent)}, the one above by {_words(above)}"
            return MixedIndentation(message, span, help="indent all lines by spaces")
        message = f"this line is indented by {_words(indent)}, which matches no line above"
        depths = ", ".join(_words(known) for known in self._indents[1:])
        return InconsistentDedent(message, span, help=f"the lines that it could belong to are indented by {depths}")

    # --- one logical line ---------------------------------------------------------------------------------------

    def _line(self, start: int) -> tuple[int, int, Diagnostic | None]:
        """Where the logical line from `start` ends, where the next one begins, and what is wrong with this one."""
        text = self._text
        brackets: list[int] = []
        mistake: Diagnostic | None = None
        end = joined = start
        for piece in _PIECE.finditer(text, start):
            at, first = piece.start(), text[piece.start()]
            if first == "\n":
                if brackets:
                    if _OUTSIDE.match(text, at + 1):
                        break
                elif at >= joined:
                    more = _CONTINUED.match(text, at + 1)
                    if more is None:
                        break
                    joined = more.end()
                continue
            if first == "#":
                self._comment(at, piece.end())
                continue
            end = at + len(piece[0].rstrip()) or end
            found = self._bracket(first, at, brackets) or self._character(piece)
            mistake = mistake or found
            if mistake and (first == "\\" or isinstance(found, UnterminatedString | BracketsTooDeep)):
                whole = bool(brackets) or not isinstance(found, UnterminatedString)
                return self._give_up(mistake, at, whole=whole)
        if brackets:
            # A bracket that is not closed takes the closing one of the bracket around it: the outermost is left open.
            mistake = mistake or self._unclosed(brackets[0])
            return self._give_up(mistake, brackets[0], whole=True)
        return end, self._next_line(end), mistake

    def _bracket(self, first: str, at: int, brackets: list[int]) -> Diagnostic | None:
        """Keeps count of the open brackets; what is wrong with this one."""
        text = self._text
        if first in _PAIRS:
            brackets.append(at)
            if len(brackets) > MAX_BRACKETS:
                message = f"brackets nest more than {MAX_BRACKETS} deep"
                return BracketsTooDeep(message, self._span(at, at + 1), help="name the inner parts")
            return None
        if first not in ")]}":
            return None
        if not brackets:
            return StrayBracket(f"`{first}` closes nothing", self._span(at, at + 1))
        opening = brackets.pop()
        due = _PAIRS[text[opening]]
        if due == first:
            return None
        matching = [outer for outer in brackets if _PAIRS[text[outer]] == first]
        if matching:
            del brackets[brackets.index(matching[-1]) :]
        label = Label(self._span(opening, opening + 1), "opened here")
        return StrayBracket(f"`{first}` stands where `{due}` is due", self._span(at, at + 1), labels=(label,))

    def _character(self, piece: re.Match[str]) -> Diagnostic | None:
        """What is wrong with a piece that is neither plain text nor one of the brackets of DL."""
        text, span = piece[0], self._span(*piece.span())
        first = text[0]
        if text.startswith('"""'):
            advice = "documentation is a comment above the declaration, `\\n` a line break in a string"
            return UnterminatedString("a string has one quote on each side", span, help=advice)
        if first == '"' and (len(text) == 1 or text[-1] != '"' or _ends_in_escape(text)):
            return UnterminatedString("this string is not closed", span, help='end it with `"` on the same line')
        if first == "'":
            advice = f'write "{text[1:-1]}"' if len(text) > 1 else "a prime may only stand at the end of a name"
            return StrayCharacter("strings stand in double quotes", span, help=advice)
        if first in "{}":
            return StrayCharacter(f"`{first}` means nothing here", span, help="a record is written `(name=value)`")
        if first == "\\":
            advice = "a line goes on inside brackets, or where the next one starts with `->`"
            return StrayCharacter("`\\` means nothing here", span, help=advice)
        return None

    def _unclosed(self, at: int) -> Diagnostic:
        self._searches += 1
        self.hopeless = self._searches >= _MAX_SEARCHES
        bracket = self._text[at]
        advice = f"close it with `{_PAIRS[bracket]}`"
        return UnclosedBracket(f"`{bracket}` is never closed", self._span(at, at + 1), help=advice)

    def _give_up(self, mistake: Diagnostic, at: int, *, whole: bool) -> tuple[int, int, Diagnostic]:
        """Leaves out a line whose end cannot be known.

        whole: with all lines up to one that is indented as this one is, or one around it; else to its line break.
        """
        position = self._next_line(max(at, mistake.span.end - 1 if mistake.span else at))
        if whole:
            position = self._next_sibling(position)
        while self.comments and self.comments[-1].span.start >= position:
            self.comments.pop()
        return at, position, mistake

    def _next_sibling(self, position: int) -> int:
        """From a line on, the first that is indented like one that is open, with the comments above it."""
        text = self._text
        comments: int | None = None
        while position < len(text):
            blank = _BLANK.match(text, position)
            if blank is None and text[position : _end(_INDENTATION, text, position)] in self._indents:
                break
            if blank is None:
                comments = None
            elif comments is None:
                comments = position
            position = self._next_line(position)
        return position if comments is None else comments

    # --- small parts --------------------------------------------------------------------------------------------

    def _next_line(self, position: int) -> int:
        return self._text.find("\n", position) + 1 or len(self._text)

    def _comment(self, start: int, end: int) -> None:
        line = self._text.rfind("\n", 0, start) + 1
        own = not self._text[line:start].strip(" \t\f\ufeff")
        span = self._span(start, start + len(self._text[start:end].rstrip()))
        self.comments.append(Comment(span, span.text, own))

    def _span(self, start: int, end: int) -> Span:
        return Span(self._source, start, end)


def _end(pattern: re.Pattern[str], text: str, position: int) -> int:
    """Where a pattern that matches everywhere ends."""
    match = pattern.match(text, position)
    return match.end() if match else position


def _ends_in_escape(text: str) -> bool:
    """Whether the last quote of a string is escaped."""
    body = text[1:-1]
    return (len(body) - len(body.rstrip("\\"))) % 2 == 1


def _words(indent: str) -> str:
    """An indentation in words: `1 tab and 4 spaces`."""
    counts = ((indent.count("\t"), "tab"), (indent.count(" "), "space"))
    return " and ".join(f"{count} {noun}{'s' if count > 1 else ''}" for count, noun in counts if count)
