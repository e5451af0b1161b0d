"""Lays out statements that are too long for a line, as Black does: brackets open, one part a line, a trailing comma."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

LIMIT = 100
INDENT = "    "

_STRING = re.compile(r'"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])*\'')

# A power of what is a name or a number: Black leaves no blanks around it.
_POWER = re.compile(rf"{_STRING.pattern}|((?<![\w.)\]])[\w.]+) \*\* (-?\d[\w.]*|[^\W\d][\w.]*)(?![\w.(\[])")

_OPERATORS = (("if", "else"), ("or",), ("and",), ("==", "!=", "<", "<=", ">", ">="), ("|",), ("^",), ("&",),
              ("+", "-"), ("*", "/", "//", "%", "@"))  # fmt: skip


def lines(statement: str, depth: int) -> list[str]:
    """A statement, indented, on as many lines as it needs. A statement with lines of its own keeps them."""
    laid: list[str] = []
    for line in _POWER.sub(_hugged, statement).split("\n"):
        inner = len(line) - len(line.lstrip(" "))
        laid += _split(line.lstrip(" "), INDENT * depth + " " * inner)
    return laid


def _hugged(found: re.Match[str]) -> str:
    left, right = found.groups()
    return found.group() if left is None else f"{left}**{right}"


def _split(text: str, indent: str, within: bool = False) -> list[str]:
    """A statement, or a part of one that stands within brackets: there an expression breaks as it is."""
    if len(indent) + len(text) <= LIMIT:
        return [indent + text] if text else [""]
    head = re.match(r"(?:return |[\w., *]+ = )?", text)
    assert head is not None
    expression = text[head.end() :]
    if head.group() and len(_at_commas(expression)) > 1:
        return [f"{indent}{head.group()}(", *_inside(expression, indent + INDENT), f"{indent})"]
    if not text.startswith(("def ", "for ")):
        parts = _at_operators(expression)
        parts = parts if len(parts) > 1 else _at_methods(expression)
        if len(parts) > 1:
            if within:
                return [line for part in parts for line in _split(part, indent, within)]
            inner = [line for part in parts for line in _split(part, indent + INDENT, within=True)]
            return [f"{indent}{head.group()}(", *inner, f"{indent})"]
    bracket = _bracket(text, indent)
    if bracket is None:
        return [indent + text]
    start, end = bracket
    body, tail = text[start + 1 : end], text[end:]
    if len(indent) + len(INDENT) + len(body) <= LIMIT:
        return [indent + text[: start + 1], indent + INDENT + body, indent + tail]
    return [indent + text[: start + 1], *_inside(body, indent + INDENT), indent + tail]


def _inside(body: str, indent: str) -> list[str]:
    """What stands between two brackets that open and close on lines of their own."""
    items = _at_commas(body)
    clauses = _at_words(body, ("for",))
    if len(clauses) > 1 or (len(items) == 1 and not body.endswith(",")):
        parts = clauses if len(clauses) > 1 else _at_operators(body)
        return [line for part in parts for line in _split(part, indent, within=True)]
    laid: list[str] = []
    for item in items:
        *before, last = _split(item, indent, within=True)
        laid += [*before, f"{last},"]
    return laid


def _bracket(text: str, indent: str) -> tuple[int, int] | None:
    """The outermost brackets to open: the last that hold something and leave a line that fits before them."""
    groups = [(start, end) for start, end in _groups(text) if end - start > 1]
    if text.startswith("def "):
        groups = groups[:1]
    fitting = [(start, end) for start, end in groups if len(indent) + start < LIMIT and len(text) - end < LIMIT // 2]
    return max(fitting, key=lambda group: (group[1] - group[0] > LIMIT // 4, group[0]), default=None)


def _groups(text: str) -> Iterator[tuple[int, int]]:
    depth, start = 0, 0
    for place, character in _code(text):
        if character in "([{":
            start = place if depth == 0 else start
            depth += 1
        elif character in ")]}":
            depth -= 1
            if depth == 0:
                yield start, place


def _code(text: str) -> Iterator[tuple[int, str]]:
    """The characters outside strings, each with its place."""
    place = 0
    for string in _STRING.finditer(text):
        yield from ((at, text[at]) for at in range(place, string.start()))
        place = string.end()
    yield from ((at, text[at]) for at in range(place, len(text)))


def _outside(text: str) -> Iterator[tuple[int, str]]:
    """The characters outside strings and brackets."""
    depth = 0
    for place, character in _code(text):
        depth -= character in ")]}"
        if depth == 0:
            yield place, character
        depth += character in "([{"


def _at_commas(text: str) -> list[str]:
    cuts = [place for place, character in _outside(text) if character == ","]
    bounds = [-1, *cuts, len(text)]
    items = [text[left + 1 : right].strip() for left, right in pairwise(bounds)]
    return [item for item in items if item]


def _at_operators(text: str) -> list[str]:
    """The operands of the loosest operator outside brackets, each behind the operator that precedes it."""
    for operators in _OPERATORS:
        parts = _at_words(text, operators)
        if len(parts) > 1:
            return parts
    return [text]


def _at_methods(text: str) -> list[str]:
    """A chain of methods, each behind the dot; whole if there is but one that is called on the result of a call."""
    outside = [place for place, _ in _outside(text)]
    cuts = [place for place in outside if text[place] == "." and text[place - 1] in ")]"]
    if len(cuts) < 2:
        return [text]
    return [text[left:right] for left, right in pairwise([0, *cuts, len(text)])]


def _at_words(text: str, words: tuple[str, ...]) -> list[str]:
    outside = {place for place, _ in _outside(text)}
    cuts = [0]
    for word in re.finditer(r"(?<= )\S+(?= )", text):
        if word.group() in words and word.start() in outside and word.start() - 1 in outside:
            cuts.append(word.start())
    return [text[left:right].strip() for left, right in zip(cuts, [*cuts[1:], len(text)], strict=True)]
