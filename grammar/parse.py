"""Reads a spec: text to syntax tree, with all mistakes that are independent of each other told in one run.

A declaration is read line by line. A line with a mistake is told of, taken back and replaced by a stub that fits, so
that the lines after it are read as if it had been right; its declaration is left out of the result.
"""

from __future__ import annotations

import gc
from bisect import bisect_left
from collections.abc import Iterator

from dlc.grammar import ast
from dlc.grammar.automaton import END, Automaton, DepthError, UnexpectedError
from dlc.grammar.build import Builder
from dlc.grammar.diagnostics import Diagnostic, Sink
from dlc.grammar.errors import (
    MAX_CHARACTERS,
    MAX_DEPTH,
    MAX_MISTAKES,
    ExpressionTooDeep,
    FileTooLong,
    LanguageVersion,
    MissingBody,
    TooManyMistakes,
    UnexpectedIndent,
)
from dlc.grammar.layout import Layout, Line
from dlc.grammar.lexer import Token, tokens
from dlc.grammar.mistakes import explain, missing_colon
from dlc.grammar.source import Source, Span

_STATEMENT = ("NAME", "EQUAL", "NUMBER", "_NL")
_BRANCHES = {"elif": ("KW_ELIF", "NAME", "COLON", "_NL"), "else": ("KW_ELSE", "COLON", "_NL")}
_IF = ("KW_IF", "NAME", "COLON", "_NL")
# What may open a body, by where it stands: in a body of statements, in `data`, in `train`.
_OPENERS = (_IF, ("KW_AUGMENT", "COLON", "_NL"), ("NAME", "COLON", "_NL"))
_OPENING = {"if", "elif", "else", "for", "loop", "settings", "augment", "step", "evaluate"}
_HEADS = {
    "block": ("KW_BLOCK", "NAME", "LPAR", "RPAR", "COLON", "_NL"),
    "model": ("KW_MODEL", "NAME", "LPAR", "RPAR", "COLON", "_NL"),
    "data": ("KW_DATA", "NAME", "COLON", "_NL"),
    "train": ("KW_TRAIN", "NAME", "KW_ON", "NAME", "COLON", "_NL"),
}
_STUBS = {"NAME": "_", "NUMBER": "0"}

_Item = ast.Language | ast.Import | ast.Declaration


def parse(source: Source, sink: Sink) -> ast.File:
    """The syntax tree of a spec. What is wrong with it goes to the sink; declarations with a mistake are left out.

    Never raises for any text. Nodes nest at most a few hundred deep, so that a walk over them may recurse.
    """
    if len(source.text) > MAX_CHARACTERS:
        advice = "data belongs in files of its own, which a `data` block names"
        message = f"the file has {len(source.text):,} characters, {MAX_CHARACTERS:,} are allowed"
        sink.add(FileTooLong(message, Span(source, 0, 0), help=advice))
        return ast.File(source, ())
    # A parse makes many objects and no cycles: looking for some costs a third of the time.
    collecting = gc.isenabled()
    gc.disable()
    try:
        return _read(source, sink)
    finally:
        if collecting:
            gc.enable()


def _read(source: Source, sink: Sink) -> ast.File:
    layout = Layout(source)
    items: list[_Item] = []
    first = True
    before = len(sink)
    for lines in _declarations(layout):
        doc = _documentation(source.text, lines[0].start, layout.comments)
        item = _Reader(source, sink, lines, doc).read()
        if isinstance(item, ast.Language):
            item = _pinned(item, first, sink)
        if item is not None:
            items.append(item)
        first = False
        if len(sink) - before >= MAX_MISTAKES or layout.hopeless:
            end = max([lines[-1].end, *(told.span.end for told in sink if told.span and told.span.source is source)])
            message = "there are too many mistakes: the rest of the file is not read"
            sink.add(TooManyMistakes(message, Span(source, end, end)))
            break
    return ast.File(source, tuple(items), tuple(layout.comments))


def _declarations(layout: Layout) -> Iterator[list[Line]]:
    """The lines of one declaration after another: each starts at the margin."""
    lines: list[Line] = []
    for line in layout.lines():
        if line.level == 0 and lines:
            yield lines
            lines = []
        lines.append(line)
    if lines:
        yield lines


def _pinned(item: ast.Language, first: bool, sink: Sink) -> ast.Language | None:
    version = item.version.value
    if not first:
        sink.add(LanguageVersion("`language` stands first in a file", item.span))
    elif version != 1 or not isinstance(version, int):
        message = f"there is no version {item.version.span.text} of the language"
        sink.add(LanguageVersion(message, item.version.span, help="write `language 1`"))
    else:
        return item
    return None


def _documentation(text: str, start: int, comments: list[ast.Comment]) -> str:
    """The comments directly above a place at the margin."""
    lines: list[str] = []
    for comment in reversed(comments[: bisect_left(comments, start, key=lambda comment: comment.span.start)]):
        at_margin = comment.span.start == 0 or text[comment.span.start - 1] in "\n\ufeff"
        if not at_margin or text[comment.span.end : start].strip(" \t\r\f") != "\n":
            break
        lines.append(comment.text.removeprefix("#").removeprefix(" "))
        start = comment.span.start
    return "\n".join(reversed(lines))


