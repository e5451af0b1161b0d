"""A mapping file's text as its lines."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dlc.grammar.diagnostics import Diagnostic, Refusal, Sink
from dlc.grammar.source import Source, Span
from dlc.grammar.suggest import nearest
from dlc.runtime.mapping.errors import MappingSyntax, UnreadableMapping
from dlc.runtime.mapping.pattern import Patterns, read_pattern
from dlc.runtime.mapping.step import Step, read_step

MAX_BYTES = 1_000_000

_ARROW = re.compile(r"\s(->|==)(?=\s|$)")
_WORDS = ("ignore", "initial", "prefix", "no", "model")


@dataclass(frozen=True)
class Prefix:
    """What stands before the names of the lines below it, on either side; where `optional`, only if any name does."""

    theirs: str
    ours: str
    optional: bool
    span: Span


@dataclass(frozen=True)
class Line:
    """What the lines of a mapping have in common. `model`: the only one that it is meant for."""

    optional: bool
    span: Span
    prefix: Prefix | None
    model: Name | None


@dataclass(frozen=True)
class Name:
    text: str
    span: Span


@dataclass(frozen=True)
class Rule(Line):
    """`source -> steps -> target`: weights are given tensors; or `source -> steps == target`: tensors hold again what
    weights are given."""

    source: Patterns
    steps: tuple[Step, ...]
    target: Patterns
    equal: bool

    @property
    def splits(self) -> bool:
        return any(step.name == "split" for step in self.steps)

    @property
    def joins(self) -> bool:
        return any(step.name == "concat" for step in self.steps)

    @property
    def casts(self) -> bool:
        return any(step.name == "cast" for step in self.steps)


@dataclass(frozen=True)
class Ignore(Line):
    """`ignore pattern`: tensors that are not needed."""

    pattern: Patterns


@dataclass(frozen=True)
class Initial(Line):
    """`initial pattern`: weights that start as the spec says."""

    pattern: Patterns


def read_mapping(path: Path) -> tuple[Line, ...]:
    """The lines of a mapping file. Raises Refusal, with every line that is wrong."""
    return parse(Source(str(path), _text(path)))


def parse(source: Source) -> tuple[Line, ...]:
    """The lines of a mapping, in order, with the prefix and the model that they stand below. Raises Refusal."""
    sink = Sink()
    lines: list[Line] = []
    reader = _Reader(source)
    for span in _spans(source):
        try:
            lines += reader.read(span)
        except Refusal as refusal:
            sink.extend(refusal.diagnostics)
    if len(sink):
        raise Refusal(*sink)
    return tuple(lines)


class _Reader:
    """Reads line by line, and remembers what holds for the lines below."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._prefix: Prefix | None = None
        self._model: Name | None = None

    def read(self, span: Span) -> Iterator[Line]:
        words = [
            Span(self._source, span.start + found.start(), span.start + found.end())
            for found in re.finditer(r"\S+", span.text)
        ]
        optional = words[0].text == "optional"
        if optional and len(words) == 1:
            raise Refusal(MappingSyntax("what is optional must stand behind it", span))
        words = words[optional:]
        rest = words[0].to(words[-1])
        line = Line(optional, span, self._prefix, self._model)
        match [word.text for word in words]:
            case ["prefix", *_]:
                self._prefix = self._read_prefix(words, optional)
            case ["no", "prefix"] if not optional:
                self._prefix = None
            case ["model", _] if not optional:
                self._model = Name(words[1].text, words[1])
            case [_, *_] if _ARROW.search(rest.text + " "):
                yield self._rule(rest, line)
            case ["ignore", _]:
                yield Ignore(**vars(line), pattern=read_pattern(words[1]))
            case ["initial", _] if not optional:
                yield Initial(**vars(line), pattern=read_pattern(words[1]))
            case _:
                raise Refusal(_unknown(words, optional, span))

    def _read_prefix(self, words: list[Span], optional: bool) -> Prefix:
        match words:
            case [_, theirs]:
                ours = ""
            case [_, theirs, arrow, second] if arrow.text == "->":
                ours = second.text
            case _:
                raise Refusal(
                    MappingSyntax(
                        "a prefix is one name, or two with an arrow between",
                        words[0].to(words[-1]),
                        help="as in `prefix transformer.` or `prefix bert. -> body.`",
                    )
                )
        for name in (theirs.text, ours):
            if "{" in name or "}" in name:
                raise Refusal(MappingSyntax("a prefix has no placeholders", words[0].to(words[-1])))
        return Prefix(theirs.text, ours, optional, words[0].to(words[-1]))

    def _rule(self, span: Span, line: Line) -> Rule:
        pieces: list[Span] = []
        start = 0
        arrows = list(_ARROW.finditer(span.text + " "))
        for found in (*arrows, None):
            end = found.start() if found else len(span.text)
            text = span.text[start:end]
            stripped = text.strip()
            if not stripped:
                raise Refusal(MappingSyntax("something is missing beside this arrow", span))
            at = span.start + start + text.index(stripped)
            pieces.append(Span(self._source, at, at + len(stripped)))
            start = found.end() if found else end
        if any(found[1] == "==" for found in arrows[:-1]):
            raise Refusal(MappingSyntax("`==` stands before the last name of a line", span))
        steps = tuple(map(read_step, pieces[1:-1]))
        rule = Rule(
            **vars(line),
            source=read_pattern(pieces[0]),
            steps=steps,
            target=read_pattern(pieces[-1]),
            equal=arrows[-1][1] == "==",
        )
        problem = _misfit(rule)
        if problem:
            raise Refusal(problem)
        return rule


