"""Sizes and inputs to try a model on: all pairs of 1, 2, a prime and a larger number, within what it requires."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, product
from typing import Any

import numpy as np

from dlc.compiler.dim import Dim, Symbol
from dlc.compiler.graph import Check, Graph
from dlc.compiler.onnx.elements import numpy_type
from dlc.compiler.types import DType, Tensor
from dlc.runtime.infer.noise import draw_noise

Array = np.ndarray[Any, Any]

SIZES = (1, 2, 7, 33)
LARGE = 128
LARGER = (16, 64, 96, 224)
_REACH = 64
_MAX_STEPS = 20_000

_RELATIONS: dict[str, Callable[[int, int], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@dataclass(frozen=True, slots=True)
class Sizes:
    """A number for every symbol of the inputs."""

    values: Mapping[Symbol, int]

    def __str__(self) -> str:
        named = [
            f"{symbol.name if symbol.whole is None else symbol.whole.name}={value * symbol.share}"
            for symbol, value in self.values.items()
        ]
        return ", ".join(named) or "fixed sizes"

    def of(self, size: Dim) -> int:
        return size.evaluate(self.values)


def sizes_to_try(graph: Graph, wanted: tuple[int, ...] = SIZES, large: int | None = LARGE) -> Iterator[Sizes]:
    """Assignments close to the wanted sizes that the graph's checks allow, no two alike.

    Every symbol takes on every size, and any two symbols every pair of sizes; then each symbol is `large` by itself,
    while the others are small.
    """
    symbols = _symbols(graph)
    conditions = _conditions(graph)
    rows = list(pairwise(len(symbols), wanted))
    if large is not None:
        small = wanted[: len(wanted) // 2]
        for place in range(len(symbols)):
            row = [small[other % len(small)] for other in range(len(symbols))]
            row[place] = large
            rows.append(tuple(row))
    seen: set[tuple[int, ...]] = set()
    for targets in rows:
        found = _assign(symbols, targets, conditions)
        if found is not None and tuple(found.values()) not in seen:
            seen.add(tuple(found.values()))
            yield Sizes(found)


def pairwise(count: int, levels: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """Rows of so many levels in which any two places take on every pair of them, few more than are needed.

    Each row starts with a pair that is missing and takes, place by place, what most of the missing pairs have, the
    lower level where it is all the same. Source of the method: Cohen et al., "The AETG system", 1997.
    """
    if count < 2:
        yield from ((level,) for level in levels) if count else ((),)
        return
    missing = dict.fromkeys(
        (left, a, right, b) for left, right in combinations(range(count), 2) for a, b in product(levels, repeat=2)
    )
    while missing:
        left, a, right, b = next(iter(missing))
        row = {left: a, right: b}
        for place in range(count):
            if place not in row:
                row[place] = max(levels, key=lambda level: sum(pair in missing for pair in _pairs(row, place, level)))
        for place in range(count):
            for pair in _pairs(row, place, row[place]):
                missing.pop(pair, None)
        yield tuple(row[place] for place in range(count))


def _pairs(row: Mapping[int, int], place: int, level: int) -> Iterator[tuple[int, int, int, int]]:
    """The pairs that a level at a place makes with the other places of a row."""
    for other, known in row.items():
        if other < place:
            yield other, known, place, level
        elif other > place:
            yield place, level, other, known


def draw_inputs(graph: Graph, sizes: Sizes, seed: int = 0) -> dict[str, Array]:
    """Random inputs of these sizes: floats are normal, ints from one end of the range that is declared
    to the other, noise as it follows."""
    random = np.random.default_rng([seed, *sizes.values.values()])
    return {
        name: draw_noise(random, graph.noise[name], value.type.dtype, list(map(sizes.of, value.type.shape)))
        if name in graph.noise
        else _draw(random, value.type, sizes)
        for name, value in graph.inputs.items()
    }


def _draw(random: np.random.Generator, type: Tensor, sizes: Sizes) -> Array:
    shape = [sizes.of(size) for size in type.shape]
    if type.dtype.is_float:
        values = random.normal(size=shape)
    elif type.dtype is DType.BOOL:
        values = random.random(shape) < 0.5
    else:
        below = 8 if type.below is None else sizes.of(type.below)
        values = random.integers(0, max(below, 1), shape)
        if type.below is not None and values.size:  # the edges of the range, as far as there is room for both
            values.flat[-1], values.flat[0] = 0, below - 1
    return np.asarray(values, numpy_type(type.dtype))


def _symbols(graph: Graph) -> list[Symbol]:
    """The symbols of the inputs' shapes, in the order in which they are met."""
    found: dict[Symbol, None] = {}
    for value in graph.inputs.values():
        for size in value.type.shape:
            found.update(dict.fromkeys(sorted(size.symbols(), key=lambda symbol: symbol.key)))
    return list(found)


def _conditions(graph: Graph) -> list[Check]:
    """What sizes must satisfy: the graph's checks, and that no axis of an input and no range is empty. There may be no
    noise to draw, as for a loop without turns."""
    shares = {symbol.whole: Dim.of_symbol(symbol) * symbol.share for symbol in _symbols(graph) if symbol.whole}
    checks = [
        replace(check, left=check.left.substitute(shares), right=check.right.substitute(shares))
        for check in graph.checks
    ]
    for name, value in graph.inputs.items():
        least = Dim.of(0 if name in graph.noise else 1)
        sizes = (*value.type.shape, *(() if value.type.below is None else (value.type.below,)))
        checks += [Check(size, ">=", least, "", value.span) for size in sizes]
    return checks


def _assign(symbols: list[Symbol], targets: Sequence[int], conditions: list[Check]) -> dict[Symbol, int] | None:
    """Values near the targets that satisfy the conditions, by a search with a limit."""
    due = [_decided_by(symbols[: place + 1], symbols[:place], conditions) for place in range(len(symbols))]
    candidates = [_near(target, symbol) for target, symbol in zip(targets, symbols, strict=True)]
    open_choices = [iter(candidates[0])] if symbols else []
    chosen: dict[Symbol, int] = {}
    for _ in range(_MAX_STEPS):
        if len(chosen) == len(symbols):
            return chosen
        place = len(open_choices) - 1
        value = next(open_choices[-1], None)
        if value is None:
            open_choices.pop()
            if not open_choices:
                return None
            chosen.pop(symbols[place - 1])
            continue
        chosen[symbols[place]] = value
        if not all(_holds(check, chosen) for check in due[place]):
            chosen.pop(symbols[place])
        elif place + 1 < len(symbols):
            open_choices.append(iter(candidates[place + 1]))
    return None


def _near(target: int, symbol: Symbol) -> list[int]:
    target = max(1, -(-target // symbol.share))
    return sorted(range(max(1, target - _REACH), target + _REACH + 1), key=lambda value: (abs(value - target), -value))


def _decided_by(now: list[Symbol], before: list[Symbol], conditions: list[Check]) -> list[Check]:
    """The conditions that can be told with the symbols at hand now, and could not before."""
    decided: list[Check] = []
    for check in conditions:
        symbols = check.left.symbols() | check.right.symbols()
        if symbols <= set(now) and (not symbols <= set(before) or not (before or symbols)):
            decided.append(check)
    return decided


def _holds(check: Check, values: Mapping[Symbol, int]) -> bool:
    try:
        return _RELATIONS[check.relation](check.left.evaluate(values), check.right.evaluate(values))
    except ZeroDivisionError:
        return False
