"""What may stand in a field, from its annotation: a validator of pydantic-core, the engine of pydantic.

The types are those of static parameters: numbers, strings, literals, tuples, unions, and objects of a class. Numbers
are strict (a bool is no int, a float no int), and infinities and what is no number are refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, cast, get_args, get_origin

from pydantic_core import SchemaValidator

_PLAIN: Mapping[Any, Mapping[str, Any]] = {
    Any: {"type": "any"},
    bool: {"type": "bool", "strict": True},
    int: {"type": "int", "strict": True},
    float: {"type": "float", "strict": True, "allow_inf_nan": False},
    str: {"type": "str", "strict": True},
}


@dataclass(frozen=True, slots=True)
class Before:
    """Beside a type: how a value is turned into one of the type before it is checked. Raises ValueError."""

    convert: Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Bounds:
    """Beside a number's type: greater than, at least, less than, at most."""

    gt: float | None = None
    ge: float | None = None
    lt: float | None = None
    le: float | None = None

    def given(self) -> dict[str, float]:
        bounds = {"gt": self.gt, "ge": self.ge, "lt": self.lt, "le": self.le}
        return {name: bound for name, bound in bounds.items() if bound is not None}


@dataclass(frozen=True, slots=True)
class Described:
    """Beside a type: what may stand there, in words."""

    description: str


@cache
def validator(annotation: Any) -> SchemaValidator:
    """The validator of an annotation, built when a value of that kind is first checked."""
    return SchemaValidator(cast("Any", _schema(annotation)))


def _schema(annotation: Any) -> dict[str, Any]:
    """What pydantic-core is told of an annotation. Raises TypeError for one that no field may have."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if annotation in _PLAIN:
        return dict(_PLAIN[annotation])
    if origin is Annotated:
        return _annotated(arguments[0], arguments[1:])
    if origin is Literal:
        return {"type": "literal", "expected": list(arguments)}
    if origin is tuple:
        many = arguments[-1] is Ellipsis
        items = [_schema(each) for each in (arguments[:1] if many else arguments)]
        return {"type": "tuple", "strict": True, "items_schema": items} | ({"variadic_item_index": 0} if many else {})
    if origin in (Union, UnionType):
        choices = [_schema(each) for each in arguments if each is not NoneType]
        kind = choices[0] if len(choices) == 1 else {"type": "union", "choices": choices}
        return {"type": "nullable", "schema": kind} if NoneType in arguments else kind
    if isinstance(annotation, type):
        return {"type": "is-instance", "cls": annotation}
    raise TypeError(f"a field cannot be {annotation}")


def _annotated(kind: Any, remarks: tuple[Any, ...]) -> dict[str, Any]:
    schema = _schema(kind)
    for remark in remarks:
        match remark:
            case Bounds():
                _innermost(schema).update(remark.given())
            case Before(convert):
                schema = {"type": "function-before", "function": {"type": "no-info", "function": convert}} | {
                    "schema": schema
                }
            case Described():
                continue
            case _:
                raise TypeError(f"{remark!r} says nothing about a field")
    return schema


def _innermost(schema: dict[str, Any]) -> dict[str, Any]:
    """The type itself, under what is done before it is checked: that is what bounds are for."""
    while schema["type"] == "function-before":
        schema = schema["schema"]
    return schema
