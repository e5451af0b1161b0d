"""Diagnostics as they are shown, and as data."""

import json
import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from dlc.grammar.diagnostics import Diagnostic, Label
from dlc.grammar.render import render_text, to_json
from dlc.grammar.source import Source, Span


class Sample(Diagnostic):
    """A mistake for the tests of this file."""

    code = "DL0001"
    example = "none"


def at(source: Source, text: str, occurrence: int = 0) -> Span:
    start = -1
    for _ in range(occurrence + 1):
        start = source.text.index(text, start + 1)
    return Span(source, start, start + len(text))


def shown(*diagnostics: Diagnostic) -> str:
    return render_text(diagnostics)


GPT = Source(
    "gpt.dl",
    "#\n#\n#\n#\nmodel GPT(tokens: int[N, T] < vocab, width = 256)\n#\n#\n#\n    return h @ embed.weight\n",
)


def test_the_picture_of_the_language_reference() -> None:
    mistake = Sample(
        "the shapes do not fit",
        at(GPT, "h @ embed.weight"),
        "256 columns against 32000 rows",
        (Label(at(GPT, "width = 256"), "width is 256 here"),),
        ("left:  float[N, T, 256], from layer_norm at 8:9", "right: float[32000, 256], the weight of embed"),
        "transpose the right side: h @ embed.weight.T",
    )
    assert (
        shown(mistake)
        == """\
error[DL0001]: the shapes do not fit
  --> gpt.dl:9:12
   |
 5 | model GPT(tokens: int[N, T] < vocab, width = 256)
   |                                      ----------- width is 256 here
 9 |     return h @ embed.weight
   |            ^^^^^^^^^^^^^^^^ 256 columns against 32000 rows
   |
   = left:  float[N, T, 256], from layer_norm at 8:9
   = right: float[32000, 256], the weight of embed
help: transpose the right side: h @ embed.weight.T
"""
    )


def test_without_a_place() -> None:
    mistake = Sample("there is no file `a.csv`", None, notes=("looked in /data",), help="name another\nor none")
    assert (
        shown(mistake)
        == """\
error[DL0001]: there is no file `a.csv`
   = looked in /data
help: name another
      or none
"""
    )


def test_none_and_several() -> None:
    assert shown() == ""
    one = Sample("one", None)
    assert shown(one, one) == "error[DL0001]: one\n\nerror[DL0001]: one\n"


def test_lines_far_apart() -> None:
    source = Source("far.dl", "let a = 1\n" * 120)
    last = Span(source, 119 * 10 + 4, 119 * 10 + 5)
    assert (
        shown(Sample("far", last, labels=(Label(Span(source, 4, 5), "bound here"),)))
        == """\
error[DL0001]: far
    --> far.dl:120:5
     |
   1 | let a = 1
     |     - bound here
...
 120 | let a = 1
     |     ^
"""
    )


def test_two_and_three_labels_on_a_line() -> None:
    source = Source("a.dl", "let y = alpha + beta * gamma\n")
    two = Sample("two", at(source, "beta"), "this", (Label(at(source, "alpha"), "that"),))
    assert (
        shown(two)
        == """\
error[DL0001]: two
  --> a.dl:1:17
   |
 1 | let y = alpha + beta * gamma
   |         -----   ^^^^ this
   |         |
   |         that
"""
    )
    more = (Label(at(source, "alpha"), "first"), Label(at(source, "gamma"), "last"))
    assert (
        shown(Sample("three", at(source, "beta"), "middle", more))
        == """\
error[DL0001]: three
  --> a.dl:1:17
   |
 1 | let y = alpha + beta * gamma
   |         -----   ^^^^   ----- last
   |         |       |
   |         |       middle
   |         first
"""
    )


def test_labels_within_each_other_and_on_the_same_place() -> None:
    source = Source("a.dl", "let y = f(alpha)\n")
    inner = Sample("inner", at(source, "alpha"), "wrong", (Label(at(source, "f(alpha)"), "in this call"),))
    assert (
        shown(inner)
        == """\
error[DL0001]: inner
  --> a.dl:1:11
   |
 1 | let y = f(alpha)
   |         --^^^^^-
   |         | |
   |         | wrong
   |         in this call
"""
    )
    same = Sample("same", at(source, "alpha"), "wrong", (Label(at(source, "alpha"), "and here"),))
    assert (
        shown(same)
        == """\
error[DL0001]: same
  --> a.dl:1:11
   |
 1 | let y = f(alpha)
   |           ^^^^^
   |           |
   |           wrong
   |           and here
"""
    )


def test_several_files() -> None:
    here, there = Source("main.dl", "let a = b\n"), Source("lib/other.dl", "# above\nlet b = 1\n")
    mistake = Sample("files", at(here, "b"), "used here", (Label(at(there, "b", 1), "bound here"),))
    assert (
        shown(mistake)
        == """\
error[DL0001]: files
  --> main.dl:1:9
   |
 1 | let a = b
   |         ^ used here
  ::: lib/other.dl:2:5
   |
 2 | let b = 1
   |     - bound here
"""
    )


