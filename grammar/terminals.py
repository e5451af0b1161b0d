"""The words for what could have stood somewhere: terminals, and the groups of them that people think in."""

from __future__ import annotations

from collections.abc import Collection

from dlc.grammar.tables import KEYWORDS, PUNCTUATION

WORDS: dict[str, str] = {
    "NAME": "a name",
    "NUMBER": "a number",
    "STRING": "a string",
    "_NL": "the end of the line",
    "_INDENT": "an indented line",
    "_DEDENT": "the end of the body",
    "$END": "the end of the declaration",
    **{kind: f"`{mark}`" for mark, kind in PUNCTUATION.items()},
    **{kind: f"`{word}`" for word, (kind, _) in KEYWORDS.items()},
}
"""For every terminal of dl.lark, how to name it in a sentence."""

EXPRESSION = frozenset({"NAME", "NUMBER", "STRING", "KW_TRUE", "KW_FALSE", "KW_NONE", "MINUS", "LPAR", "LSQB"})
"""What an expression can start with, `not` aside, which is not an operand of arithmetic."""

COMPARISONS = frozenset({"EQUALS", "DIFFERS", "LESS", "LESS_EQUAL", "GREATER", "GREATER_EQUAL"})

OPERATORS = COMPARISONS | {
    *("KW_AND", "KW_OR", "KW_IF", "KW_FOR", "PLUS", "MINUS", "STAR", "SLASH", "DOUBLE_SLASH", "PERCENT", "AT"),
    *("DOUBLE_STAR", "ARROW", "DOT", "LPAR", "LSQB"),
}
"""What can go on with an expression that could as well be complete."""

DECLARATIONS = frozenset({"KW_LANGUAGE", "KW_FROM", "KW_LET", "KW_BLOCK", "KW_MODEL", "KW_DATA", "KW_TRAIN"})

STATEMENTS = frozenset(
    {
        *("KW_WEIGHT", "KW_CONSTANT", "KW_RETURN", "KW_REQUIRE", "KW_ENSURE", "KW_MINIMIZE", "KW_MAXIMIZE"),
        *("KW_REPORT", "KW_FOR", "KW_LOOP", "KW_IF"),
    }
)
"""The words that start a statement; a name can too."""

_GROUPS = (
    (DECLARATIONS, "a declaration"),
    (STATEMENTS | {"NAME"}, "a statement"),
    (EXPRESSION, "an expression"),
)
_MOST = 4


def expected(kinds: Collection[str]) -> str:
    """What could have stood somewhere, as a short list: "`,` or `)`"."""
    rest = set(kinds)
    words: list[str] = []
    for group, word in _GROUPS:
        if group <= rest:
            rest -= group
            words.append(word)
            rest -= {"KW_NOT"} if group is EXPRESSION else {"KW_ELIF", "KW_ELSE", "_DEDENT"}
    # Where a product may go on, an operand has just ended, and all that goes on with one is a single item.
    if rest >= {"PLUS", "STAR"}:
        rest -= OPERATORS
        if "_NL" in rest:
            rest.discard("KW_FROM")
        words += sorted(WORDS[kind] for kind in rest)
        words = words[:_MOST] or ["an operator"]
        return _either(words if len(words) > 1 or "an operator" in words else [*words, "an operator"])
    words += sorted(WORDS[kind] for kind in rest)
    return _either(words[:_MOST])


def _either(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"
