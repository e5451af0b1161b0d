# ruff: noqa: RUF001 - it knows the characters that are taken for others.
"""Tells what is wrong with a line that the grammar does not allow, from what was read of it and what was found."""

from __future__ import annotations

import re
import unicodedata

from dlc.grammar.automaton import Automaton
from dlc.grammar.diagnostics import Diagnostic, Label
from dlc.grammar.errors import (
    MalformedNumber,
    MisplacedEqual,
    MissingBody,
    MissingColon,
    ReservedWord,
    StrayCharacter,
    UnexpectedToken,
    UnknownStatement,
    UnusedValue,
)
from dlc.grammar.lexer import RESERVED, Token
from dlc.grammar.source import Source, Span
from dlc.grammar.suggest import nearest
from dlc.grammar.tables import KEYWORDS
from dlc.grammar.terminals import COMPARISONS, DECLARATIONS, EXPRESSION, OPERATORS, STATEMENTS, expected

_OPENING_WORDS = {
    *("KW_BLOCK", "KW_MODEL", "KW_DATA", "KW_TRAIN", "KW_FOR", "KW_LOOP", "KW_IF", "KW_ELIF", "KW_ELSE"),
    *("KW_SETTINGS", "KW_AUGMENT"),
}
_DECLARATION_WORDS = [word for word, (kind, _) in KEYWORDS.items() if kind in DECLARATIONS]
_STATEMENT_WORDS = [word for word, (kind, _) in KEYWORDS.items() if kind in STATEMENTS]
_BINDS = re.compile(r"[ \t]*=(?!=)")
_COMBINED = re.compile(r"(\*\*|//|[-+*/%@])=")
_NAMES_A_VALUE = re.compile(r"[ \t]*(?:=(?!=)|:(?!=)|[,)])")

# What people write who come from other languages.
_FOREIGN = {
    "def": "a part of a network is declared with `block`",
    "fn": "a part of a network is declared with `block`",
    "function": "a part of a network is declared with `block`",
    "class": "a network is declared with `model`, a part of one with `block`",
    "import": "names are imported by `from … import …`",
    "const": "a value is declared with `let`",
    "var": "a value is declared with `let`",
    "while": "`loop` repeats at run time, `for` while the network is built",
    "switch": "a choice is made with `if`, `elif` and `else`",
    "match": "a choice is made with `if`, `elif` and `else`",
    "assert": "a condition is checked with `require`",
    "loss": "a loss is minimised with `minimize`",
}
_MEANT = {
    "!": "`not`",
    "&": "`and`",
    "|": "`or`, or `->` for a pipe",
    "?": "`a if condition else b`",
    "^": "`**` for a power",
    ";": "each statement on its own line",
    "→": "`->`",
    "⇒": "`->`",
    "×": "`*`",
    "·": "`*`",
    "÷": "`/`",
    "−": "`-`",
    "–": "`-`",
    "—": "`-`",
    "≤": "`<=`",
    "≥": "`>=`",
    "≠": "`!=`",
    "“": '`"`',
    "”": '`"`',
    "„": '`"`',
    "‘": '`"`',
    "’": "`\"`, or a straight `'` at the end of a name",
}


def missing_colon(source: Source, last: Token) -> Diagnostic:
    span = Span(source, last.end, last.end)
    return MissingColon("this line opens a body and needs a `:` at its end", span, help="end the line with `:`")


def explain(source: Source, automaton: Automaton, read: list[Token], found: Token, end: int) -> Diagnostic:
    """The mistake in a line that ends at `end`.

    read: its terminals that could be read. found: the one that could not, `_NL` at its end. automaton: as it stood
    then.
    """
    return _Line(source, automaton, read, found, end).explain()


