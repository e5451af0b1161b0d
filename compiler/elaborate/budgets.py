"""`ensure parameters() < 50e6`, `ensure macs(N=1, T=1024) < 2e9`: bounds on what a block costs."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping

from dlc.compiler.cost import Costs
from dlc.compiler.dim import Dim, Symbol
from dlc.compiler.elaborate import evaluation, static
from dlc.compiler.elaborate.frame import Frame
from dlc.compiler.elaborate.values import describe
from dlc.compiler.errors import BadClaim, ClaimRefused
from dlc.grammar import ast
from dlc.grammar.diagnostics import Refusal

_RELATIONS: dict[str, Callable[[float, float], bool]] = {"<": operator.lt, "<=": operator.le}
_COSTS = {"parameters": "learned numbers", "macs": "multiply-adds"}


def ensure(frame: Frame, tree: ast.Binary) -> None:
    """Notes a bound, which is held against the block's costs once the block is complete."""
    left = tree.left
    kind = left.function.id if isinstance(left, ast.Call) and isinstance(left.function, ast.Name) else None
    if not isinstance(left, ast.Call) or kind not in _COSTS or tree.operator not in _RELATIONS:
        help = "write it as parameters() < 50e6, or macs(N=1) < 2e9"
        raise Refusal(BadClaim("this is no bound that can be proved", tree.span, help=help))
    if not frame.owns:
        raise Refusal(BadClaim("costs are those of a block or a model", tree.span, help="claim it there"))
    most = evaluation.evaluate(frame, tree.right)
    if isinstance(most, bool) or not isinstance(most, Dim | float):
        raise Refusal(BadClaim(f"a bound is a number, and this is {describe(most)}", tree.right.span))
    sizes = _sizes(frame, left)
    if sizes is not None:
        frame.claims.append(lambda: _hold(frame, tree, kind, sizes, most))


def _sizes(frame: Frame, call: ast.Call) -> Mapping[Symbol, Dim] | None:
    """What the open dimensions are given as; none where one is another number in this use of a model.

    A model is checked by itself too, and there its dimensions are open.
    """
    sizes: dict[Symbol, Dim] = {}
    for argument in call.arguments:
        name = argument.name
        known = frame.graph.statics.get(name.id) if name is not None else None
        if name is None or known is None:
            message = "sizes are given by the names of dimensions"
            raise Refusal(BadClaim(message, argument.span, help="as in macs(N=1, T=1024)"))
        given = Dim.of(static.whole(evaluation.evaluate(frame, argument.value), argument.value.span))
        symbols = known.symbols()
        if not symbols and known != given:
            return None
        if len(symbols) == 1:
            (symbol,) = symbols
            whole = Dim.of_symbol(symbol)
            factor = known.substitute({symbol: Dim.of(1)})
            part = given.divide(factor)
            if known != whole * factor or part is None:
                raise Refusal(BadClaim(f"{name.id} cannot be {given}", argument.span, label=f"it is {known}"))
            sizes[symbol] = part
    return sizes


def _hold(frame: Frame, tree: ast.Binary, kind: str, sizes: Mapping[Symbol, Dim], most: Dim | float) -> None:
    costs = Costs()
    count = costs.learned(frame.graph).total if kind == "parameters" else costs.macs(frame.graph)
    count = count.substitute(sizes)
    limit = most.constant if isinstance(most, Dim) else most
    what = _COSTS[kind]
    if count.constant is None or limit is None:
        open_sizes = " and ".join(sorted({symbol.name for symbol in count.symbols()}))
        help = "give the size of each, as in macs(N=1, T=1024)"
        message = f"the number of {what} depends on {open_sizes or 'open dimensions'}"
        frame.refuse(ClaimRefused(message, tree.span, label=f"{count}", help=help if kind == "macs" else None))
    elif not _RELATIONS[tree.operator](count.constant, limit):
        frame.refuse(ClaimRefused(f"there are {count.constant:,} {what}", tree.span, label=f"{limit:,} are claimed"))
