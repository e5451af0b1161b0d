"""A syntax tree as indented text: what `dlc compile --to ast` writes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, cast

from dlc.grammar import ast

_Entry = tuple[str, Any, int]  # a part's label, the part, and how deep it lies


def dump(file: ast.File) -> str:
    """A node a line, its parts beneath it, deeper by two spaces; absent parts are left out."""
    lines: list[str] = ["File"]
    pending: list[_Entry] = [("", item, 1) for item in reversed(file.items)]
    while pending:
        label, value, depth = pending.pop()
        text = _text(value)
        lines.append("  " * depth + (f"{label}: {text}".rstrip() if label else text))
        pending.extend(reversed(list(_parts(value, depth + 1))))
    return "\n".join(lines) + "\n"


def _text(value: Any) -> str:
    """What stands on a part's own line."""
    match value:
        case ast.Name(id=name):
            return name
        case ast.Literal(value=literal):
            return _literal(literal)
        case ast.Node():
            return type(value).__name__
        case tuple():
            return "" if value else "none"
        case _:
            return _literal(value)


def _parts(value: Any, depth: int) -> Iterator[_Entry]:
    match value:
        case ast.Name() | ast.Literal():
            return
        case ast.Node():
            for name in value.node_fields:
                held = getattr(value, name)
                if name != "span" and held is not None and held != "":
                    yield name, held, depth
        case tuple():
            for item in cast(tuple[Any, ...], value):
                yield "", item, depth
        case _:
            return


def _literal(value: int | float | str | bool | None) -> str:
    match value:
        case None:
            return "none"
        case bool():
            return str(value).lower()
        case str():
            return json.dumps(value, ensure_ascii=False)
        case _:
            return repr(value)
