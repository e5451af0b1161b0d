"""Sets pieces of text into lines of limited width.

A piece is a word, a run of pieces that stand together, a chain that may break before each link, or a bracket that may
put each item on a line of its own. Where a line is too long, the outermost place that helps is broken first.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

WIDTH = 100
STEP = 4


@dataclass(frozen=True, slots=True)
class Notes:
    """The comments between two pieces: one behind what came before, and those on lines of their own."""

    behind: str = ""
    above: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.behind or self.above)


NOTHING = Notes()


class Run:
    """Pieces side by side."""

    def __init__(self, *pieces: Piece) -> None:
        self.pieces = pieces
        self.flat = sum(map(flat, pieces))


class Link:
    """What a chain goes on with. kept: there is a line break before it, wanted by whoever wrote it."""

    def __init__(self, mark: str, piece: Piece, notes: Notes = NOTHING, *, kept: bool = False) -> None:
        self.mark = mark
        self.piece = piece
        self.notes = notes
        self.forced = kept or bool(notes)
        self.flat = math.inf if self.forced else 2 + len(mark) + flat(piece)


class Chain:
    """A piece and its links. An arrow starts a line anywhere, an operator only within brackets."""

    def __init__(self, first: Piece, links: Sequence[Link], *, arrows: bool = False) -> None:
        self.first = first
        self.links = links
        self.arrows = arrows
        own = not arrows and any(link.notes for link in links)
        self.noted = own or _noted(first) or any(_noted(link.piece) for link in links)
        self.flat = flat(first) + sum(link.flat for link in links)


class Bracket:
    """Items in brackets, each with the comments before it; `closing` are those before the closing bracket."""

    def __init__(self, opening: str, items: Sequence[tuple[Notes, Piece]], closing: str, last: Notes = NOTHING) -> None:
        self.opening = opening
        self.items = items
        self.closing = closing
        self.last = last
        self.noted = bool(last) or any(notes for notes, _ in items)
        inner = sum(flat(piece) for _, piece in items) + 2 * max(len(items) - 1, 0)
        self.flat = math.inf if self.noted else len(opening) + inner + len(closing)


Piece = str | Run | Chain | Bracket


def flat(piece: Piece) -> float:
    """The width of a piece on one line; infinite if it must be broken."""
    return len(piece) if isinstance(piece, str) else piece.flat


def _noted(piece: Piece) -> bool:
    """Whether comments stand between operators that no brackets are around."""
    if isinstance(piece, Run):
        return any(map(_noted, piece.pieces))
    return isinstance(piece, Chain) and piece.noted


def set_lines(piece: Piece, indent: int, hang: int) -> list[str]:
    """The lines of a piece: the first is indented by `indent`, those that it goes on with by `hang` or deeper."""
    page = _Page(indent)
    page.put(piece, 0, hang)
    return [*page.lines, page.line]


class _Page:
    """The lines so far, and the one that is being written.

    `after` is, throughout, the width of what has to follow a piece on its last line, `hang` the indentation of lines
    that go on.
    """

    def __init__(self, indent: int) -> None:
        self.lines: list[str] = []
        self.line = " " * indent
        self._indent = indent
        self._depth = 0
        self._whole = False
        self._burst = 0

    def put(self, piece: Piece, after: float, hang: int) -> None:
        if isinstance(piece, str):
            self.line += piece
        elif isinstance(piece, Run):
            for place, part in enumerate(piece.pieces):
                self.put(part, _reach(piece.pieces[place + 1 :], after), hang)
        elif isinstance(piece, Bracket):
            self._bracket(piece, after, hang)
        elif piece.arrows or self._depth:
            self._chain(piece, after, hang)
        else:
            self._bare(piece, after, hang)

    def _fits(self, width: float) -> bool:
        return len(self.line) + width <= WIDTH

    def _turn(self, indent: int, notes: Notes = NOTHING) -> None:
        """Goes on to the next line, with the comments on the way."""
        self.lines.append(self.line + (f"  {notes.behind}" if notes.behind else ""))
        self.lines.extend(" " * indent + comment for comment in notes.above)
        self.line = " " * indent
        self._indent = indent

    # --- chains -------------------------------------------------------------------------------------------------

    def _chain(self, chain: Chain, after: float, hang: int) -> None:
        self.put(chain.first, 0 if chain.links else after, hang)
        for link in chain.links:
            rest = after if link is chain.links[-1] else 0
            if link.forced or self._breaks(link, rest, hang):
                self._turn(hang, link.notes)
            else:
                self.line += " "
            self.line += link.mark + " "
            self.put(link.piece, rest, hang)

    def _breaks(self, link: Link, after: float, hang: int) -> bool:
        """Whether a link starts a line: if that makes it whole, or nothing of it fits here."""
        width = len(link.mark) + 1 + flat(link.piece) + after
        if self._fits(1 + width):
            return False
        head, opens = _head(link.piece, inside=self._depth > 0)
        return hang + width <= WIDTH or not self._fits(2 + len(link.mark) + head + (0 if opens else after))

    def _bare(self, chain: Chain, after: float, hang: int) -> None:
        """A chain of operators outside brackets: it gets some if it does not fit without."""
        if self._whole or (not chain.noted and self._try_whole(chain, after, hang)):
            self._unbroken(chain, after, hang)
            return
        self.line += "("
        self._depth += 1
        self._chain(chain, after + 1, hang)
        self._depth -= 1
        self.line += ")"

    def _unbroken(self, chain: Chain, after: float, hang: int) -> None:
        whole, self._whole = self._whole, True
        words = [word for link in chain.links for word in (f" {link.mark} ", link.piece)]
        self.put(Run(chain.first, *words), after, hang)
        self._whole = whole

    def _try_whole(self, chain: Chain, after: float, hang: int) -> bool:
        """Whether no line gets too long and no bracket has to burst if the chain is not broken."""
        trial = _Page(self._indent)
        trial.line = self.line
        trial._unbroken(chain, after, hang)
        return not trial._burst and trial._fits(after) and all(len(line) <= WIDTH for line in trial.lines)

    # --- brackets -----------------------------------------------------------------------------------------------

    def _bracket(self, bracket: Bracket, after: float, hang: int) -> None:
        self._depth += 1
        if bracket.noted or (len(bracket.items) > 1 and not self._fits(bracket.flat + after)):
            self._burst += not bracket.noted
            self._list(bracket, after, hang)
        else:
            self.line += bracket.opening
            for place, (_, item) in enumerate(bracket.items):
                self.line += ", " if place else ""
                self.put(item, len(bracket.closing) + after if len(bracket.items) == 1 else 0, hang)
            self.line += bracket.closing
        self._depth -= 1

    def _list(self, bracket: Bracket, after: float, hang: int) -> None:
        """An item a line; words as many as fit."""
        outside = self._indent
        indent = hang if outside < hang else outside + STEP
        words = all(isinstance(item, str) for _, item in bracket.items)
        self.line += bracket.opening
        for place, (notes, item) in enumerate(bracket.items):
            last = place + 1 == len(bracket.items)
            rest = 1 if not last else 0 if bracket.last else len(bracket.closing) + after
            if place:
                self.line += ","
            if place and words and not notes and self._fits(1 + flat(item) + rest):
                self.line += " "
            else:
                self._turn(indent, notes)
            self.put(item, rest, indent + STEP)
        if bracket.last:
            self._turn(indent, bracket.last)
            self.line = " " * outside
            self._indent = outside
        self.line += bracket.closing


def _reach(pieces: Sequence[Piece], after: float) -> float:
    """The width of pieces, and of what follows them, up to the first place where a line may break."""
    width = 0.0
    for piece in pieces:
        head, opens = _head(piece, inside=False)
        width += head
        if opens:
            return width
    return width + after


def _head(piece: Piece, *, inside: bool) -> tuple[float, bool]:
    """The width of a piece up to the first place where it may break, and whether there is one."""
    if isinstance(piece, str):
        return len(piece), False
    if isinstance(piece, Run):
        width = 0.0
        for part in piece.pieces:
            head, opens = _head(part, inside=inside)
            width += head
            if opens:
                return width, True
        return width, False
    if isinstance(piece, Bracket):
        if piece.noted or len(piece.items) > 1:
            return len(piece.opening), True
        head, opens = _head(piece.items[0][1], inside=True) if piece.items else (0, False)
        return len(piece.opening) + head + (0 if opens else len(piece.closing)), opens
    head, opens = _head(piece.first, inside=inside)
    if opens or piece.arrows or inside:
        return head, True
    links = Run(*(word for link in piece.links for word in (f" {link.mark} ", link.piece)))
    rest, opens = _head(links, inside=inside)
    return head + rest, opens
