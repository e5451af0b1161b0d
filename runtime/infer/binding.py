"""Whether arrays fit a model's inputs: names, element types, shapes, ranges, and what the spec requires of sizes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from dlc.compiler.dim import Dim, Symbol
from dlc.compiler.express import express
from dlc.compiler.onnx.elements import numpy_type
from dlc.grammar.diagnostics import Diagnostic, Refusal
from dlc.grammar.suggest import nearest
from dlc.runtime.infer.description import RELATIONS, Description, Port
from dlc.runtime.infer.errors import InputRange, InputShape, InputType, RequirementFailed, UnknownInput
from dlc.runtime.infer.expression import Symbols
from dlc.runtime.infer.noise import draw_noise

Array = np.ndarray[Any, Any]


def fit(
    description: Description, arrays: Mapping[str, Array], random: np.random.Generator | None = None
) -> dict[str, Array]:
    """The arrays in the element types that the model takes. Raises Refusal with everything that does not fit.

    random: what noise that is not given is drawn from; none where all of it must be given.
    """
    _refuse(_names(description, arrays, random is not None))
    ports = tuple(port for port in description.inputs if port.name in arrays)
    cast = {port.name: _cast(port, arrays[port.name]) for port in ports}
    _refuse(problem for problem in cast.values() if isinstance(problem, Diagnostic))
    fitting = {name: array for name, array in cast.items() if not isinstance(array, Diagnostic)}
    _refuse(problem for port in ports for problem in _ranks(port, fitting[port.name]))
    sizes = _Sizes()
    _refuse(sizes.bind(ports, fitting))
    _refuse(problem for port in ports for problem in _range(port, fitting[port.name], sizes))
    _refuse(problem for port in ports for problem in _noise(port, fitting[port.name]))
    _refuse(_requirements(description, sizes))
    if random is None or len(ports) == len(description.inputs):
        return fitting
    shapes = {port: [sizes.value(size) for size in port.shape] for port in description.inputs if port not in ports}
    _refuse(problem for port, shape in shapes.items() if None in shape for problem in _missing(port))
    drawn = {
        port.name: draw_noise(random, str(port.noise), port.dtype, [size for size in shape if size is not None])
        for port, shape in shapes.items()
    }
    return fitting | drawn


def _refuse(problems: Iterator[Diagnostic]) -> None:
    found = tuple(problems)
    if found:
        raise Refusal(*found)


def _names(description: Description, arrays: Mapping[str, Array], draws: bool) -> Iterator[Diagnostic]:
    names = [port.name for port in description.inputs]
    meant: set[str | None] = set()
    for name in arrays:
        if name not in names:
            near = nearest(name, [other for other in names if other not in arrays])
            meant.add(near)
            known = f"its inputs are {', '.join(names)}" if names else "it has no inputs"
            yield UnknownInput(
                f"{description.spec} has no input `{name}`", None, help=f"did you mean `{near}`?" if near else known
            )
    for port in description.inputs:
        if port.name not in arrays and port.name not in meant and not (draws and port.noise):
            yield from _missing(port)


def _missing(port: Port) -> Iterator[Diagnostic]:
    untold = ("the other inputs do not tell its shape, so that it is not drawn",) if port.noise else ()
    yield UnknownInput(f"the input `{port.name}` is missing", None, notes=(f"{port.name}: {port}", *untold))


def _cast(port: Port, array: Array) -> Array | Diagnostic:
    due = numpy_type(port.dtype)
    if array.dtype == due:
        return array
    if np.can_cast(array.dtype, due, "safe"):
        return array.astype(due)
    return InputType(
        f"`{port.name}` is {array.dtype}, which does not go into {due} without loss",
        None,
        notes=(f"{port.name}: {port}",),
        help=f'convert it first, as in {port.name}.astype("{due}")',
    )


def _ranks(port: Port, array: Array) -> Iterator[Diagnostic]:
    if array.ndim != port.rank and not port.any_rank:
        axes = "axis" if array.ndim == 1 else "axes"
        yield InputShape(
            f"`{port.name}` has {array.ndim} {axes}, and {port.rank} are due",
            None,
            notes=(f"due:   {port}", f"found: {list(array.shape)}"),
        )


class _Sizes:
    """The values of the symbols, as the shapes of the inputs tell them."""

    def __init__(self) -> None:
        self._values: dict[Symbol, int] = {}
        self._where: dict[Symbol, str] = {}

    def value(self, size: Dim) -> int | None:
        """The size in numbers, none where the inputs do not determine it, or divide by a size that is 0."""
        if not size.symbols() <= self._values.keys():
            return None
        try:
            return size.evaluate(self._values)
        except ZeroDivisionError:
            return None

    def bind(self, ports: tuple[Port, ...], arrays: Mapping[str, Array]) -> Iterator[Diagnostic]:
        """Learns from the arrays' shapes, and gives the disagreements between them and with the model."""
        facts = [
            (port, axis, size, found)
            for port in ports
            if not port.any_rank
            for axis, (size, found) in enumerate(zip(port.shape, arrays[port.name].shape, strict=True))
        ]
        for port, axis, size, found in facts:
            symbol = size.as_symbol()
            if symbol is not None and symbol not in self._values:
                self._values[symbol] = found
                self._where[symbol] = f"`{port.name}` has {found} along axis {axis}"
        self._solve([(size, found) for _, _, size, found in facts])
        for port, axis, size, found in facts:
            due = self.value(size)
            if due is None or due == found:
                continue
            symbols = sorted(size.symbols(), key=lambda symbol: symbol.key)
            told = tuple(f"{symbol.name} is {self._values[symbol]}: {self._where[symbol]}" for symbol in symbols)
            number = f"{size}, which is {due}," if symbols else str(due)
            yield InputShape(
                f"`{port.name}` has {found} along axis {axis}, and {number} is due",
                None,
                notes=(f"due:   {port}", f"found: {list(arrays[port.name].shape)}", *told),
            )

    def _solve(self, facts: list[tuple[Dim, int]]) -> None:
        """Finds the symbols that are part of an expression alone."""
        known = [(size, str(found)) for size, found in facts if not size.is_constant]
        unknown = {symbol: None for size, _ in known for symbol in size.symbols() if symbol not in self._values}
        for symbol in unknown:
            solution = express(Dim.of_symbol(symbol), known)
            if solution is None:
                continue
            try:
                self._values[symbol] = int(Symbols().read(solution))
            except ValueError:  # a division by a size that is 0
                continue
            self._where[symbol] = "from the sizes of the inputs"


