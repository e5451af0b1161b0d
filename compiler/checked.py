"""Frozen records of checked values: what is annotated in a class is a field, checked by pydantic's engine.

A validator is built once for each annotation, when a value of it is first checked. There are hundreds of operations
with a dozen kinds of parameters between them, and a spec uses a few: building a model for every class takes longer
than to check the spec.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar, get_args, get_origin, get_type_hints

from pydantic_core import ValidationError

from dlc.compiler.validation import validator


@dataclass(frozen=True)
class Parameter:
    """A field of a record: its type with its bounds, and its default."""

    annotation: Any
    required: bool
    default: Any

    @property
    def metadata(self) -> tuple[Any, ...]:
        """The bounds and conversions that stand beside the type."""
        return get_args(self.annotation)[1:] if hasattr(self.annotation, "__metadata__") else ()

    @property
    def type(self) -> Any:
        """The type without its bounds."""
        return get_args(self.annotation)[0] if hasattr(self.annotation, "__metadata__") else self.annotation


class FieldsError(ValueError):
    """Values that do not fit their fields: for each field, pydantic's account of what is wrong, several where a field
    takes several kinds of values."""

    def __init__(self, problems: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
        super().__init__("; ".join(f"{name}: {problem['msg']}" for name, (problem, *_) in problems.items()))
        self.problems = problems


class Checked:
    """A record of its class's fields. Making one raises FieldsError where a value does not fit its field, and
    ValueError where the values do not go together."""

    def __init__(self, **values: Any) -> None:
        problems: dict[str, Sequence[Mapping[str, Any]]] = {}
        held = self.__dict__
        fields = self.fields()
        for name, field in fields.items():
            if name not in values:
                if field.required:
                    raise TypeError(f"{type(self).__name__} needs {name}")
                held[name] = field.default
                continue
            try:
                held[name] = validator(field.annotation).validate_python(values[name])
            except ValidationError as error:
                problems[name] = error.errors(include_url=False)
        if unknown := values.keys() - fields.keys():
            raise TypeError(f"{type(self).__name__} has no field {', '.join(sorted(unknown))}")
        if problems:
            raise FieldsError(problems)
        held["_given"] = frozenset(values)
        self.cross_check()

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"{type(self).__name__} is frozen")

    def cross_check(self) -> None:
        """Raises ValueError where the values, each right by itself, do not go together."""

    @classmethod
    @cache
    def fields(cls) -> Mapping[str, Parameter]:
        """The fields in the order in which they are written, those of base classes first."""
        taken = [name for name in cls.__annotations__ if hasattr(Checked, name)]
        if taken:
            raise TypeError(f"{cls.__name__} has a field called {taken[0]}, which every record has as a method")
        return {
            name: _field(hint, getattr(cls, name, ...))
            for name, hint in get_type_hints(cls, include_extras=True).items()
            if get_origin(hint) is not ClassVar
        }

    @property
    def given(self) -> frozenset[str]:
        """The fields that were given a value, not left at their default."""
        return self.__dict__["_given"]

    def values(self) -> tuple[Any, ...]:
        return tuple(self.__dict__[name] for name in self.fields())

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and isinstance(other, Checked) and self.values() == other.values()

    def __hash__(self) -> int:
        return hash((type(self), self.values()))

    def __repr__(self) -> str:
        inner = ", ".join(f"{name}={value!r}" for name, value in zip(self.fields(), self.values(), strict=True))
        return f"{type(self).__name__}({inner})"


def _field(annotation: Any, default: Any) -> Parameter:
    """A field from its annotation and what it is set to in the class, if anything."""
    return Parameter(annotation, default is ..., None if default is ... else default)
