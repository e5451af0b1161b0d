"""Frozen records of checked values: what is annotated in a class is a field, checked by pydantic.

pydantic's model of a class is built when the first record of it is made. There are hundreds of operations, a spec
uses a dozen, and building all models takes longer than checking the spec.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, ClassVar, get_origin, get_type_hints

from pydantic import BaseModel, ConfigDict, create_model
from pydantic.fields import FieldInfo

_CONFIG = ConfigDict(
    frozen=True, extra="forbid", strict=True, allow_inf_nan=False, arbitrary_types_allowed=True, protected_namespaces=()
)


class Checked:
    """A record of its class's fields. Making one raises pydantic's ValidationError where a value does not fit."""

    def __init__(self, **values: Any) -> None:
        fields = self.fields()
        checked = _model(type(self))(**values) if fields or values else None
        for name in fields:
            object.__setattr__(self, name, getattr(checked, name))
        object.__setattr__(self, "_given", frozenset(values))
        self.cross_check()

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"{type(self).__name__} is frozen")

    def cross_check(self) -> None:
        """Raises ValueError where the values, each right by itself, do not go together."""

    @classmethod
    def fields(cls) -> Mapping[str, FieldInfo]:
        """The fields in the order in which they are written, those of base classes first."""
        return _model(cls).model_fields

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


@cache
def _model(kind: type[Checked]) -> type[BaseModel]:
    hints = get_type_hints(kind, include_extras=True)
    fields: dict[str, Any] = {
        name: (hint, getattr(kind, name, ...)) for name, hint in hints.items() if get_origin(hint) is not ClassVar
    }
    return create_model(kind.__name__, __config__=_CONFIG, **fields)
