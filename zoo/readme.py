"""The table in specs/README.md."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from zoo.result import Result
from zoo.row import Row

_HEAD = (
    "spec",
    "what it is",
    "lines",
    "numbers",
    "data",
    "must show",
    "reached",
    "seconds",
    "onnxruntime against PyTorch",
)
_PREFACE = """# Models

Each spec is a page: what it is and where it comes from stands in its comment. `dlc train` trains it, `dlc export`
exports it, and `make zoo` trains them all, checks what each must show, exports every model and procedure, compares
onnxruntime with PyTorch, and writes this table. *Numbers* are those that the first training holds; the last column
is the largest difference, as a part of an output's largest magnitude, or why there is no export.
"""


def write_readme(path: Path, known: Mapping[str, Row], results: Sequence[Result]) -> None:
    """Writes the table; rows that were not measured keep what stands there already."""
    before = dict(_kept(path))
    fresh = {result.key: result for result in results}
    parts = [_PREFACE]
    for family in dict.fromkeys(row.family for row in known.values()):
        parts += [f"## {family}\n", _line(_HEAD), _line(["---"] * len(_HEAD))]
        for key, row in known.items():
            if row.family == family and key in fresh:
                parts.append(_line(_cells(row, fresh[key])))
            elif row.family == family:
                parts.append(before.get(key) or _line([_link(row), row.what, *["—"] * (len(_HEAD) - 2)]))
        drawn = [row for row in known.values() if row.family == family and row.spec.with_suffix(".svg").exists()]
        parts += ["", *(f"![{row.name}]({row.family}/{row.name}.svg)" for row in drawn), ""]
    path.write_text("\n".join(parts), encoding="utf-8")


def _kept(path: Path) -> Iterator[tuple[str, str]]:
    """The rows of the table as it stands, by their specs."""
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        if found := re.match(r"\| \[\w+\]\((\S+)\.dl\) ", line):
            yield found[1], line


def _cells(row: Row, result: Result) -> list[str]:
    reached = result.reached if result.held else f"**missed**: {result.reached}"
    return [
        _link(row),
        row.what,
        str(lines(row.spec)),
        f"{result.parameters:,}",
        row.data,
        row.asked,
        reached,
        f"{result.seconds:.0f}",
        _difference(result),
    ]


def _difference(result: Result) -> str:
    told = [] if result.difference is None else [f"{result.difference:.0e}"]
    return "; ".join([*told, *result.unexported]) or "nothing to export"


def _link(row: Row) -> str:
    return f"[{row.name}]({row.family}/{row.name}.dl)"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def lines(spec: Path) -> int:
    """The lines of a spec that are neither blank nor a comment."""
    stripped = (line.strip() for line in spec.read_text(encoding="utf-8").splitlines())
    return sum(bool(line) and not line.startswith("#") for line in stripped)
