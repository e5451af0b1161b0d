"""Where boxes stand: in rows, each below all that it reads, in an order with few crossings, after Sugiyama, Tagawa and
Toda, "Methods for Visual Understanding of Hierarchical System Structures", 1981."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from dlc.runtime.picture.boxes import Box

WIDTH, HEIGHT, ACROSS, DOWN, MARGIN = 220, 46, 28, 34, 20
_SWEEPS = 8


@dataclass(frozen=True)
class Layout:
    """The middle of each box's upper edge, and each line as the points that it goes through, in pixels."""

    width: float
    height: float
    places: Sequence[tuple[float, float]]
    lines: Sequence[tuple[tuple[float, float], ...]]


def arrange(boxes: Sequence[Box]) -> Layout:
    """The places of boxes and lines. A line over several rows has a place of its own in each, so that it crosses no
    box."""
    rows = _rows(boxes)
    count = len(boxes)
    level = list(rows)
    chains: list[list[int]] = []
    for end, box in enumerate(boxes):
        for start in box.reads:
            between = list(range(len(level), len(level) + rows[end] - rows[start] - 1))
            level += range(rows[start] + 1, rows[end])
            chains.append([start, *between, end])
    order = _ordered(level, chains)
    at = _across(order, level, chains, count)
    left = min(at, default=0) - WIDTH / 2 - MARGIN
    points = [(x - left, MARGIN + level[number] * (HEIGHT + DOWN)) for number, x in enumerate(at)]
    lines = [tuple(_through(points, chain)) for chain in chains]
    width = max((x for x, _ in points), default=0) + WIDTH / 2 + MARGIN
    height = max((y for _, y in points), default=0) + HEIGHT + MARGIN
    return Layout(width, height, points[:count], lines)


def _rows(boxes: Sequence[Box]) -> list[int]:
    rows: list[int] = []
    for box in boxes:
        rows.append(max((rows[start] + 1 for start in box.reads), default=0))
    return rows


def _ordered(level: Sequence[int], chains: Sequence[Sequence[int]]) -> list[list[int]]:
    """The rows, each in an order by the mean place of its neighbours above and below, in turn."""
    order: list[list[int]] = [[] for _ in range(max(level, default=-1) + 1)]
    for number, row in enumerate(level):
        order[row].append(number)
    above: dict[int, list[int]] = {}
    below: dict[int, list[int]] = {}
    for chain in chains:
        for start, end in pairwise(chain):
            above.setdefault(end, []).append(start)
            below.setdefault(start, []).append(end)
    place = {number: position for row in order for position, number in enumerate(row)}
    for sweep in range(_SWEEPS):
        near, rows = (above, order) if sweep % 2 == 0 else (below, order[::-1])
        for row in rows:
            row.sort(key=lambda number: _mean([place[other] for other in near.get(number, [number])]))
            place.update((number, position) for position, number in enumerate(row))
    return order


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _across(
    order: Sequence[Sequence[int]], level: Sequence[int], chains: Sequence[Sequence[int]], count: int
) -> list[float]:
    """The middle of each place from the left: below what it reads where there is room, side by side elsewhere."""
    above: dict[int, list[int]] = {}
    for chain in chains:
        for start, end in pairwise(chain):
            above.setdefault(end, []).append(start)
    at = [0.0] * len(level)
    for row in order:
        wanted = [_mean([at[other] for other in above[number]]) if number in above else 0.0 for number in row]
        widths = [WIDTH if number < count else 0 for number in row]
        edge = float("-inf")
        for number, wish, width in zip(row, wanted, widths, strict=True):
            at[number] = max(wish, edge + width / 2)
            edge = at[number] + width / 2 + ACROSS
        shift = _mean([wish - at[number] for number, wish in zip(row, wanted, strict=True)]) if row else 0
        for number in row:
            at[number] += shift
    return at


def _through(points: Sequence[tuple[float, float]], chain: Sequence[int]) -> list[tuple[float, float]]:
    first, *between, last = chain
    path = [(points[first][0], points[first][1] + HEIGHT)]
    for number in between:
        x, y = points[number]
        path += [(x, y), (x, y + HEIGHT)]
    return [*path, points[last]]