def _range(port: Port, array: Array, sizes: _Sizes) -> Iterator[Diagnostic]:
    below = None if port.below is None else sizes.value(port.below)
    if below is None:
        return
    outside = (array < 0) | (array >= below)
    if outside.any():
        place = np.unravel_index(int(outside.argmax()), array.shape)
        number = f"{port.below}" if port.below == below else f"{port.below}, which is {below}"
        yield InputRange(
            f"`{port.name}` holds {array[place]}, and all its elements lie from 0 to below {number}",
            None,
            notes=(f"at {[int(index) for index in place]}", f"{int(outside.sum())} of {array.size} lie outside"),
        )


def _noise(port: Port, array: Array) -> Iterator[Diagnostic]:
    if port.noise is None:
        return
    inside = np.isfinite(array) if port.noise == "normal" else (array >= 0) & (array < 1)
    if not inside.all():
        place = np.unravel_index(int((~inside).argmax()), array.shape)
        due = "normal noise is finite" if port.noise == "normal" else "uniform noise lies from 0 to below 1"
        yield InputRange(
            f"`{port.name}` holds {array[place]}, and {due}", None, notes=(f"at {[int(index) for index in place]}",)
        )


def _requirements(description: Description, sizes: _Sizes) -> Iterator[Diagnostic]:
    for requirement in description.requirements:
        left, right = sizes.value(requirement.left), sizes.value(requirement.right)
        if left is None or right is None or not RELATIONS[requirement.relation](left, right):
            yield RequirementFailed(
                requirement.message,
                None,
                notes=(
                    f"required at {requirement.line}: {requirement.left} {requirement.relation} {requirement.right}",
                    f"here: {left} {requirement.relation} {right}",
                ),
            )
