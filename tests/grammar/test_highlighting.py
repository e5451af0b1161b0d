"""What editors and Pygments highlight, against what the parser reads: token by token."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pygments.lexers import get_lexer_by_name
from pygments.token import Comment, Keyword, Name, Number, Operator, Punctuation, String

from dlc.grammar import parse as parsing
from dlc.grammar.diagnostics import Sink
from dlc.grammar.lexer import Token
from dlc.grammar.source import Source
from dlc.grammar.tables import KEYWORDS, PUNCTUATION
from dlc.runtime.show.highlight import DLLexer

ROOT = Path(__file__).parent.parent.parent
GRAMMAR = json.loads((ROOT / "editors" / "dl.tmLanguage.json").read_text())

# Every word and sign of the language, and the words as names where they may be.
TEXT = """\
language 1
from ..parts.layers import (A, B)
from .data import over, weight
let settings = [i for i in range(3)] if true else [false, 4_000.5e-3]
block B(x: float[..., N] < 3, y = none, f: layer, s: string = "a # \\n \\" \\u00e9") -> (a: float[N], b: int32[]):
    weight W: float[x] ~ normal(0, 1)  # drawn
    constant c: int[] = 3
    weight = W.weight + 1
    loop = over - using
    h' = x @ W -> relu -> settings(report=1, minimize=2) -> f
        -> linear(3)
    loop t in range(3), y along -1 collecting a as b, c + 1 as cs:
        if a != b and not c == d or e >= 1:
            return a[1:, ..., (a, b)] ** 2 // 3 % 4
        elif a <= b:
            net.W := 2 * 3 / 4
        else:
            minimize.step := 3 > 2
    require N < 3, "why"
    ensure causal(a, b)
    return b
data D:
    source = csv("a")
    augment:
        x = f(x)
train T on D:
    net = M() from "runs/base"
    settings:
        batch = all
    step:
        minimize a over b, f(c) using sgd(lr=0.1)
        maximize b
        report as = x
"""


SAMPLES = [TEXT, *(path.read_text() for path in sorted((ROOT / "tests" / "examples").glob("*.dl")))]


def read(text: str, patch: pytest.MonkeyPatch) -> list[Token]:
    """The tokens that the parser reads, with the comments."""
    read: list[Token] = []

    def recorded(*arguments: Any) -> Iterator[Token]:
        for token in tokens(*arguments):
            read.append(token)
            yield token

    tokens = parsing.tokens
    patch.setattr(parsing, "tokens", recorded)
    sink = Sink()
    file = parsing.parse(Source("spec.dl", text), sink)
    assert not list(sink), [told.message for told in sink]
    comments = [Token("COMMENT", note.text, note.span.start, note.span.end) for note in file.comments]
    return [*read, *comments]


def kind(token: Token) -> str:
    """What a token is to a reader."""
    if token.kind.startswith("KW_"):
        return "keyword"
    return "mark" if token.kind in PUNCTUATION.values() else token.kind.lower()


def test_the_samples_have_every_word_and_sign(monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = [token for text in SAMPLES for token in read(text, monkeypatch)]
    assert {token.text for token in tokens if kind(token) == "keyword"} == set(KEYWORDS)
    assert {token.text for token in tokens if kind(token) == "mark"} == set(PUNCTUATION)
    assert {kind(token) for token in tokens} == {"keyword", "mark", "name", "number", "string", "comment"}


# --- Pygments ---------------------------------------------------------------------------------------------------

PYGMENTS = {
    "keyword": (Keyword, Operator.Word),
    "mark": (Operator, Punctuation),
    "name": (Name, Keyword.Type),
    "number": (Number,),
    "string": (String,),
    "comment": (Comment,),
}


@pytest.mark.parametrize("text", SAMPLES)
def test_pygments(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = [kind for _, kind, value in DLLexer().get_tokens_unprocessed(text) for _ in value]
    assert len(found) == len(text)
    for token in read(text, monkeypatch):
        for place in range(token.start, token.end):
            told = found[place]
            # A module's dotted name is one name.
            wanted = (*PYGMENTS[kind(token)], Name.Namespace) if token.kind == "DOT" else PYGMENTS[kind(token)]
            assert any(told in family for family in wanted), (token, told)


def test_pygments_finds_the_lexer() -> None:
    assert isinstance(get_lexer_by_name("dl"), DLLexer)


# --- TextMate ---------------------------------------------------------------------------------------------------

TEXTMATE = {
    "keyword": ("keyword.control", "keyword.operator.word", "storage", "constant.language"),
    "mark": ("keyword.operator", "punctuation", "constant.language.ellipsis"),
    "name": ("entity", "variable", "support.type"),
    "number": ("constant.numeric",),
    "string": ("string", "constant.character.escape"),
    "comment": ("comment",),
}


def rules(patterns: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The rules of a list of patterns, those that it includes in their places."""
    for pattern in patterns:
        if "include" in pattern:
            yield from rules([GRAMMAR["repository"][pattern["include"][1:]]])
        elif "match" in pattern or "begin" in pattern:
            yield pattern
        else:
            yield from rules(pattern["patterns"])


def scopes(text: str) -> list[str]:
    """The innermost scope of each character, as an editor finds it: line by line, the leftmost match first."""
    result: list[str] = []
    for whole in text.splitlines(True):
        found = [""] * len(whole)
        line = whole.removesuffix("\n")
        outer: dict[str, Any] | None = None
        position = 0
        while position <= len(line):
            inner = list(rules(outer.get("patterns", []) if outer else GRAMMAR["patterns"]))
            ends = [{"match": outer["end"], "name": outer["name"], "ends": True}] if outer else []
            tried = [
                (re.compile(rule.get("match") or rule["begin"]).search(line, position), rule) for rule in ends + inner
            ]
            matches = [(match.start(), place, match, rule) for place, (match, rule) in enumerate(tried) if match]
            start, _, match, rule = min(matches) if matches else (len(line), 0, None, {})
            if outer:
                found[position:start] = [outer["name"]] * (start - position)
            if match is None:
                break
            found[start : match.end()] = [rule.get("name", "")] * (match.end() - start)
            for group, capture in rule.get("captures", {}).items():
                found[slice(*match.span(int(group)))] = [capture["name"]] * len(match[int(group)])
            position = match.end()
            if rule.get("ends"):
                outer = None
                if start == len(line):
                    break
            elif "begin" in rule:
                outer = rule
        result += found
    return result


@pytest.mark.parametrize("text", SAMPLES)
def test_textmate(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = scopes(text)
    assert len(found) == len(text)
    for token in read(text, monkeypatch):
        for place in range(token.start, token.end):
            told = found[place]
            wanted = (*TEXTMATE[kind(token)], "entity.name.namespace") if token.kind == "DOT" else TEXTMATE[kind(token)]
            assert told.startswith(wanted), (token, told)


def test_every_scope_belongs_to_the_language() -> None:
    for rule in rules(GRAMMAR["patterns"]):
        names = [rule.get("name"), *(capture["name"] for capture in rule.get("captures", {}).values())]
        assert all(name.endswith(".dl") for name in names if name), rule
