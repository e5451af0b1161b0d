"""Timings of contenders that take turns, each in a process of its own where they would disturb one another.

    rivals = {"ours": Child(make_ours, path), "theirs": Child(make_theirs, path)}
    timings = interleave({name: rival.turn for name, rival in rivals.items()}, rounds=7)
    print(table(["", "ms", "ratio"], [[name, ms(timing), ratio(timing, timings["ours"])] for ...]))

A maker is a function at the top of a module that gives what is to be timed: a function without parameters. All
contenders take a turn in each round, in an order that rotates, so that what else the machine does meets all alike;
figures are medians over the rounds, and ratios medians of the ratios within a round.
"""

from __future__ import annotations

import gc
import platform
import re
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from typing import Any

_SETTLES = 0.1  # seconds that threads of the contender before may spin on


@dataclass(frozen=True)
class Timing:
    """Seconds of one call, a figure for each round."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    @property
    def spread(self) -> float:
        """The distance between the quartiles, as a part of the median."""
        if len(self.seconds) < 2:
            return 0.0
        low, _, high = statistics.quantiles(self.seconds, n=4, method="inclusive")
        return (high - low) / self.median

    def times(self, other: Timing) -> float:
        """How many times as long this took as the other, the median over the rounds that both were in."""
        return statistics.median(a / b for a, b in zip(self.seconds, other.seconds, strict=True))


def timed(call: Callable[[], object], seconds: float = 0.25, clock: Callable[[], float] = time.perf_counter) -> float:
    """The median time of a call, of as many as fit into these seconds (one at least), after one that does not count.

    clock: `time.process_time` tells of contenders with one thread what they cost on a machine that others use too.
    """
    call()
    gc.collect()
    gc.disable()
    took: list[float] = []
    ends = time.perf_counter() + seconds
    while not took or time.perf_counter() < ends:
        start = clock()
        call()
        took.append(clock() - start)
    gc.enable()
    return statistics.median(took)


def interleave(turns: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, Timing]:
    """Lets each take its turn once a round. A turn gives the seconds of a call, as `timed` and `Child.turn` do."""
    names = list(turns)
    taken: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds):
        start = number % len(names)
        for name in names[start:] + names[:start]:
            time.sleep(_SETTLES)
            taken[name].append(turns[name]())
    return {name: Timing(tuple(seconds)) for name, seconds in taken.items()}


class Child:
    """A contender in a process of its own, which waits without work between its turns.

    maker, given: what makes the function that is timed, called in the child. Raises RuntimeError with the child's
    report where that fails.
    """

    def __init__(self, maker: Callable[..., Callable[[], object]], *given: Any) -> None:
        context = get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, maker, given), daemon=True)
        self._process.start()
        theirs.close()
        self._answer()

    def turn(self, seconds: float = 0.25, clock: Callable[[], float] = time.perf_counter) -> float:
        """The median time of a call, see `timed`."""
        return self._ask("turn", seconds, clock)

    def result(self) -> Any:
        """What a call gives, which must be data: numbers, arrays, and mappings of them."""
        return self._ask("result")

    def close(self) -> None:
        self._pipe.close()
        self._process.join(5)
        if self._process.is_alive():
            self._process.terminate()
            self._process.join()

    def _ask(self, *request: Any) -> Any:
        self._pipe.send(request)
        return self._answer()

    def _answer(self) -> Any:
        try:
            failed, answer = self._pipe.recv()
        except EOFError:
            self._process.join()
            raise RuntimeError(f"the process of the contender ended, with {self._process.exitcode}") from None
        if failed:
            raise RuntimeError(answer)
        return answer


def _serve(pipe: Any, maker: Callable[..., Callable[[], object]], given: Sequence[Any]) -> None:
    import traceback

    try:
        call = maker(*given)
        pipe.send((False, None))
        while True:
            match pipe.recv():
                case ("turn", seconds, clock):
                    pipe.send((False, timed(call, seconds, clock)))
                case ("result",):
                    pipe.send((False, call()))
                case request:
                    raise ValueError(f"nobody knows what {request} asks for")
    except EOFError:
        return
    except Exception:  # told by the process that asked
        pipe.send((True, traceback.format_exc()))


# --- what is told of them ---------------------------------------------------------------------------------------


def ms(timing: Timing) -> str:
    """The median in milliseconds, to three digits."""
    return digits(timing.median * 1e3)


def digits(number: float) -> str:
    """A number to three significant digits."""
    if number == 0:
        return "0"
    return f"{number:,.0f}" if abs(number) >= 100 else f"{number:#.3g}".rstrip(".")


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown, the first column to the left."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def recorded(path: Path, section: str) -> dict[str, dict[str, str]]:
    """The rows of the table that a page has in a section, by their first cells, each by the heads of its columns."""
    page = path.read_text(encoding="utf-8")
    within = page.partition(f"<!-- {section} -->")[2].partition(f"<!-- /{section} -->")[0]
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in within.splitlines() if line.startswith("|")]
    head, _, *rows = lines or [[], []]
    return {cells[0]: dict(zip(head, cells, strict=True)) for cells in rows}


def machine(*packages: str) -> str:
    """A line on the processor, the system and the versions of what took part."""
    import os

    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    return f"{_processor()}, {os.cpu_count()} cores; Python {platform.python_version()}, {versions}"


def _processor() -> str:
    if sys.platform == "linux":
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
        found = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
        if found:
            return found[1]
    return platform.processor() or platform.machine()


def record(path: Path, section: str, text: str) -> None:
    """Puts text into a page between `<!-- section -->` and `<!-- /section -->`, at its end where there is none yet."""
    start, end = f"<!-- {section} -->", f"<!-- /{section} -->"
    page = path.read_text(encoding="utf-8") if path.exists() else ""
    written = f"{start}\n\n{text.strip()}\n\n{end}"
    if start in page and end in page:
        before, _, rest = page.partition(start)
        page = before + written + rest.partition(end)[2]
    else:
        page = f"{page.rstrip()}\n\n{written}\n" if page.strip() else f"{written}\n"
    path.write_text(page, encoding="utf-8")