def test_spans_over_lines() -> None:
    source = Source("a.dl", "let y = f(\n    1,\n    2)\nlet z = [\n1,\n2,\n3]\n")
    assert (
        shown(Sample("three lines", at(source, "f(\n    1,\n    2)"), "this call"))
        == """\
error[DL0001]: three lines
  --> a.dl:1:9
   |
 1 | let y = f(
   |         ^^
 2 |     1,
   |     ^^
 3 |     2)
   |     ^^ this call
"""
    )
    assert (
        shown(Sample("four lines", at(source, "[\n1,\n2,\n3]"), "this list"))
        == """\
error[DL0001]: four lines
  --> a.dl:4:9
   |
 4 | let z = [
   |         ^ this list
"""
    )
    assert "2 |" not in shown(Sample("with its line break", Span(source, 8, 11)))


def test_the_end_of_a_line_and_of_a_file() -> None:
    source = Source("a.dl", "let y =\nlet z =")
    assert shown(Sample("line", Span(source, 7, 7))).endswith(" 1 | let y =\n   |        ^\n")
    assert shown(Sample("file", Span(source, 15, 15))).endswith(" 2 | let z =\n   |        ^\n")
    empty = Source("a.dl", "")
    assert shown(Sample("empty", Span(empty, 0, 0))) == "error[DL0001]: empty\n  --> a.dl:1:1\n   |\n 1 |\n   | ^\n"


def test_wide_characters_tabs_and_controls_keep_their_columns() -> None:
    source = Source("a.dl", '\tlet s = "日本" + e\u0301 + x\x07\x1b[31m\n')
    assert (
        shown(Sample("wide", at(source, "x"), "here"))
        == """\
error[DL0001]: wide
  --> a.dl:1:22
   |
 1 |     let s = "日本" + e\u0301 + x\u2407\u241b[31m
   |                          ^ here
"""
    )
    assert "\x1b" not in shown(Sample("say \x1b[0m", None, notes=("\x1b",), help="\x1b"))


def test_a_very_long_line_is_cut() -> None:
    source = Source("a.dl", "let y = " + "a + " * 400 + "b\n")
    picture = shown(Sample("long", Span(source, 800, 801), "here")).splitlines()
    assert picture[3].startswith(" 1 | …")
    assert picture[3].endswith("…")
    assert len(picture[3]) < 180
    assert picture[3][picture[4].index("^")] == "a"
    start = shown(Sample("long", Span(source, 4, 5))).splitlines()
    assert start[3].startswith(" 1 | let y = a + a")


def test_colors_change_no_text() -> None:
    mistake = Sample("m", at(GPT, "h @ embed"), "a", (Label(at(GPT, "width"), "b"),), ("note",), "help")
    colored = render_text([mistake], color=True)
    assert "\033[1;31merror[DL0001]\033[0m" in colored
    plain = colored
    for style in ("\033[1;31m", "\033[1;34m", "\033[1m", "\033[0m"):
        plain = plain.replace(style, "")
    assert [line.rstrip() for line in plain.splitlines()] == shown(mistake).splitlines()


def test_as_data() -> None:
    mistake = Sample("m", at(GPT, "h @ embed"), "a", (Label(at(GPT, "width"), "b"),), ("note",), "help")
    data = json.loads(json.dumps(to_json([mistake, Sample("n", None)])))
    place = {"file": "gpt.dl", "line": 9, "column": 12, "end_line": 9, "end_column": 21}
    label = {"text": "b", "file": "gpt.dl", "line": 5, "column": 38, "end_line": 5, "end_column": 43}
    nowhere = dict.fromkeys(place)
    assert data == [
        {"code": "DL0001", "message": "m", **place, "label": "a", "labels": [label], "notes": ["note"], "help": "help"},
        {"code": "DL0001", "message": "n", **nowhere, "label": "", "labels": [], "notes": [], "help": None},
    ]


@given(st.text(st.sampled_from("ab \t\n\r\f日é\u0301\u200b\ud800\x00\x1b"), max_size=60), st.data())
def test_any_place_can_be_shown(text: str, data: st.DataObject) -> None:
    source = Source("a.dl", text)
    places = st.integers(0, len(text))
    spans = [Span(source, *sorted((data.draw(places), data.draw(places)))) for _ in range(3)]
    labels = tuple(Label(span, f"label {number}") for number, span in enumerate(spans[1:]))
    picture = shown(Sample("any", spans[0], "here", labels))
    assert "^" in picture
    assert all(f"label {number}" in picture for number in range(2))
    assert not {unicodedata.category(character) for character in picture.replace("\n", "")} & {"Cc", "Cs", "Cf"}
