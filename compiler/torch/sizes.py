"""Sizes within `forward`: computed from the shapes of the inputs, unpacked at the top where several are used."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from dlc.compiler.dim import Dim, Symbol
from dlc.compiler.express import express
from dlc.compiler.torch.context import Code, Level
from dlc.compiler.torch.names import identifier, unused
from dlc.compiler.types import Tensor

_SHAPE = re.compile(r"__s(\d+)_(\d+)__")
_PASSED = re.compile(r"__p(\d+)__")
_LEVELS: dict[type[ast.AST], Level] = {
    ast.Add: Level.SUM,
    ast.Sub: Level.SUM,
    ast.Mult: Level.PRODUCT,
    ast.FloorDiv: Level.PRODUCT,
    ast.Mod: Level.PRODUCT,
    ast.Pow: Level.POWER,
}


class Sizes:
    """The sizes that one function can compute from its inputs, and those that it must be given.

    inputs: the tensors by their names in Python. statics: the names of sizes in the spec. Until `settle`, a size is
    written in stand-ins for the axes of the inputs.
    """

    def __init__(self, inputs: Mapping[str, Tensor], statics: Mapping[str, Dim]) -> None:
        self._inputs = list(inputs.items())
        self._statics = statics
        self._known: list[tuple[Dim, str]] = [
            (size, f"__s{place}_{axis}__")
            for place, (_, type) in enumerate(self._inputs)
            for axis, size in enumerate(type.shape)
            if not size.is_constant
        ]
        self._known += [(whole, mark) for size, mark in self._known if (whole := size.whole()) is not None]
        self.passed: list[Dim] = []

    def write(self, size: Dim) -> Code:
        """The size as an expression. What the inputs do not tell becomes a parameter."""
        text = express(size, self._known)
        if text is None:
            for symbol in sorted(size.symbols(), key=lambda symbol: symbol.name):
                self._pass(symbol)
            text = express(size, self._known)
            assert text is not None
        return Code(text, level_of(text))

    def _pass(self, symbol: Symbol) -> None:
        size = Dim.of_symbol(symbol)
        if express(size, self._known) is None:
            self._known.append((size, f"__p{len(self.passed)}__"))
            self.passed.append(size)

    def settle(
        self, statements: Sequence[str], taken: Collection[str], rebound: Collection[str]
    ) -> tuple[list[str], list[str]]:
        """The statements with sizes by name, led by those that bind the names; and the names of what is passed.

        taken: the names that are in use already; rebound: the inputs that are bound again in between.
        """
        names = set(taken)
        passed = self._names(self.passed, names)
        uses = Counter(found.group() for text in statements for found in _SHAPE.finditer(text))
        written: dict[str, str] = {}
        top: list[str] = []
        for place, (name, type) in enumerate(self._inputs):
            axes = [axis for axis in range(type.rank) if uses[f"__s{place}_{axis}__"]]
            marks = [f"__s{place}_{axis}__" for axis in axes]
            if len(axes) > 1 or (axes and (uses[marks[0]] > 1 or name in rebound)):
                called = dict(zip(axes, self._names([type.shape[axis] for axis in axes], names), strict=True))
                top += _unpack(name, type.rank, called)
                written |= {mark: called[axis] for mark, axis in zip(marks, axes, strict=True)}
            else:
                written |= {mark: f"{name}.shape[{axis}]" for mark, axis in zip(marks, axes, strict=True)}
        settled = [_SHAPE.sub(lambda found: written[found.group()], text) for text in statements]
        settled = [_PASSED.sub(lambda found: passed[int(found.group(1))], text) for text in settled]
        return [*top, *settled], passed

    def _names(self, sizes: Sequence[Dim], taken: set[str]) -> list[str]:
        """The spec's names for sizes in lower case, or as they stand there if one of those is taken."""
        spelled = [self._spelled(size) for size in sizes]
        lower = [identifier(name.lower()) for name in spelled]
        wanted = spelled if taken.intersection(lower) else lower
        names: list[str] = []
        for name in wanted:
            names.append(unused(name, taken))
            taken.add(names[-1])
        return names

    def _spelled(self, size: Dim) -> str:
        symbol = size.as_symbol()
        known = [name for name, static in self._statics.items() if static == size]
        name = known[0] if known else symbol.name if symbol is not None else ""
        return identifier(name) if name.isidentifier() else "size"


def _unpack(name: str, rank: int, called: Mapping[int, str]) -> list[str]:
    """The statements that bind the sizes of some axes: of all, of those at one end, of most, or one by one."""
    first, last, names = min(called), max(called), ", ".join(called.values())
    if len(called) > 1 and last - first == len(called) - 1 and (first == 0 or last == rank - 1):
        part = "" if len(called) == rank else f"[:{last + 1}]" if first == 0 else f"[{first}:]"
        return [f"{names} = {name}.shape{part}"]
    if len(called) > 1 and rank - len(called) <= 2:
        return [f"{', '.join(called.get(axis, '_') for axis in range(rank))} = {name}.shape"]
    return [f"{size} = {name}.shape[{axis}]" for axis, size in called.items()]


def level_of(text: str) -> Level:
    """How tightly an arithmetic expression binds."""
    match ast.parse(text, mode="eval").body:
        case ast.BinOp(op=kind):
            return _LEVELS[type(kind)]
        case ast.UnaryOp():
            return Level.UNARY
        case _:
            return Level.ATOM