class _Line:
    def __init__(self, source: Source, automaton: Automaton, read: list[Token], found: Token, end: int) -> None:
        self._source = source
        self._read = read
        self._found = found
        self._end = end
        self._last = read[-1] if read else None
        self._accepts = automaton.accepts()
        self._span = self._at(found)

    def _at(self, token: Token) -> Span:
        return Span(self._source, token.start, token.end)

    def explain(self) -> Diagnostic:
        if self._found.kind == "STRAY":
            return self._stray()
        return (
            self._unknown_start()
            or self._unknown_word()
            or self._body()
            or self._habit()
            or self._unnamed_report()
            or self._equal()
            or self._unused()
            or self._reserved()
            or self._number()
            or self._unexpected()
        )

    def _stray(self) -> Diagnostic:
        character = self._found.text
        meant = _MEANT.get(character)
        if unicodedata.category(character) == "Zs":
            meant = "an ordinary space"
        shown = f"`{character}`" if character.isprintable() and not character.isspace() else "this character"
        name = unicodedata.name(character, "")
        code = f"U+{ord(character):04X} {name}".rstrip()
        message = f"{shown} means nothing here"
        if not (character.isascii() and character.isprintable()):
            message += f" ({code})"
        return StrayCharacter(message, self._span, help=f"write {meant}" if meant else None)

    # --- the start of a line ------------------------------------------------------------------------------------

    def _unknown_start(self) -> Diagnostic | None:
        """The first word of the line starts nothing here."""
        if self._last is not None:
            return None
        word = self._found.text
        if self._found.kind in ("KW_ELSE", "KW_ELIF"):
            return UnknownStatement(f"`{word}` has no `if` above it", self._span)
        if not self._accepts & (DECLARATIONS | {"NAME"}) or not word.isidentifier():
            return None
        if not self._accepts >= DECLARATIONS:
            advice = "statements stand in a procedure of `train`, such as `step:`, or in `augment:`"
            here = word in _STATEMENT_WORDS and not _NAMES_A_VALUE.match(self._source.text, self._found.end)
            return UnknownStatement(f"`{word}` cannot stand here", self._span, help=advice) if here else None
        if word in _STATEMENT_WORDS:
            advice = "put it in a `block`, a `model` or a procedure of `train`"
            return UnknownStatement(f"`{word}` starts a statement, and those stand in a body", self._span, help=advice)
        advice = self._advice(word, _DECLARATION_WORDS)
        if advice is None and _BINDS.match(self._source.text, self._found.end):
            advice = f"write `let {word} = …`"
        advice = advice or "a declaration starts with `from`, `let`, `block`, `model`, `data` or `train`"
        return UnknownStatement(f"`{word}` does not start a declaration", self._span, help=advice)

    def _unknown_word(self) -> Diagnostic | None:
        """The first word of the line is a name, and another operand follows: it was meant as a word of the language."""
        operands = (EXPRESSION - {"MINUS", "LPAR", "LSQB"}) | STATEMENTS
        if self._read[1:] or self._last is None or self._last.kind != "NAME" or self._found.kind not in operands:
            return None
        word = self._last.text
        if not self._accepts & {"ASSIGN", "EQUAL"}:
            return None
        if word == "let":
            advice = "in a body a name is bound without it: `name = value`"
        elif word in _DECLARATION_WORDS:
            advice = "a declaration starts at the left margin"
        elif "ASSIGN" in self._accepts:
            advice = self._advice(word, _STATEMENT_WORDS)
        elif word in _STATEMENT_WORDS:
            advice = "statements stand in a procedure of `train`, such as `step:`, or in `augment:`"
        else:
            advice = self._advice(word, ["settings"])
        if advice is None:
            return None
        return UnknownStatement(f"`{word}` does not start a statement", self._at(self._last), help=advice)

    def _advice(self, word: str, words: list[str]) -> str | None:
        if word in _FOREIGN:
            return _FOREIGN[word]
        near = nearest(word, words)
        return f"did you mean `{near}`?" if near else None

    # --- within a line ------------------------------------------------------------------------------------------

    def _body(self) -> Diagnostic | None:
        """Something about the colon that opens a body."""
        if self._found.kind == "_NL":
            opens = self._last is not None and self._read[0].kind in _OPENING_WORDS and "COLON" in self._accepts
            return missing_colon(self._source, self._last) if opens and self._last else None
        if self._last is None or self._last.kind != "COLON" or self._accepts != {"_NL"}:
            return None
        advice = "move this to the next line, indented deeper"
        return MissingBody("a body starts on a line of its own", self._span, help=advice)

    def _habit(self) -> Diagnostic | None:
        """What another language writes where DL has something else."""
        text, found, last = self._source.text, self._found, self._last
        if last is None:
            comment = found.text == "//"
            return (
                UnexpectedToken("`//` starts nothing", self._span, help="a comment starts with `#`")
                if comment
                else None
            )
        both = self._at(last).to(self._span)
        if found.kind == "EQUAL" and text.startswith("=>", found.start):
            span = Span(self._source, found.start, found.start + 2)
            return UnexpectedToken("there is no `=>`", span, help="a pipe is `->`")
        if both.text == "<>":
            return UnexpectedToken("there is no `<>`", both, help="write `!=`")
        if (last.kind, found.kind) == ("KW_ELSE", "KW_IF"):
            return UnexpectedToken("there is no `else if`", both, help="write `elif`")
        if last.text == "lambda":
            advice = "a layer is a `block`, or layers in a pipe: `f = linear(8) -> relu`"
            return UnexpectedToken("there is no `lambda`", self._at(last), help=advice)
        return None

    def _unnamed_report(self) -> Diagnostic | None:
        """The value alone: `report accuracy(…)`, or `report -loss`, where the word is read as a name."""
        if not self._read:
            return None
        first, *others = self._read
        value = self._source.text[first.end : self._end].strip()
        if first.text != "report" or not value or self._found.kind in ("EQUAL", "ASSIGN", "COLON"):
            return None
        if others[1:] if first.kind == "KW_REPORT" else others and self._found.kind != "_NL":
            return None
        named = re.match(r"[^\W\d]\w*", value)
        advice = f"a report has a name, under which it is told: `report {named[0] if named else 'name'} = {value}`"
        return UnexpectedToken("this report has no name", Span(self._source, first.start, self._end), help=advice)

    def _equal(self) -> Diagnostic | None:
        if self._found.kind != "EQUAL" or self._last is None:
            return None
        if "ASSIGN" in self._accepts:
            return MisplacedEqual("`=` binds a plain name", self._span, help="`:=` assigns to a weight")
        if self._accepts >= COMPARISONS:
            return MisplacedEqual("`=` cannot stand in an expression", self._span, help="`==` compares")
        return None

    def _unused(self) -> Diagnostic | None:
        if "ASSIGN" not in self._accepts or self._found.kind not in OPERATORS | {"_NL"}:
            return None
        if combined := _COMBINED.match(self._source.text, self._found.start):
            operator, name = combined[1], self._source.text[self._read[0].start : self._read[-1].end]
            span = Span(self._source, *combined.span())
            return UnexpectedToken(f"there is no `{operator}=`", span, help=f"write `{name} = {name} {operator} …`")
        line = Span(self._source, self._read[0].start, self._end)
        advice = "bind it to a name, `name = …`, or return it"
        if self._found.text == "==" and len(self._read) == 1 and self._read[0].kind == "NAME":
            advice = f"`==` compares, `=` binds: `{self._read[0].text} = …`"
        return UnusedValue("the value of this line is not used", line, help=advice)

    def _reserved(self) -> Diagnostic | None:
        word = self._found.text
        if word not in RESERVED or "NAME" not in self._accepts:
            return None
        if self._accepts >= EXPRESSION and not _NAMES_A_VALUE.match(self._source.text, self._found.end):
            return None
        return ReservedWord(f"`{word}` is a word of the language and cannot be a name", self._span)

    def _number(self) -> Diagnostic | None:
        """A number with its point at its start or end."""
        text, found, last = self._source.text, self._found, self._last
        if found.kind == "DOT" and text[found.end : found.end + 1].isdecimal():
            span = Span(self._source, found.start, found.end + 1)
        elif last and last.kind == "DOT" and len(self._read) > 1 and self._read[-2].kind == "NUMBER":
            span = self._at(self._read[-2]).to(self._at(last))
        else:
            return None
        return MalformedNumber("a number has digits on both sides of its point", span)

    def _unexpected(self) -> Diagnostic:
        found = self._found
        shown = f"`{found.text}`" if len(found.text) <= 40 else f"`{found.text[:40]}…`"
        if found.kind == "_NL":
            shown = "the end of the line"
        elif found.kind == "STRING":
            shown = "a string"
        advice = None
        if found.kind == "_NL" and self._last and self._last.kind in OPERATORS and self._accepts >= EXPRESSION:
            advice = "an expression goes on inside brackets, or where the next line starts with `->`"
        elif found.kind == "COLON" and "ASSIGN" in self._accepts:
            advice = "only parameters, `weight`, `constant` and the fields of `data` are given a type"
        message = f"expected {expected(self._accepts)}, found {shown}"
        return UnexpectedToken(message, self._span, labels=self._bracket(), help=advice)

    def _bracket(self) -> tuple[Label, ...]:
        """The bracket that the line is still in, if what was found is on another line than what was read last."""
        if self._last is None or "\n" not in self._source.text[self._last.end : self._found.start]:
            return ()
        opened: list[Token] = []
        for token in self._read:
            if token.kind in ("LPAR", "LSQB"):
                opened.append(token)
            elif token.kind in ("RPAR", "RSQB"):
                opened.pop()
        return (Label(self._at(opened[-1]), "opened here"),) if opened else ()
