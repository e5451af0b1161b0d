"""Curves as SVG, drawn by ourselves: axes with round numbers, a line for each series, its last value beside it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 440, 250
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 92, 34, 30
_LINE = 13  # between two names
_LETTER = 6.6  # how wide one of a name is
_DOTS = 40  # points up to which each gets a dot with its value

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Axis:
    """What is shown from one end of the drawing to the other, and where the numbers beside it stand.

    log: whether equal distances are equal factors; `low` and `high` are above 0 then.
    """

    low: float
    high: float
    ticks: tuple[float, ...]
    log: bool = False

    def share(self, value: float) -> float:
        """How far along the axis a value is, from 0 to 1."""
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)


def curves(
    title: str, series: Mapping[str, Points], *, over: str, marked: float | None = None, log: bool = False
) -> str:
    """A drawing of several series of (x, y) over one x axis, as an `svg` element.

    over: what x counts. marked: an x with a line across, such as the best epoch. log: whether equal distances along x
    are equal factors. Values that are not finite are gaps.
    """
    points = [point for line in series.values() for point in line if math.isfinite(point[1])]
    if not points:
        return ""
    x = (_doubling_axis if log else _whole_axis)([point[0] for point in points])
    y = _value_axis([point[1] for point in points])

    end = WIDTH - max(_RIGHT, 14 + _LETTER * max(len(_name(name, _last(line))) for name, line in series.items()))

    def across(value: float) -> float:
        return _LEFT + x.share(value) * (end - _LEFT)

    def up(value: float) -> float:
        return HEIGHT - _BOTTOM - y.share(value) * (HEIGHT - _TOP - _BOTTOM)

    by = f'<tspan class="tick"> by {escape(over)}{", log scale" if y.log else ""}</tspan>'
    parts = [f'<text class="title" x="{_LEFT}" y="16">{escape(title)}{by}</text>']
    for tick in y.ticks:
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{end:.1f}" y1="{up(tick):.1f}" y2="{up(tick):.1f}"/>')
        parts.append(f'<text class="tick" x="{_LEFT - 6}" y="{up(tick) + 3.5:.1f}" text-anchor="end">{tick:.4g}</text>')
    for tick in x.ticks:
        place = f'x="{across(tick):.1f}" y="{HEIGHT - _BOTTOM + 15}"'
        parts.append(f'<text class="tick" {place} text-anchor="middle">{tick:,.0f}</text>')
    if marked is not None and x.low <= marked <= x.high:
        parts.append(f'<line class="marked" x1="{across(marked):.1f}" x2="{across(marked):.1f}" y1="{_TOP}" ')
        parts.append(f'y2="{HEIGHT - _BOTTOM}"><title>{escape(over)} {marked:g}, whose weights are kept</title></line>')
    parts += [_line(number, name, line, across, up) for number, (name, line) in enumerate(series.items())]
    parts += _names(series, end, up)
    label = escape(f"{title} over {over}", quote=True)
    return f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">{"".join(parts)}</svg>'


def _line(number: int, name: str, line: Points, across: Callable[[float], float], up: Callable[[float], float]) -> str:
    """A series: its line, broken where values are not finite, and dots where there are few."""
    pieces: list[list[str]] = [[]]
    dots: list[str] = []
    for x, y in line:
        if not math.isfinite(y):
            pieces.append([])
            continue
        place = f"{across(x):.1f},{up(y):.1f}"
        pieces[-1].append(place)
        if len(line) <= _DOTS:
            told = f"{escape(name)} {x:g}: {y:.6g}"
            dots.append(f'<circle cx="{across(x):.1f}" cy="{up(y):.1f}" r="2.2"><title>{told}</title></circle>')
    lines = "".join(f'<polyline points="{" ".join(piece)}"/>' for piece in pieces if len(piece) > 1)
    dashed = ' stroke-dasharray="5 3"' if number >= 6 else ""  # the colours come again
    return f'<g class="series s{number % 6}"{dashed}>{lines}{"".join(dots)}</g>'


def _names(series: Mapping[str, Points], end: float, up: Callable[[float], float]) -> list[str]:
    """Each series' name and last value, where its line ends, kept apart where lines end together."""
    ends = sorted(
        (up(last), number, name, last)
        for number, (name, line) in enumerate(series.items())
        if (last := _last(line)) is not None
    )
    parts: list[str] = []
    heights: list[float] = []
    for height, *_ in ends:
        heights.append(max(height, heights[-1] + _LINE) if heights else height)
    beyond = max(0.0, heights[-1] - (HEIGHT - _BOTTOM)) if heights else 0.0
    for height, (_, number, name, last) in zip(heights, ends, strict=True):
        place = f'x="{end + 8:.1f}" y="{height - beyond + 3.5:.1f}"'
        parts.append(f'<text class="s{number % 6}" {place}>{escape(_name(name, last))}</text>')
    return parts


def _name(name: str, last: float | None) -> str:
    return name if last is None else f"{name} {last:.4g}"


def _last(line: Points) -> float | None:
    return next((y for _, y in reversed(line) if math.isfinite(y)), None)


def _whole_axis(values: Sequence[float]) -> Axis:
    """An axis of what is counted."""
    low, high = min(values), max(values)
    if low == high:
        low, high = low - 1, high + 1
    ticks = [tick for tick in _round_numbers(low, high, 5) if tick == round(tick) and low <= tick <= high]
    return Axis(low, high, tuple(ticks))


def _doubling_axis(values: Sequence[float]) -> Axis:
    """An axis of what is counted from 1 on, whose ticks double, or more."""
    low, high = min(values), max(*values, 2 * min(values))
    powers = range(math.ceil(math.log2(high / low)) + 1)
    ticks = [low * 2.0**power for power in powers[:: max(1, len(powers) // 5)]]
    return Axis(low, high, tuple(tick for tick in ticks if tick <= high), log=True)


def _value_axis(values: Sequence[float]) -> Axis:
    """An axis of what is measured, logarithmic where values are positive and of very different size."""
    low, high = min(values), max(values)
    if low > 0 and high / low > 200:
        first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
        every = max(1, (last - first) // 5)
        return Axis(10.0**first, 10.0**last, tuple(10.0**power for power in range(first, last + 1, every)), log=True)
    if low == high:
        low, high = low - (abs(low) or 1) / 2, high + (abs(high) or 1) / 2
    ticks = _round_numbers(low, high, 5)
    return Axis(min(low, ticks[0]), max(high, ticks[-1]), tuple(ticks))


def _round_numbers(low: float, high: float, count: int) -> list[float]:
    """Some `count` multiples of 1, 2 or 5 times a power of ten, from at most `low` to at least `high`."""
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    return [place * step for place in range(math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9) + 1)]
