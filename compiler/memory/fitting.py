"""The largest size that a memory has room for."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from dlc.compiler.calls import callees_first
from dlc.compiler.dim import Dim, Symbol
from dlc.compiler.graph import Check, Graph
from dlc.compiler.memory.training import Budget, Memory

MOST = 1 << 40
"""The largest size that is tried."""

_RELATIONS: dict[str, Callable[[int, int], bool]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "==": operator.eq, "!=": operator.ne,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Fit:
    """The largest size that fits, with what it takes; none where not even the least does, which is `least`.

    bound: the `require` of the spec that allows no larger one, where it is not the memory.
    """

    size: int | None
    memory: Memory
    least: int
    bound: Check | None = None


def fit(budget: Budget, graph: Graph, symbol: Symbol, others: Mapping[Symbol, int], bytes: int) -> Fit | None:
    """The largest size of the symbol, all of its shares, that fits into so many bytes; none where no size is too much.

    others: the sizes of all other symbols. What a step takes is held to grow with the size.
    """
    checks = list(_checks(graph))
    share = symbol.share

    def memory(size: int) -> Memory:
        return budget.at({**others, symbol: size})

    def broken(size: int) -> Check | None:
        sizes = {**others, symbol: size}
        return next((check for check in checks if not _holds(check, sizes)), None)

    least = max(symbol.least or 1, 1)
    while broken(least) is not None and least < 1024:  # a spec may ask for more than one
        least += 1
    at_least = memory(least)
    if at_least.total > bytes or broken(least) is not None:
        return Fit(None, at_least, least * share, broken(least))
    low, high = least, 2 * least
    while memory(high).total <= bytes and broken(high) is None:
        low, high = high, 2 * high
        if high > MOST:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        if memory(middle).total <= bytes and broken(middle) is None:
            low = middle
        else:
            high = middle
    found = memory(low)
    return Fit(low * share, found, least * share, None if memory(low + 1).total > bytes else broken(low + 1))


def _checks(graph: Graph) -> Iterator[Check]:
    for each in callees_first([graph]):
        yield from each.checks


def _holds(check: Check, sizes: Mapping[Symbol, int]) -> bool:
    """Whether a `require` allows these sizes; one that speaks of others is not decided here."""
    whole = dict(sizes) | {symbol.whole: size * symbol.share for symbol, size in sizes.items() if symbol.whole}
    if not (check.left.symbols() | check.right.symbols()) <= whole.keys():
        return True
    return _RELATIONS[check.relation](check.left.evaluate(whole), check.right.evaluate(whole))


def open_names(symbols: set[Symbol]) -> dict[str, Symbol]:
    """The symbols by the names that a spec knows them by."""
    return {(symbol.whole or symbol).name: symbol for symbol in sorted(symbols, key=lambda each: each.name)}


def whole_size(symbol: Symbol, size: int) -> int | None:
    """How many shares make that size; none where they do not."""
    share = Dim.of(size).divide(symbol.share)
    return None if share is None else share.constant
