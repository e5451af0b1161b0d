"""Whether a model computes each example by itself, so that a batch may be computed in parts."""

from __future__ import annotations

from collections.abc import Sequence

from dlc.compiler.dim import Dim, Symbol
from dlc.compiler.flow.sharding import Sharding, Split
from dlc.compiler.graph import Check, Graph, Value


def counted_apart(graph: Graph, checks: Sequence[Check]) -> Symbol | None:
    """The size that counts examples, if any run of successive ones gives, alone, what it gives among all.

    The examples lie along the first axis of all outputs and of the inputs that have them. None where an output is of
    several examples or reckons with their number, and where that cannot be told. What is drawn is not looked at: of
    another number of examples it would be other numbers. checks: what is required of sizes, in what is called too.
    """
    first = next(iter(graph.inputs.values()), None)
    symbol = first.type.shape[0].as_symbol() if first is not None and first.type.rank else None
    if symbol is None or not all(_fits(check, symbol) for check in checks):
        return None
    if any(_meets_elsewhere(value, symbol) for value in graph.inputs.values()):
        return None
    sharding = Sharding(graph)
    return symbol if all(_apart(sharding, output, symbol) for output in graph.outputs) else None


def _fits(check: Check, symbol: Symbol) -> bool:
    """Whether what is required of sizes holds of a part of the batch too."""
    if symbol not in check.left.symbols() | check.right.symbols():
        return True
    if check.left.as_symbol() != symbol or symbol in check.right.symbols():
        return False
    return check.relation in ("<", "<=") or (check.relation == ">=" and check.right.at_most(Dim.of(1)) is True)


def _meets_elsewhere(value: Value, symbol: Symbol) -> bool:
    """Whether an input tells the number of examples otherwise than by its first axis."""
    first, others = value.type.shape[:1], value.type.shape[1:]
    told = [*others, *(size for size in first if size.as_symbol() != symbol)]
    if value.type.below is not None:
        told.append(value.type.below)
    return any(symbol in size.symbols() for size in told)


def _apart(sharding: Sharding, output: Value, symbol: Symbol) -> bool:
    state = sharding.of(output)
    whole = output.type.rank > 0 and output.type.shape[0].as_symbol() == symbol
    return whole and isinstance(state, Split) and (state.axis, state.place) == (0, 0)
