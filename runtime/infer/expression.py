"""Sizes as an exported model writes them, read back: `2*T - 1`, `max(N, 5) // 3`. Nothing in them is executed."""

from __future__ import annotations

import ast
from collections.abc import Callable

from dlc.compiler.dim import Dim, DimOverflow

_MAX_LENGTH = 10_000

_OPERATORS: dict[type[ast.operator], Callable[[Dim, Dim], Dim]] = {
    ast.Add: Dim.__add__,
    ast.Sub: Dim.__sub__,
    ast.Mult: Dim.__mul__,
    ast.FloorDiv: Dim.__floordiv__,
    ast.Mod: Dim.__mod__,
    ast.Pow: Dim.__pow__,
}

# The signs in names of sizes that Python's names do not have, a prime and what stands for all leading axes, and letters
# that look like them.
_LETTERS = str.maketrans("'…", "\u02b9\ua78f")
_SIGNS = str.maketrans("\u02b9\ua78f", "'…")


class Symbols:
    """The symbols of one model, made as their names are met."""

    def __init__(self) -> None:
        self._known: dict[str, Dim] = {}

    def read(self, text: str) -> Dim:
        """The size that a text stands for. Raises ValueError where it is none."""
        if len(text) > _MAX_LENGTH:
            raise ValueError("an expression for a size is too long")
        try:
            return self._size(ast.parse(text.translate(_LETTERS), mode="eval").body)
        except (SyntaxError, RecursionError, MemoryError, ArithmeticError, TypeError, DimOverflow) as error:
            raise ValueError(f"`{text}` is not a size: {error}") from error

    def _size(self, tree: ast.expr) -> Dim:
        match tree:
            case ast.Constant(int(value)):
                return Dim.of(value)
            case ast.Name(name):
                name = name.translate(_SIGNS)
                return self._known.setdefault(name, Dim.symbol(name))
            case ast.UnaryOp(ast.USub(), operand):
                return -self._size(operand)
            case ast.BinOp(left, kind, right) if type(kind) in _OPERATORS:
                return _OPERATORS[type(kind)](self._size(left), self._size(right))
            case ast.Call(ast.Name("min" | "max" as name), [first, *rest]):
                choose = Dim.minimum if name == "min" else Dim.maximum
                extreme = self._size(first)
                for other in rest:
                    extreme = choose(extreme, self._size(other))
                return extreme
            case _:
                raise ValueError(f"`{ast.unparse(tree)}` is not a size")
