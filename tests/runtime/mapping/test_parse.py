"""What is told of a line that a mapping cannot have, and what patterns match."""

from pathlib import Path

import pytest

from dlc.grammar.diagnostics import Refusal
from dlc.grammar.source import Source, Span
from dlc.runtime.mapping.parse import Ignore, Initial, Rule, parse, read_mapping
from dlc.runtime.mapping.pattern import generalised, read_pattern

SPECS = Path(__file__).parents[3] / "specs"

WRONG = {
    "wte.weight": ("wte.weight", "this is no line of a mapping"),
    "ignor wte.weight": ("ignor wte.weight", "this is no line of a mapping"),
    "ignore": ("ignore", "one name stands behind `ignore`"),
    "ignore a b": ("ignore a b", "one name stands behind `ignore`"),
    "optional": ("optional", "what is optional must stand behind it"),
    "optional initial a": ("optional initial a", "`initial` cannot be optional"),
    "optional no prefix": ("optional no prefix", "`no` cannot be optional"),
    "prefix": ("prefix", "a prefix is one name, or two with an arrow between"),
    "prefix a. b.": ("prefix a. b.", "a prefix is one name, or two with an arrow between"),
    "prefix a.{i}.": ("prefix a.{i}.", "a prefix has no placeholders"),
    "a -> transposed -> b": ("transposed", "there is no step `transposed`"),
    "a -> split -> {b,c}": ("split", "`split` needs its axis"),
    "a -> split(0) -> {b,c}": ("split(0)", "`split` needs its axis"),
    "a -> split(axis=-1) -> {b,c}": ("split(axis=-1)", "`split` needs its axis"),
    "a -> transpose(0) -> b": ("transpose(0)", "`transpose` takes no arguments"),
    "a -> reshape -> reshape -> b": ("a -> reshape -> reshape -> b", "`reshape` stands here twice"),
    "a ->": ("a ->", "something is missing beside this arrow"),
    "a -> -> b": ("a -> -> b", "something is missing beside this arrow"),
    "a == b -> c": ("a == b -> c", "`==` stands before the last name of a line"),
    "a b -> c": (" ", "a name has no space in it"),
    "a.{i -> c.{i}": ("{", "`{` has no partner"),
    "a.i} -> c": ("}", "`}` has no partner"),
    "a.{1} -> c": ("{1}", "a placeholder is a name, as in {i} or {rest...}"),
    "a.{} -> c": ("{}", "a placeholder is a name, as in {i} or {rest...}"),
    "a.{i}{j} -> c": ("{i}{", "something must stand between two placeholders"),
    "a.{i,} -> c": ("{i,}", "an alternative is empty"),
    "{a,b}.{c,d} -> c": ("{c,d}", "a pattern has at most one list of alternatives"),
    "{a...}.x.{b...} -> c": ("{b...}", "a pattern has at most one placeholder with dots"),
    "a.{i} -> b": ("a.{i} -> b", "`{i}` stands on the left, and not on the right"),
    "a -> b.{i}": ("a -> b.{i}", "`{i}` stands on the right, and not on the left"),
    "a -> {b,c}": ("a -> {b,c}", "there are 1 names on the left, and 2 on the right"),
    "{a,d} -> b": ("{a,d} -> b", "there are 2 names on the left, and 1 on the right"),
    "{a,d} -> split(axis=0) -> b": ("{a,d} -> split(axis=0) -> b", "`split` goes from one name to several"),
    "a -> concat(axis=0) -> b": ("a -> concat(axis=0) -> b", "`concat` goes from several names to one"),
    "a -> split(axis=0) -> transpose -> {b,c}": (
        "a -> split(axis=0) -> transpose -> {b,c}",
        "`split` stands last, before the names of its parts",
    ),
    "{a,d} -> transpose -> concat(axis=0) -> b": (
        "{a,d} -> transpose -> concat(axis=0) -> b",
        "`concat` stands first, behind the names of its parts",
    ),
    "a -> reshape -> split(axis=0) -> {b,c}": (
        "a -> reshape -> split(axis=0) -> {b,c}",
        "`reshape` gives the shape of one weight, and `split` makes several",
    ),
    "{a,d} -> concat(axis=0) -> split(axis=0) -> {b,c}": (
        "{a,d} -> concat(axis=0) -> split(axis=0) -> {b,c}",
        "a line either splits or joins",
    ),
}


@pytest.mark.parametrize("line", WRONG)
def test_a_line_that_is_wrong(line: str) -> None:
    with pytest.raises(Refusal) as caught:
        parse(Source("a.map", f"# ours\nx -> y\n\n  {line}  # why\n"))
    (told,) = caught.value.diagnostics
    assert told.code == "DL8203"
    assert told.span is not None
    assert (told.span.line, told.span.text, told.message) == (4, *WRONG[line])


def test_all_wrong_lines_are_told() -> None:
    with pytest.raises(Refusal) as caught:
        parse(Source("a.map", "a -> b -> c\nx -> y\nignored z\n"))
    assert [told.span and told.span.line for told in caught.value.diagnostics] == [1, 3]
    assert caught.value.diagnostics[1].help == "did you mean `ignore`?"


def test_what_holds_for_the_lines_below() -> None:
    lines = parse(Source("a.map", "prefix p.\na -> b\nmodel M\nignore c\nno prefix\ninitial d\nmodel N\nx -> y\n"))
    kinds = [(type(line), line.prefix and line.prefix.theirs, line.model and line.model.text) for line in lines]
    assert kinds == [(Rule, "p.", None), (Ignore, "p.", "M"), (Initial, None, "M"), (Rule, None, "N")]


@pytest.mark.parametrize(
    ("pattern", "name", "values"),
    [
        ("h.{i}.w", "h.12.w", {"i": "12"}),
        ("h.{i}.w", "h.1.2.w", None),
        ("h.{i}.w", "hx1.w", None),
        ("h.{i}.w", "h..w", None),
        ("{a...}.w", "x.y.z.w", {"a": "x.y.z"}),
        ("{a...}.w", ".w", None),
        ("{a}.{a}", "x.x", {"a": "x"}),
        ("{a}.{a}", "x.y", None),
        ("conv1d/kernel:0", "conv1d/kernel:0", {}),
        ("a+b", "aab", None),
    ],
)
def test_patterns(pattern: str, name: str, values: dict[str, str] | None) -> None:
    (only,) = read_pattern(Span(Source("a.map", pattern), 0, len(pattern))).each
    assert only.match(name) == values
    if values is not None:
        assert only.fill(values) == name


def test_a_name_as_a_pattern() -> None:
    assert generalised("h.0.attn.bias") == "h.{i}.attn.bias"
    assert generalised("a.0.b.1") == "a.{i}.b.{j}"


@pytest.mark.parametrize("path", sorted(SPECS.rglob("*.map")), ids=lambda path: path.name)
def test_the_mappings_that_come_with_the_specs(path: Path) -> None:
    assert len(read_mapping(path)) > 5
    assert path.with_suffix(".dl").exists()
    assert max(map(len, path.read_text().splitlines())) <= 120
