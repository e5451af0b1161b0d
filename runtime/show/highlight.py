"""A Pygments lexer for DL: highlights specs on a terminal, in documentation built by Sphinx or MkDocs, in LaTeX."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from pygments import lexer
from pygments.token import (
    Comment,
    Keyword,
    Name,
    Number,
    Operator,
    Punctuation,
    String,
    Whitespace,
)

# Its parameters have no types.
_bygroups: Callable[..., Any] = getattr(lexer, "bygroups")  # noqa: B009

_NAME = r"[^\W\d]\w*'*"
_TYPES = "bfloat16|bool|float|float16|float64|int|int32|int8|layer|list|string|uint8"


class DLLexer(lexer.RegexLexer):
    """Specs of deep-learning models. A word of the language is a keyword where it is used as one, a name elsewhere."""

    name = "DL"
    aliases: ClassVar[Sequence[str]] = ["dl"]
    filenames: ClassVar[Sequence[str]] = ["*.dl"]
    mimetypes: ClassVar[Sequence[str]] = ["text/x-dl"]

    tokens: ClassVar = {
        "root": [
            (r"#[^\n]*", Comment.Single),
            (r'"', String.Double, "string"),
            (rf"^(block|model|data)([ \t]+)({_NAME})", _bygroups(Keyword.Declaration, Whitespace, Name.Class)),
            (
                rf"^(train)([ \t]+)({_NAME})([ \t]+)(on)([ \t]+)({_NAME})",
                _bygroups(Keyword.Declaration, Whitespace, Name.Class, Whitespace, Keyword, Whitespace, Name.Class),
            ),
            (
                r"^(from)([ \t]*)(\.*)([ \t]*)([^\W\d][\w.']*)([ \t]+)(import)(?![\w'])",
                _bygroups(
                    Keyword.Namespace,
                    Whitespace,
                    Punctuation,
                    Whitespace,
                    Name.Namespace,
                    Whitespace,
                    Keyword.Namespace,
                ),
            ),
            (rf"^(let)([ \t]+)({_NAME})", _bygroups(Keyword.Declaration, Whitespace, Name.Constant)),
            (r"^language(?=[ \t]+[0-9])", Keyword.Namespace),
            (rf"^([ \t]+)(weight|constant|report)([ \t]+)({_NAME})", _bygroups(Whitespace, Keyword, Whitespace, Name)),
            (r"^([ \t]+)(augment|settings)(?=[ \t]*:[ \t]*(?:#|$))", _bygroups(Whitespace, Keyword)),
            (
                r"^([ \t]+)(ensure|loop|maximize|minimize|require)(?![\w'])(?![ \t]*(?:=(?!=)|:=|[,.]))",
                _bygroups(Whitespace, Keyword),
            ),
            (r'(?<=[ \t)\]])(?:along|as|collecting|from|over|using)(?=[ \t]+-?[\w(\["])', Keyword),
            (r"(?<!\.)(?:elif|else|for|if|in|return)(?![\w'])", Keyword),
            (r"(?<!\.)(?:and|not|or)(?![\w'])", Operator.Word),
            (r"(?<!\.)(?:false|none|true)(?![\w'])", Keyword.Constant),
            (r"[0-9][0-9_]*(?:\.[0-9][0-9_]*)?(?:[eE][+-]?[0-9]+)?", Number),
            (rf"(?<=[:>] )(?:{_TYPES})(?=[ \t]*(?:[\[\],):=]|$))", Keyword.Type),
            (rf"{_NAME}(?=\()", Name.Function),
            (rf"(?<=-> ){_NAME}", Name.Function),
            (rf"{_NAME}(?==[^=])", Name.Attribute),
            (_NAME, Name),
            (r"\.\.\.|->|:=|==|!=|<=|>=|\*\*|//|[-+*/%@<>=~]", Operator),
            (r"[.,:()\[\]]", Punctuation),
            (r"\n|[ \t\r\f]+", Whitespace),  # a line at a time, for the rules that look at its start
        ],
        "string": [
            (r'\\(?:[nt"\\]|u[0-9a-fA-F]{4})', String.Escape),
            (r'[^"\\\n]+|\\[^\n]', String.Double),
            (r'"|(?=\n)', String.Double, "#pop"),
        ],
    }
