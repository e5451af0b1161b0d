"""The page: sections one below the other, in light and dark as the reader's system has it. No script, no other file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

_STYLE = """
:root { color-scheme: light dark;
  --page: #f6f7f9; --card: #ffffff; --text: #1b1f27; --soft: #667085; --line: #e3e6ec; --accent: #2563eb;
  --s0: #2563eb; --s1: #d97706; --s2: #0d9488; --s3: #9333ea; --s4: #dc2626; --s5: #65a30d; --end: #eef2ff; }
@media (prefers-color-scheme: dark) { :root {
  --page: #10131a; --card: #181c25; --text: #e6e9f0; --soft: #98a2b3; --line: #2b3140; --accent: #7aa2ff;
  --s0: #7aa2ff; --s1: #fbbf24; --s2: #2dd4bf; --s3: #c084fc; --s4: #f87171; --s5: #a3e635; --end: #1f2740; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--text);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
main { max-width: 1020px; margin: 0 auto; padding: 28px 20px 60px; }
h1 { font-size: 26px; margin: 0; letter-spacing: -.01em; }
h2 { font-size: 17px; margin: 0 0 12px; }
h3 { font-size: 14px; margin: 14px 0 6px; }
p { margin: 4px 0; } .soft, .small-text { color: var(--soft); } .small-text { font-size: 13px; }
section { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 18px 20px;
  margin-top: 16px; overflow-x: auto; }
.facts { display: flex; flex-wrap: wrap; gap: 10px 34px; margin: 14px 0 2px; }
.facts div { min-width: 84px; } .facts b { display: block; font-size: 20px; font-variant-numeric: tabular-nums; }
.facts span { color: var(--soft); font-size: 13px; }
.grid { display: grid; grid-template-columns: repeat(auto-fit, minmax(330px, 1fr)); gap: 14px 22px; }
table { border-collapse: collapse; font-size: 13.5px; font-variant-numeric: tabular-nums; }
th, td { padding: 4px 14px 4px 0; text-align: left; border-bottom: 1px solid var(--line); white-space: nowrap; }
th { color: var(--soft); font-weight: 500; } td.number, th.number { text-align: right; }
pre { margin: 0; font: 13px/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; overflow-x: auto; }
details summary { cursor: pointer; color: var(--soft); font-size: 13px; margin-top: 10px; }
img { max-width: 100%; height: auto; border-radius: 6px; border: 1px solid var(--line); image-rendering: pixelated; }
svg { width: 100%; height: auto; display: block; } svg.chart { max-width: 560px; }
svg text { fill: var(--text); font-size: 11px; } svg .title { font-size: 13px; font-weight: 600; }
svg .tick, svg .small { fill: var(--soft); font-size: 10.5px; font-variant-numeric: tabular-nums; }
svg .grid { stroke: var(--line); } svg .marked { stroke: var(--soft); stroke-dasharray: 3 3; }
.series polyline { fill: none; stroke-width: 1.8; stroke-linejoin: round; }
.s0 polyline { stroke: var(--s0); } .s1 polyline { stroke: var(--s1); } .s2 polyline { stroke: var(--s2); }
.s3 polyline { stroke: var(--s3); } .s4 polyline { stroke: var(--s4); } .s5 polyline { stroke: var(--s5); }
.s0 circle, svg text.s0 { fill: var(--s0); } .s1 circle, svg text.s1 { fill: var(--s1); }
.s2 circle, svg text.s2 { fill: var(--s2); } .s3 circle, svg text.s3 { fill: var(--s3); }
.s4 circle, svg text.s4 { fill: var(--s4); } .s5 circle, svg text.s5 { fill: var(--s5); }
.network rect { fill: var(--page); stroke: var(--line); } .network .end rect { fill: var(--end); stroke: none; }
.network .layer-name { font-size: 12px; font-weight: 600; } .flow { fill: none; stroke: var(--soft);
  stroke-width: 1.3; marker-end: url(#tip); } .tip { fill: var(--soft); }
.passing { stroke: var(--accent); opacity: .75; }
.confusion text { text-anchor: middle; font-size: 11.5px; } .confusion text.on { fill: var(--card); }
.confusion .cell { fill: var(--page); } .confusion .right { fill: var(--s0); } .confusion .wrong { fill: var(--s4); }
"""


def page(title: str, told: str, facts: Sequence[tuple[str, str]], sections: Iterable[str]) -> str:
    """The whole file. told: a sentence below the title. facts: what to see first, each with what it is."""
    shown = "".join(f"<div><b>{escape(value)}</b><span>{escape(name)}</span></div>" for name, value in facts)
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    return (
        f'<!doctype html>\n<html lang="en"><head>{head}<title>{escape(title)}</title><style>{_STYLE}</style></head>\n'
        f'<body><main><h1>{escape(title)}</h1><p class="soft">{escape(told)}</p><div class="facts">{shown}</div>\n'
        + "\n".join(section for section in sections if section)
        + "\n</main></body></html>\n"
    )


def alone(svg: str) -> str:
    """A drawing of a page as a file of its own, on a card of the page's colour."""
    head, rest = svg.split(">", 1)
    card = '<rect width="100%" height="100%" rx="8" style="fill: var(--card)"/>'
    font = 'font-family="system-ui, sans-serif"'
    return f'{head} xmlns="http://www.w3.org/2000/svg" {font}><style>{_STYLE}</style>{card}{rest}\n'


def section(title: str, *parts: str) -> str:
    """A part of the page; nothing where it has nothing to show."""
    body = "\n".join(part for part in parts if part)
    return f"<section><h2>{escape(title)}</h2>\n{body}</section>" if body else ""


def paragraph(text: str) -> str:
    """A sentence in small letters."""
    return f'<p class="small-text">{escape(text)}</p>'


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: Iterable[int] = ()) -> str:
    """A table of text. numbers: the columns whose cells stand to the right."""
    right = set(numbers)

    def cells(kind: str, row: Sequence[str]) -> str:
        return "".join(
            f"<{kind}{' class=number' if place in right else ''}>{escape(cell)}</{kind}>"
            for place, cell in enumerate(row)
        )

    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return f"<table><thead><tr>{cells('th', head)}</tr></thead><tbody>{body}</tbody></table>"


def folded(summary: str, content: str) -> str:
    """What is shown when it is asked for."""
    return f"<details><summary>{escape(summary)}</summary>{content}</details>"


def code(text: str) -> str:
    """Text as it stands."""
    return f"<pre>{escape(text)}</pre>"
