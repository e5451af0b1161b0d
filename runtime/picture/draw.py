"""Pictures as files: SVG, a page of HTML around it, PNG, and Mermaid's text."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from importlib import import_module
from io import BytesIO
from typing import Any

from dlc.compiler.program import Model
from dlc.grammar.diagnostics import Refusal
from dlc.runtime.errors import MissingPackage
from dlc.runtime.picture.boxes import Box, boxes
from dlc.runtime.picture.layout import HEIGHT, WIDTH, Layout, arrange

_FILLS = {"input": "#eef2ff", "result": "#eef2ff", "block": "#ecfdf5", "loop": "#fff7ed", "layer": "#ffffff"}
_LINE, _TEXT, _SOFT = "#98a2b3", "#1b1f27", "#667085"
_LONGEST = 34
_FONT = 'font-family="system-ui, sans-serif"'


def draw(model: Model, suffix: str, depth: int = 1) -> bytes:
    """The picture of a model in the format of a file's suffix. Refusal where Pillow is needed and is
    not there."""
    found = boxes(model.graph, depth)
    match suffix:
        case ".svg":
            return _svg(found, model.name).encode()
        case ".html":
            return _html(found, model.name).encode()
        case ".mmd":
            return _mermaid(found).encode()
        case _:
            return _png(found)


def _svg(found: Sequence[Box], name: str) -> str:
    layout = arrange(found)
    width, height = round(layout.width), round(layout.height)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        f'role="img" aria-label="{escape(name, quote=True)}" {_FONT}>',
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="6" markerHeight="6" orient="auto">'
        f'<path d="M0,0 L8,4 L0,8 z" fill="{_LINE}"/></marker></defs>',
        *(_curve(line) for line in layout.lines),
        *(_box(box, place) for box, place in zip(found, layout.places, strict=True)),
        "</svg>\n",
    ]
    return "\n".join(parts)


def _curve(line: Sequence[tuple[float, float]]) -> str:
    """A line that leaves and meets boxes straight down."""
    (x, y), *rest = line
    path = f"M{x:.1f},{y:.1f}"
    for nx, ny in rest:
        middle = (y + ny) / 2
        path += f" L{nx:.1f},{ny:.1f}" if nx == x else f" C{x:.1f},{middle:.1f} {nx:.1f},{middle:.1f} {nx:.1f},{ny:.1f}"
        x, y = nx, ny
    return f'<path d="{path}" fill="none" stroke="{_LINE}" stroke-width="1.4" marker-end="url(#tip)"/>'


def _box(box: Box, place: tuple[float, float]) -> str:
    x, y = place[0] - WIDTH / 2, place[1]
    whole = escape(f"{'.'.join((*box.group, box.name))}: {box.gives}" + (f", {box.learned}" if box.learned else ""))
    side = f'text-anchor="end" font-size="10" fill="{_SOFT}"'
    learned = f'<text x="{x + WIDTH - 9:.1f}" y="{y + 17:.1f}" {side}>{escape(box.learned)}</text>'
    return (
        f'<g class="{box.kind}"><title>{whole}</title>'
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{WIDTH}" height="{HEIGHT}" rx="7" fill="{_FILLS[box.kind]}" '
        f'stroke="{_LINE}"/><text x="{x + 9:.1f}" y="{y + 18:.1f}" font-size="12" font-weight="600" fill="{_TEXT}">'
        f"{escape(_name(box))}</text>"
        f'<text x="{x + 9:.1f}" y="{y + 35:.1f}" font-size="10.5" fill="{_SOFT}">{escape(_short(box.gives))}</text>'
        f"{learned if box.learned else ''}</g>"
    )


def _name(box: Box) -> str:
    return _short(".".join((*box.group, box.name)), 20 if box.learned else 30)


def _short(text: str, most: int = _LONGEST) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _html(found: Sequence[Box], name: str) -> str:
    head = f'<meta charset="utf-8"><title>{escape(name)}</title>'
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>\n{_svg(found, name)}</body></html>\n'


def _mermaid(found: Sequence[Box]) -> str:
    """A flowchart of Mermaid's, https://mermaid.js.org/syntax/flowchart.html, opened blocks as its subgraphs."""
    lines = ["flowchart TD"]
    group: list[str] = []
    for number, box in enumerate(found):
        while tuple(group) != box.group[: len(group)]:
            group.pop()
            lines.append("  " * (len(group) + 1) + "end")
        for part in box.group[len(group) :]:
            lines.append("  " * (len(group) + 1) + f'subgraph g{number}_{len(group)} ["{_quoted(part)}"]')
            group.append(part)
        text = "<br>".join(map(_quoted, filter(None, (box.name, box.gives, box.learned))))
        shape = ("([", "])") if box.kind in ("input", "result") else ("[", "]")
        lines.append("  " * (len(group) + 1) + f'n{number}{shape[0]}"{text}"{shape[1]}')
    lines += ["  " * depth + "end" for depth in range(len(group), 0, -1)]
    lines += [f"  n{start} --> n{end}" for end, box in enumerate(found) for start in box.reads]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    return escape(text, quote=False).replace('"', "#quot;")


def _png(found: Sequence[Box]) -> bytes:
    """Drawn twice as large as the SVG."""
    try:
        image: Any = import_module("PIL.Image")  # whose types are partly unknown
        drawing: Any = import_module("PIL.ImageDraw")
        font: Any = import_module("PIL.ImageFont")
    except ImportError:
        message = "a .png is drawn by Pillow, which is not installed"
        raise Refusal(MissingPackage(message, None, help='pip install "dlc[data]", or name a .svg')) from None
    layout: Layout = arrange(found)
    scale = 2
    canvas = image.new("RGB", (round(layout.width * scale), round(layout.height * scale)), "white")
    pen = drawing.Draw(canvas)
    large, small = font.load_default(12 * scale), font.load_default(10 * scale)
    for line in layout.lines:
        pen.line([(x * scale, y * scale) for x, y in line], fill=_LINE, width=scale)
        x, y = line[-1]
        tip = [(x - 4, y - 7), (x + 4, y - 7), (x, y)]
        pen.polygon([(a * scale, b * scale) for a, b in tip], fill=_LINE)
    for box, (middle, y) in zip(found, layout.places, strict=True):
        x = middle - WIDTH / 2
        corners = [x * scale, y * scale, (x + WIDTH) * scale, (y + HEIGHT) * scale]
        pen.rounded_rectangle(corners, 7 * scale, fill=_FILLS[box.kind], outline=_LINE, width=scale)
        pen.text(((x + 9) * scale, (y + 5) * scale), _name(box), fill=_TEXT, font=large)
        pen.text(((x + 9) * scale, (y + 25) * scale), _short(box.gives), fill=_SOFT, font=small)
        if box.learned:
            end = ((x + WIDTH - 9) * scale, (y + 7) * scale)
            pen.text(end, box.learned, fill=_SOFT, font=small, anchor="ra")
    written = BytesIO()
    canvas.save(written, "PNG")
    return written.getvalue()
