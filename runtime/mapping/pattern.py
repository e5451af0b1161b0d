"""Patterns of names: `h.{i}.{ln_1,ln_2}.weight`, with placeholders and alternatives."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from dlc.grammar.diagnostics import Refusal
from dlc.grammar.source import Span
from dlc.runtime.mapping.errors import MappingSyntax

_BRACES = re.compile(r"\{([^{}]*)\}")
_DOTS = "..."


@dataclass(frozen=True)
class Pattern:
    """A pattern without alternatives.

    `{i}` stands for one part of a name, without a dot, the same wherever it stands again; `{rest...}` for one or more.
    """

    text: str
    span: Span

    @property
    def holes(self) -> frozenset[str]:
        """The names of the placeholders, with their dots."""
        return frozenset(_BRACES.findall(self.text))

    @cached_property
    def _expression(self) -> re.Pattern[str]:
        seen: set[str] = set()

        def piece(literal: bool, text: str) -> str:
            if literal:
                return re.escape(text)
            name = text.removesuffix(_DOTS)
            if name in seen:
                return f"(?P={name})"
            seen.add(name)
            return f"(?P<{name}>{'.+' if text.endswith(_DOTS) else '[^.]+'})"

        return re.compile("".join(piece(place % 2 == 0, text) for place, text in enumerate(_BRACES.split(self.text))))

    def match(self, name: str) -> dict[str, str] | None:
        """What the placeholders stand for in a name, none where it is not of this pattern."""
        found = self._expression.fullmatch(name)
        return None if found is None else found.groupdict()

    def fill(self, values: Mapping[str, str]) -> str:
        """The name that the pattern is for some values of its placeholders."""
        return _BRACES.sub(lambda found: values[found[1].removesuffix(_DOTS)], self.text)

    def behind(self, prefix: str) -> Pattern:
        return Pattern(prefix + self.text, self.span)


@dataclass(frozen=True)
class Patterns:
    """A pattern as it is written, with its alternatives in order: one where there is no list in braces."""

    text: str
    span: Span
    each: tuple[Pattern, ...]

    @property
    def several(self) -> bool:
        return len(self.each) > 1

    @property
    def holes(self) -> frozenset[str]:
        return self.each[0].holes

    def behind(self, prefix: str) -> Patterns:
        return Patterns(prefix + self.text, self.span, tuple(pattern.behind(prefix) for pattern in self.each))


def read_pattern(span: Span) -> Patterns:
    """The pattern that stands there. Raises Refusal."""
    text = span.text
    for problem, start, end in _problems(text):
        raise Refusal(MappingSyntax(problem, Span(span.source, span.start + start, span.start + end)))
    lists = [found for found in _BRACES.finditer(text) if "," in found[1]]
    if not lists:
        return Patterns(text, span, (Pattern(text, span),))
    found = lists[0]
    options = found[1].split(",")
    return Patterns(
        text, span, tuple(Pattern(text[: found.start()] + option + text[found.end() :], span) for option in options)
    )


def _problems(text: str) -> Iterator[tuple[str, int, int]]:
    """What is wrong with a pattern, and where."""
    blank = re.search(r"\s", text)
    if blank:
        yield "a name has no space in it", blank.start(), blank.end()
    for stray in re.finditer(r"[{}]", _BRACES.sub(lambda found: "." * len(found[0]), text)):
        yield f"`{stray[0]}` has no partner", stray.start(), stray.end()
    lists = longs = 0
    for found in _BRACES.finditer(text):
        name = found[1].removesuffix(_DOTS)
        longs += found[1].endswith(_DOTS)
        if "," in found[1]:
            lists += 1
            if not all(found[1].split(",")):
                yield "an alternative is empty", found.start(), found.end()
        elif not (name.isascii() and name.isidentifier()):
            yield "a placeholder is a name, as in {i} or {rest...}", found.start(), found.end()
        if text[found.end() : found.end() + 1] == "{":
            yield "something must stand between two placeholders", found.start(), found.end() + 1
        if lists > 1 or longs > 1:
            what = "one list of alternatives" if lists > 1 else "one placeholder with dots"
            yield f"a pattern has at most {what}", found.start(), found.end()


def generalised(name: str) -> str:
    """A name as a pattern: each part that is a number is a placeholder."""
    letters = iter("ijklmnopqrstuvwxyz")
    parts = [f"{{{next(letters, 'n')}}}" if part.isdigit() else part for part in name.split(".")]
    return ".".join(parts)
