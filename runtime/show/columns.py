"""Plain text in columns."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

WIDEST = 44  # a cell that is wider does not widen its column


def columns(rows: Sequence[Sequence[str]], *, right: Sequence[int] = ()) -> list[str]:
    """Lines with the cells of each row under one another, two spaces apart; columns in `right` end flush.

    A row may be shorter than others. What stands behind a cell that is wider than `WIDEST` is pushed to the right.
    """
    widths = [
        max((len(cell) for cell in column if len(cell) <= WIDEST), default=0)
        for column in zip_longest(*rows, fillvalue="")
    ]
    return [
        "  ".join(
            cell.rjust(width) if position in right else cell.ljust(width)
            for position, (cell, width) in enumerate(zip(row, widths, strict=False))
        ).rstrip()
        for row in rows
    ]
