"""Calls of operations drawn at random: an example with other sizes and other static parameters, and now and then a
shape or an element type that may not fit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from hypothesis import strategies as st

from dlc.compiler.checked import Parameter
from dlc.compiler.dim import Dim
from dlc.compiler.examples import Symbols
from dlc.compiler.init import Init
from dlc.compiler.op import Example, Op
from dlc.compiler.types import DType, Scalar, Tensor

SIZES = st.one_of(st.integers(1, 5), st.integers(0, 6))
TYPES = (DType.FLOAT, DType.FLOAT64, DType.INT, DType.INT32, DType.UINT8, DType.BOOL)


@dataclass(frozen=True, slots=True)
class Drawn:
    """A call: static values, which may not be the operation's to take, and inputs whose sizes are numbers."""

    kind: type[Op]
    static: Mapping[str, Any]
    inputs: tuple[Tensor | Scalar | None, ...]
    positive: bool
    definite: bool

    def __repr__(self) -> str:
        given = [*map(str, self.inputs), *(f"{name}={value}" for name, value in self.static.items())]
        return f"{self.kind.name}({', '.join(given)})"


@st.composite
def calls(draw: st.DrawFn, kind: type[Op]) -> Drawn:
    example: Example = draw(st.sampled_from(kind.examples))
    symbols = _Numbers(draw)
    inputs: list[Any] = []
    for given in example.inputs:
        match given:
            case str():
                type = symbols.type(given)
                inputs.append(draw(_changed(type)) if draw(st.integers(0, 4)) == 0 else type)
            case bool() | float():
                inputs.append(Scalar(given))
            case int():
                inputs.append(Scalar(Dim.of(given)))
            case None:
                inputs.append(None)
    static = dict(_static(draw, kind, example, symbols))
    return Drawn(kind, static, tuple(inputs), example.positive, example.definite)


class _Numbers(Symbols):
    """Symbols that are numbers, drawn as their names are met."""

    def __init__(self, draw: st.DrawFn) -> None:
        super().__init__()
        self._draw = draw

    def symbol(self, name: str) -> Dim:
        return Dim.of(self._draw(SIZES, label=name))


def _static(draw: st.DrawFn, kind: type[Op], example: Example, symbols: Symbols) -> Any:
    fields = kind.fields()
    named = {name: value for name, value in example.static.items() if name not in fields}
    for name, field in fields.items():
        if name == kind.keywords:
            yield name, tuple((key, symbols.value(value)) for key, value in named.items())
            continue
        drawn = None if draw(st.booleans()) else values(field)
        if drawn is not None:
            yield name, draw(drawn, label=name)
        elif name in example.static:
            given = example.static[name]
            yield name, symbols.value(given) if "Dim" in repr(field.annotation) else given


@st.composite
def _changed(draw: st.DrawFn, type: Tensor) -> Tensor:
    """The type with an axis more or less, another size, or other elements."""
    shape = list(type.shape)
    match draw(st.sampled_from(["size", "axis", "less", "type"])):
        case "size" if shape:
            shape[draw(st.integers(0, len(shape) - 1))] = Dim.of(draw(SIZES))
        case "less" if shape:
            shape.pop(draw(st.integers(0, len(shape) - 1)))
        case "type":
            return Tensor(draw(st.sampled_from(TYPES)), type.shape)
        case _ if len(shape) < 5:
            shape.insert(draw(st.integers(0, len(shape))), Dim.of(draw(SIZES)))
        case _:
            pass
    return type.reshaped(shape)


def values(field: Parameter) -> st.SearchStrategy[Any] | None:
    """What a static parameter may be, by its annotation; none for patterns, which examples give."""
    return _of(field.annotation, field.metadata)


def _of(annotation: Any, metadata: tuple[Any, ...] = ()) -> st.SearchStrategy[Any] | None:
    arguments = get_args(annotation)
    if get_origin(annotation) is Annotated:
        return _of(arguments[0], arguments[1:])
    if get_origin(annotation) in (Union, UnionType):
        choices = [_of(each, metadata) for each in arguments]
        known = [choice for choice in choices if choice is not None]
        return st.one_of(known) if known else None
    if get_origin(annotation) is Literal:
        return st.sampled_from(arguments)
    if get_origin(annotation) is tuple:
        parts = _of(arguments[0])
        return None if parts is None else st.lists(parts, max_size=4).map(tuple)
    low, high = _bounds(metadata)
    match annotation:
        case _ if annotation is NoneType:
            return st.none()
        case _ if annotation is bool:
            return st.booleans()
        case _ if annotation is int:
            return st.integers(-4 if low is None else int(low), 5 if high is None else int(high))
        case _ if annotation is Dim:
            return st.one_of(SIZES, st.integers(-1, 8)).map(Dim.of)
        case _ if annotation is float:
            numbers = (-1.0, 0.0, 0.25, 0.5, 1.0, 2.0)
            return st.sampled_from([n for n in numbers if (low is None or n >= low) and (high is None or n <= high)])
        case _ if annotation is Init:
            return st.none()
        case _:
            return None


def _bounds(metadata: tuple[Any, ...]) -> tuple[float | None, float | None]:
    """The least and the greatest value, those that are excluded moved to the next that is drawn."""
    low = high = None
    for constraint in (part for each in metadata for part in getattr(each, "metadata", (each,))):
        low = getattr(constraint, "ge", low)
        high = getattr(constraint, "le", high)
        if getattr(constraint, "gt", None) is not None:
            low = constraint.gt + (0.25 if isinstance(constraint.gt, float) else 1)
    return low, high