class _Reader:
    """Reads the lines of one declaration."""

    def __init__(self, source: Source, sink: Sink, lines: list[Line], doc: str) -> None:
        self._source = source
        self._sink = sink
        self._lines = lines
        self._builder = Builder(source, sink, doc)
        self._automaton = Automaton(self._builder.make)
        # For each body that is open whether the automaton knows of it; it does not of one that opens out of place.
        self._bodies: list[bool] = []
        self._end = lines[0].start
        self._told = len(sink)
        self._out_of_place_told = False

    def read(self) -> _Item | None:
        """The declaration; none if there is a mistake in it."""
        if self._lines[0].level:
            self._out_of_place(self._lines[0], "a declaration starts at the left margin")
            return None
        for number, line in enumerate(self._lines):
            if line.level is None:
                self._sink.extend([line.mistake] if line.mistake else [])
                return None
            if len(self._sink) - self._told >= MAX_MISTAKES:
                return None
            following = self._lines[number + 1] if number + 1 < len(self._lines) else None
            deeper = following is not None and (following.level is None or following.level > line.level)
            if self._enter(line, line.level) and not self._line(line, deeper):
                return None
        self._leave(0)
        item = self._automaton.feed(END, "", self._end, self._end)
        return item if len(self._sink) == self._told else None

    # --- bodies -------------------------------------------------------------------------------------------------

    def _enter(self, line: Line, level: int) -> bool:
        """Opens and closes bodies up to a line's level; false if the line stands in one that is out of place."""
        if level <= len(self._bodies):
            self._leave(level)
            return all(self._bodies)
        opens = self._automaton.takes(["_INDENT"])
        if opens:
            self._automaton.feed("_INDENT", "", line.start, line.start)
        elif all(self._bodies) and not self._out_of_place_told:
            self._out_of_place(line, "an expression goes on inside brackets, or where the next line starts with `->`")
        self._out_of_place_told = False
        self._bodies.append(opens)
        return all(self._bodies)

    def _out_of_place(self, line: Line, advice: str) -> None:
        indent = Span(self._source, self._source.text.rfind("\n", 0, line.start) + 1, line.start)
        message = "this line is indented, and no line above opens a body"
        self._sink.add(UnexpectedIndent(message, indent, help=advice))

    def _leave(self, level: int) -> None:
        """Closes the bodies deeper than a level, the one that a line above promises included."""
        if self._automaton.takes(["_INDENT"]):
            place = Span(self._source, self._end, self._end)
            advice = "a body is at least one line, indented deeper"
            self._sink.add(MissingBody("the body of this line is missing", place, help=advice))
            self._feed_stub("_INDENT", *_STATEMENT, "_DEDENT")
        while len(self._bodies) > level:
            if self._bodies.pop():
                self._automaton.feed("_DEDENT", "", self._end, self._end)

    # --- lines --------------------------------------------------------------------------------------------------

    def _line(self, line: Line, deeper: bool) -> bool:
        """Reads a line, or puts a stub in its place; false if none fits."""
        mark = self._automaton.mark()
        self._end = line.end
        told = len(self._sink)
        mistake = line.mistake or self._attempt(line, deeper)
        if mistake is None:
            return True
        # What the terminals of the line have been told of comes first, this may only follow from it.
        if len(self._sink) == told:
            self._sink.add(mistake)
        self._automaton.roll_back(mark)
        word = self._first_word(line)
        if not self._bodies:
            return self._replace_head(word, deeper)
        opens = word in _OPENING or self._source.text[line.start : line.end].endswith(":")
        return self._replace(word, deeper, opens)

    def _attempt(self, line: Line, deeper: bool) -> Diagnostic | None:
        """Reads a line; what is wrong if it cannot be read."""
        automaton, terminal = self._automaton, self._builder.terminal
        read: list[Token] = []
        end = Token("_NL", "", line.end, line.end)
        token = end
        try:
            for token in tokens(self._source.text, line.start, line.end, automaton):
                automaton.feed(token.kind, terminal(token), token.start, token.end)
                read.append(token)
            token = end
            if deeper and "_NL" not in automaton.row and automaton.takes(["COLON", "_NL"]):
                self._sink.add(missing_colon(self._source, read[-1]))
                automaton.feed("COLON", "", line.end, line.end)
            automaton.feed("_NL", "", line.end, line.end)
        except UnexpectedError:
            return explain(self._source, automaton, read, token, line.end)
        except DepthError as error:
            span = Span(self._source, error.start, error.end)
            message = f"this expression nests more than {MAX_DEPTH} deep"
            return ExpressionTooDeep(message, span, help="name the inner parts")
        return None

    def _first_word(self, line: Line) -> str:
        return self._source.text[line.start : line.end].partition(" ")[0].rstrip(":")

    def _replace_head(self, word: str, deeper: bool) -> bool:
        if not deeper or word not in _HEADS:
            return False
        self._feed_stub(*_HEADS[word])
        return True

    def _replace(self, word: str, deeper: bool, opens: bool) -> bool:
        branch = _BRANCHES.get(word, _IF)
        if word in ("if", "elif", "else") and self._automaton.takes(branch):
            # Kept as what it is, for the branches that may follow.
            self._feed_stub(*branch)
            if not deeper:
                self._feed_stub("_INDENT", *_STATEMENT, "_DEDENT")
            return True
        opener = next((stub for stub in _OPENERS if self._automaton.takes(stub)), None)
        opener = opener if deeper and opens else None
        self._out_of_place_told = deeper and opener is None
        self._feed_stub(*(opener or _STATEMENT))
        return True

    def _feed_stub(self, *kinds: str) -> None:
        for kind in kinds:
            token = Token(kind, _STUBS.get(kind, ""), self._end, self._end)
            self._automaton.feed(kind, self._builder.terminal(token), self._end, self._end)
