"""Writes tables.py from dl.lark: `python -m dlc.grammar.generate`.

lark reads the grammar and computes the LALR(1) automaton; what it found is written out as plain literals, because
building the automaton takes longer than checking an ordinary spec, and importing lark a quarter as long.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol, cast

GRAMMAR = Path(__file__).with_name("dl.lark")
TABLES = Path(__file__).with_name("tables.py")

HEADER = '''"""The automaton of dl.lark. Written by `python -m dlc.grammar.generate`; not to be edited by hand.

ACTIONS: for each state, what each terminal does: n > 0 shifts to state n, n < 0 reduces by RULES[~n].
GOTOS: for each state, where each nonterminal leads. State 0 is the first, FINAL the last.
RULES: the nonterminal, how many symbols it replaces, the method of `Builder` ("" hands on its one child, "gather"
makes or extends a list), and what the method is given: n is the nth symbol, -1 is `None`, -2 - n spreads the nth.
KEYWORDS: for each word its terminal and, where a name may stand in the same place, the pattern that tells them apart.
"""
'''


class GrammarError(Exception):
    """dl.lark is not LALR(1)."""


class _Symbol(Protocol):
    name: str
    is_term: bool
    filter_out: bool


class _Conflicts(logging.Handler):
    """Collects what lark would otherwise resolve in silence."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if "conflict" in record.getMessage():
            self.found.append(record.getMessage())


def tables() -> str:
    """The text of tables.py. Raises GrammarError for a grammar with conflicts."""
    parser = _build(GRAMMAR.read_text(encoding="utf-8"))
    rules: list[Any] = list(parser.rules)
    actions, gotos, final = _number(parser.parser.parser._parse_table, rules)
    keywords, punctuation, patterns = _classify(parser.terminals, set(parser.ignore_tokens))
    parts = [
        HEADER,
        f"FINAL: int = {final}\n",
        _table("KEYWORDS: dict[str, tuple[str, str]]", "{", (f"{k!r}: {v!r}" for k, v in keywords.items()), "}"),
        _table("PUNCTUATION: dict[str, str]", "{", (f"{k!r}: {v!r}" for k, v in punctuation.items()), "}"),
        _table("PATTERNS: dict[str, str]", "{", (f"{k!r}: {v!r}" for k, v in patterns.items()), "}"),
        _table("RULES: tuple[tuple[str, int, str, tuple[int, ...]], ...]", "(", map(_rule, rules), ")"),
        _table("ACTIONS: tuple[dict[str, int], ...]", "(", map(repr, actions), ")"),
        _table("GOTOS: tuple[dict[str, int], ...]", "(", map(repr, gotos), ")"),
    ]
    return "\n".join(parts)


def _build(grammar: str) -> Any:
    import lark

    conflicts = _Conflicts()
    level, handlers = lark.logger.level, lark.logger.handlers
    lark.logger.handlers = [conflicts]
    lark.logger.setLevel(logging.DEBUG)
    try:
        parser = lark.Lark(grammar, parser="lalr", maybe_placeholders=True, debug=True)
    except lark.exceptions.GrammarError as error:
        raise GrammarError(str(error)) from error
    finally:
        lark.logger.handlers = handlers
        lark.logger.setLevel(level)
    if conflicts.found:
        raise GrammarError("\n".join(conflicts.found))
    return parser


def _number(table: Any, rules: list[Any]) -> tuple[list[dict[str, int]], list[dict[str, int]], int]:
    """Actions, gotos and the final state, the states numbered in the order they are reached in."""
    from lark.parsers.lalr_analysis import Shift

    index = {rule: number for number, rule in enumerate(rules)}
    (start,), (end,) = table.start_states.values(), table.end_states.values()
    numbers: dict[Any, int] = {start: 0}
    queue = [start]
    actions: list[dict[str, int]] = []
    gotos: list[dict[str, int]] = []
    for state in queue:
        actions.append({})
        gotos.append({})
        # lark's symbols are a kind of string that is written out differently.
        row = {str(symbol): action for symbol, action in table.states[state].items()}
        for symbol, (action, target) in sorted(row.items(), key=lambda item: item[0]):
            if action is not Shift:
                actions[-1][symbol] = ~index[target]
                continue
            if target not in numbers:
                numbers[target] = len(numbers)
                queue.append(target)
            (actions if symbol.isupper() else gotos)[-1][symbol] = numbers[target]
    return actions, gotos, numbers[end]


def _classify(
    terminals: Sequence[Any], ignored: set[str]
) -> tuple[dict[str, tuple[str, str]], dict[str, str], dict[str, str]]:
    """The keywords (word: terminal and the pattern that it must match there), punctuation, and the other patterns."""
    keywords: dict[str, tuple[str, str]] = {}
    punctuation: dict[str, str] = {}
    patterns: dict[str, str] = {}
    for terminal in sorted(terminals, key=lambda terminal: cast(str, terminal.name)):
        name, pattern = cast(str, terminal.name), cast(str, terminal.pattern.value)
        if name in ignored:
            continue
        if name.startswith("KW_"):
            plain = terminal.pattern.type == "str"
            keywords[name.removeprefix("KW_").lower()] = (name, "" if plain else pattern)
        elif terminal.pattern.type == "str":
            punctuation[pattern] = name
        else:
            patterns[name] = pattern
    return keywords, punctuation, patterns


def _rule(rule: Any) -> str:
    """A rule as RULES has it."""
    expansion = cast(list[_Symbol], rule.expansion)
    if not expansion:
        raise GrammarError(f"{rule.origin.name} may be empty, which the automaton does not provide for")
    # lark notes the options left out of this expansion as a row of flags: true where one is missing.
    flags = "".join(str(int(flag)) for flag in rule.options.empty_indices)
    missing = [len(run) for run in flags.split("0")] if flags else [0] * (len(expansion) + 1)
    picks: list[int] = []
    for position, symbol in enumerate(expansion):
        picks += [-1] * missing[position]
        if symbol.is_term and symbol.filter_out:
            continue
        picks.append(-2 - position if symbol.name.startswith("_") else position)
    picks += [-1] * missing[len(expansion)]

    origin = str(rule.origin.name)
    action = str(rule.alias or origin)
    if origin.startswith("_"):
        action = "gather"
    elif rule.options.expand1 and not rule.alias and len(picks) == 1 and picks[0] >= 0:
        action = ""
    return repr((origin, len(expansion), action, tuple(picks)))


def _table(name: str, opening: str, rows: Iterable[str], closing: str) -> str:
    lines = [f"{name} = {opening}"]
    for row in rows:
        lines += _wrapped(f"{row},")
    return "\n".join([*lines, closing, ""])


def _wrapped(row: str, width: int = 120) -> Iterator[str]:
    """The row broken at the blanks between its items; a row of one item stays whole."""
    line = "   "
    for item in re.split(r"(?<=,) ", row) if len(row) > width - 4 else [row]:
        if len(line) + 1 + len(item) > width and line.strip():
            yield line
            line = "       "
        line += f" {item}"
    yield line


def main() -> None:
    TABLES.write_text(tables(), encoding="utf-8")


if __name__ == "__main__":
    main()
