"""The tables, the lexer and the layout against lark itself, which reads the same grammar in its own way."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import lark
import pytest
from lark.indenter import Indenter

from dlc.grammar import generate
from dlc.grammar.build import Builder
from dlc.grammar.diagnostics import Sink
from dlc.grammar.lexer import RESERVED, Token
from dlc.grammar.parse import parse
from dlc.grammar.source import Source, Span
from dlc.grammar.tables import ACTIONS, GOTOS, KEYWORDS, RULES
from dlc.grammar.terminals import WORDS, expected

EXAMPLES = sorted((Path(__file__).parent.parent / "examples").glob("*.dl"))

LINES = r"""
file: (_NL | start)*
_NL: /(\r?\n[ \t]*(#[^\n]*)?)+(?![ \t]*->)/
_CONT: /(\r?\n[ \t]*(#[^\n]*)?)+(?=[ \t]*->)/
%ignore _CONT
%declare _INDENT _DEDENT
"""


class Bodies(Indenter):
    NL_type = "_NL"
    OPEN_PAREN_types = ["LPAR", "LSQB"]  # noqa: RUF012 - as lark declares them
    CLOSE_PAREN_types = ["RPAR", "RSQB"]  # noqa: RUF012
    INDENT_type = "_INDENT"
    DEDENT_type = "_DEDENT"
    tab_len = 8


class Oracle:
    """Makes our nodes from the children that lark gives."""

    def __init__(self, source: Source) -> None:
        self._builder = Builder(source, Sink())
        self._span = Span(source, 0, 0)

    def __getattr__(self, rule: str) -> Any:
        if rule.startswith("__") or not (hasattr(Builder, rule) or rule in ("pipe", "file")):
            raise AttributeError(rule)
        if rule == "file":
            return tuple
        return lambda children: getattr(self._builder, rule)(self._span, *map(self._node, children))

    def _node(self, child: Any) -> Any:
        return self._builder.terminal(Token(child.type, str(child), 0, 0)) if isinstance(child, lark.Token) else child


def read_by_lark(source: Source) -> Any:
    grammar = generate.GRAMMAR.read_text()
    grammar = grammar.replace("%declare _NL _INDENT _DEDENT", "").replace(r"(?:[ \t\f]|\r?\n)+", r"[ \t\f]+")
    parser = lark.Lark(
        grammar + LINES,
        parser="lalr",
        start="file",
        postlex=Bodies(),
        maybe_placeholders=True,
        transformer=Oracle(source),
    )
    return parser.parse(source.text + "\n")


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_reads_what_lark_reads(path: Path) -> None:
    source, sink = Source(path.name, path.read_text()), Sink()
    # Documentation is added from comments, which lark ignores.
    source = Source(path.name, "".join(line for line in source.text.splitlines(True) if not line.startswith("#")))
    file = parse(source, sink)
    assert not list(sink)
    assert file.items
    assert file.items == read_by_lark(source)


def test_the_tables_are_those_of_the_grammar() -> None:
    assert generate.TABLES.read_text() == generate.tables(), "run `python -m dlc.grammar.generate`"


def test_the_tables_do_not_depend_on_hashes() -> None:
    program = "from dlc.grammar import generate; print(generate.tables(), end='')"
    texts = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert texts == {generate.TABLES.read_text()}


def test_a_grammar_with_conflicts_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    grammar = tmp_path / "dl.lark"
    grammar.write_text('start: a | b\na: "x"\nb: "x"\n')
    monkeypatch.setattr(generate, "GRAMMAR", grammar)
    with pytest.raises(generate.GrammarError, match="Reduce/Reduce"):
        generate.tables()
    grammar.write_text('start: "x" start | start start | "y"\n')
    with pytest.raises(generate.GrammarError, match="conflict"):
        generate.tables()
    grammar.write_text('start: a "x"\na: "y"?\n')
    with pytest.raises(generate.GrammarError, match="may be empty"):
        generate.tables()


def test_checking_a_spec_does_not_import_lark() -> None:
    program = "import dlc.grammar.parse, sys; sys.exit('lark' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_every_terminal_has_words() -> None:
    kinds = {kind for row in ACTIONS for kind in row}
    assert kinds == set(WORDS)
    assert all(WORDS.values())


def test_no_terminal_is_anonymous() -> None:
    assert not [kind for row in ACTIONS for kind in row if kind.startswith("__")]


def test_what_is_expected_is_told_in_short() -> None:
    for row in filter(None, ACTIONS):
        text = expected(row)
        assert text.count(",") <= 5, text
        assert "KW_" not in text


def test_a_word_that_can_be_a_name_in_the_same_place_is_told_apart_by_what_follows() -> None:
    for word, (kind, guard) in KEYWORDS.items():
        ambiguous = any(kind in row and "NAME" in row for row in ACTIONS)
        assert bool(guard) == (ambiguous and word not in RESERVED), word


def test_every_rule_leads_somewhere() -> None:
    origins = {origin for origin, *_ in RULES}
    assert {nonterminal for row in GOTOS for nonterminal in row} <= origins
