"""Any text ends in a tree or in diagnostics that can be shown."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from dlc.grammar.diagnostics import Sink
from dlc.grammar.errors import MAX_MISTAKES
from dlc.grammar.parse import parse
from dlc.grammar.render import render_text, to_json
from dlc.grammar.source import Source
from dlc.grammar.tables import KEYWORDS, PUNCTUATION

EXAMPLES = [path.read_text() for path in sorted((Path(__file__).parent.parent / "examples").glob("*.dl"))]

# One of everything.
TEXT = """language 1
from .a import (B, C)
let x = [i for i in range(3)] if not a == b else (a=1, b=-2.5e3) -> f(x, y="s\\n")[1:, ..., none].T
# Doc.
block B(x: float[..., N] < 3, y = 1) -> (a: float[N], b: int):
    weight W: float[x] ~ normal(0, 1)
    a, b = x @ W
        -> relu  # why
    loop t in range(3), y along 1 collecting a as b:
        if a:
            a = (1,
  2)
        elif b or c:
            net.W := 2
        else:
            return a
    return b
data D:
    source = csv("a")
    x: float[1] = a
    augment:
        x = f(x)
train T on D:
    net = M() from "r"
    settings:
        batch = all
    step:
        minimize a over b using c
    sample(n = 16):
        report y = x
"""

PIECES = [
    *("x", "1", '"s"', "\n", "\n    ", "\n        ", "\n\t", " "),
    *("#", '"', "'", "$", "\\", "{", "}", "\r", "\x00", "é", "²"),
    *(f" {word} " for word in KEYWORDS),
    *PUNCTUATION,
]


def read(text: str) -> Sink:
    sink = Sink()
    file = parse(Source("spec.dl", text), sink)
    told = list(sink)
    assert len(told) <= 2 * MAX_MISTAKES + 1
    for mistake in told:
        assert mistake.span is not None
        assert 0 <= mistake.span.start <= mistake.span.end <= len(text)
        assert mistake.message
        assert mistake.message[-1] not in ".\n"
    assert render_text(told).count("error[") >= len(told)
    assert len(to_json(told)) == len(told)
    for item in file.items:
        assert item.span.text
    for before, after in zip(file.comments, file.comments[1:], strict=False):
        assert before.span.end <= after.span.start
    return sink


def test_one_of_everything_is_right() -> None:
    assert not list(read(TEXT))


def test_every_prefix() -> None:
    for end in range(len(TEXT)):
        told = list(read(TEXT[:end]))
        assert len(told) <= 1, (TEXT[:end][-20:], told)


def test_every_line_left_out() -> None:
    lines = TEXT.splitlines(True)
    for number in range(len(lines)):
        read("".join(lines[:number] + lines[number + 1 :]))


def test_every_character_left_out_doubled_and_replaced() -> None:
    for place, character in enumerate(TEXT):
        for other in ("", character * 2, "(", "\n"):
            read(TEXT[:place] + other + TEXT[place + 1 :])


@given(st.sampled_from(EXAMPLES), st.data())
def test_mutations_of_the_examples(text: str, data: st.DataObject) -> None:
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(text) - 1))
        piece = data.draw(st.sampled_from(PIECES) | st.characters())
        text = text[:place] + piece + text[place + data.draw(st.integers(0, 2)) :]
    read(text)


@given(st.lists(st.sampled_from(PIECES)))
def test_any_sequence_of_pieces(pieces: list[str]) -> None:
    read("".join(pieces))
    read("block B(x):\n    " + "".join(pieces))
    read("train T on D:\n    " + "".join(pieces))
    read("data D:\n    " + "".join(pieces))


@given(st.text())
def test_any_text(text: str) -> None:
    read(text)


@given(st.lists(st.sampled_from(TEXT.splitlines(True))), st.lists(st.sampled_from(["", " ", "    ", "\t"])))
def test_lines_in_any_order(lines: list[str], indents: list[str]) -> None:
    read("".join(indent + line for indent, line in zip(indents + [""] * len(lines), lines, strict=False)))