def _misfit(rule: Rule) -> Diagnostic | None:
    """Why the two sides of a rule and its steps do not go together."""
    source, target = rule.source, rule.target
    names = [step.name for step in rule.steps]
    for name in names:
        if names.count(name) > 1 and name != "transpose":
            return MappingSyntax(f"`{name}` stands here twice", rule.span)
    if rule.splits and rule.joins:
        return MappingSyntax("a line either splits or joins", rule.span)
    if rule.splits and names[-1] not in ("split", "cast"):
        return MappingSyntax("`split` stands last, before the names of its parts", rule.span)
    if rule.joins and names[0] != "concat":
        return MappingSyntax("`concat` stands first, behind the names of its parts", rule.span)
    if rule.splits and "reshape" in names:
        return MappingSyntax("`reshape` gives the shape of one weight, and `split` makes several", rule.span)
    if rule.splits and (source.several or not target.several):
        return MappingSyntax(
            "`split` goes from one name to several", rule.span, help="list them in braces, as in {query,key,value}"
        )
    if rule.joins and (target.several or not source.several):
        return MappingSyntax(
            "`concat` goes from several names to one", rule.span, help="list them in braces, as in {query,key,value}"
        )
    compared = rule.equal and not target.several
    if not (rule.splits or rule.joins or compared) and len(source.each) != len(target.each):
        return MappingSyntax(
            f"there are {len(source.each)} names on the left, and {len(target.each)} on the right",
            rule.span,
            help="one tensor is parted by split(axis=0), several are joined by concat(axis=0)",
        )
    for hole in sorted(source.holes ^ target.holes):
        side, other = ("left", "right") if hole in source.holes else ("right", "left")
        return MappingSyntax(f"`{{{hole}}}` stands on the {side}, and not on the {other}", rule.span)
    return None


def _unknown(words: list[Span], optional: bool, span: Span) -> Diagnostic:
    first = words[0]
    if optional and first.text in ("initial", "no", "model"):
        return MappingSyntax(f"`{first.text}` cannot be optional", span)
    if first.text in _WORDS:
        return MappingSyntax(f"one name stands behind `{first.text}`", span, help="as in `ignore h.{i}.attn.bias`")
    near = nearest(first.text, _WORDS)
    help = f"did you mean `{near}`?" if near else "a line gives a tensor to a weight, as in wte.weight -> embed.weight"
    return MappingSyntax("this is no line of a mapping", span, help=help)


def _spans(source: Source) -> Iterator[Span]:
    """What stands on each line, without comments and blanks."""
    start = 0
    for text in source.text.split("\n"):
        code = re.sub(r"(^|\s)#.*", "", text)
        stripped = code.strip()
        if stripped:
            at = start + code.index(stripped)
            yield Span(source, at, at + len(stripped))
        start += len(text) + 1


def _text(path: Path) -> str:
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        near = nearest(path.name, [other.name for other in path.parent.glob("*.map")])
        help = f"did you mean {path.parent / near}?" if near else None
        reason = (error.strerror or str(error)).lower()
        raise Refusal(UnreadableMapping(f"{path} cannot be read: {reason}", None, help=help)) from error
    if len(data) > MAX_BYTES:
        raise Refusal(UnreadableMapping(f"{path} has more than {MAX_BYTES:,} bytes", None))
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Refusal(UnreadableMapping(f"{path} is not text in UTF-8", None)) from error
