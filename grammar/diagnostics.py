"""What the compiler has to say about a spec: diagnostics, and the sink that collects them.

Each kind of mistake is a subclass of `Diagnostic` with a code. The subclass's docstring explains the mistake
(`dlc explain CODE` prints it), and `example` is a spec that triggers it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar

from dlc.grammar.source import Span


@dataclass(frozen=True, slots=True)
class Label:
    """A place that helps to understand a diagnostic, and what there is to know about it."""

    span: Span
    text: str


@dataclass(frozen=True)
class Diagnostic:
    """One mistake: what is wrong, where, how it came to be so, and, where it can be told, how to mend it.

    message: the first line, a sentence without a full stop. span: the smallest place that is wrong; none for what
    has no place in a spec (a missing file). label: a few words at that place. labels: other places. notes: facts in
    full, one a line. help: what to write instead.
    """

    message: str
    span: Span | None
    label: str = ""
    labels: tuple[Label, ...] = ()
    notes: tuple[str, ...] = ()
    help: str | None = None

    code: ClassVar[str]
    example: ClassVar[str]

    def __init_subclass__(cls) -> None:
        code = cls.__dict__.get("code")
        if code is None or not cls.__dict__.get("example") or not cls.__doc__:
            raise TypeError(f"{cls.__name__} needs a code, an explanation as its docstring, and an example")
        if code in _KINDS:
            raise TypeError(f"{cls.__name__} takes the code {code}, which is {_KINDS[code].__name__}'s")
        _KINDS[code] = cls

    @property
    def explanation(self) -> str:
        return type(self).__doc__ or ""


_KINDS: dict[str, type[Diagnostic]] = {}


def kinds() -> dict[str, type[Diagnostic]]:
    """Every kind of diagnostic whose module has been imported, by code, in the order of the codes."""
    return dict(sorted(_KINDS.items()))


class Refusal(Exception):
    """Raised where nothing sensible can follow a mistake; carries its diagnostics to whoever can go on."""

    def __init__(self, *diagnostics: Diagnostic) -> None:
        super().__init__("; ".join(diagnostic.message for diagnostic in diagnostics))
        self.diagnostics = diagnostics


class Sink:
    """Collects diagnostics. The same mistake at the same place is kept once."""

    def __init__(self) -> None:
        self._seen: dict[tuple[object, ...], Diagnostic] = {}

    def add(self, diagnostic: Diagnostic) -> None:
        span = diagnostic.span
        place = (span.source, span.start, span.end) if span else ()
        self._seen.setdefault((diagnostic.code, diagnostic.message, *place), diagnostic)

    def extend(self, diagnostics: Iterable[Diagnostic]) -> None:
        for diagnostic in diagnostics:
            self.add(diagnostic)

    def __len__(self) -> int:
        return len(self._seen)

    def __iter__(self) -> Iterator[Diagnostic]:
        """In the order of the text: by source in the order of first mention, then by place."""
        order: dict[str, int] = {}
        for diagnostic in self._seen.values():
            if diagnostic.span:
                order.setdefault(diagnostic.span.source.name, len(order))

        def key(diagnostic: Diagnostic) -> tuple[int, int, int, str]:
            span = diagnostic.span
            return (order[span.source.name], span.start, span.end, diagnostic.code) if span else (-1, 0, 0, "")

        return iter(sorted(self._seen.values(), key=key))
