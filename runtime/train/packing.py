"""What an optimiser keeps, as a file of tensors and a document of JSON hold it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from torch import Tensor


def pack(value: Any, name: str, tensors: dict[str, Tensor]) -> Any:
    """A value as JSON holds it, in which a string stands for the tensor of that name, which is put beside it.

    Numbers, none, lists and dictionaries are what it is made of.
    """
    if isinstance(value, Tensor):
        tensors[name] = value
        return name
    if isinstance(value, dict):
        entries = cast("dict[str, Any]", value)
        return {key: pack(item, f"{name}.{key}", tensors) for key, item in entries.items()}
    if isinstance(value, list | tuple):
        items = cast("list[Any]", value)
        return [pack(item, f"{name}.{place}", tensors) for place, item in enumerate(items)]
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return {"float": value.hex()}
    raise TypeError(f"{name} is {type(value).__name__}, which no checkpoint holds")


def unpack(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    """The value that was packed. Raises KeyError where a tensor is missing."""
    if isinstance(value, str):
        return tensors[value].clone()
    if isinstance(value, list):
        return [unpack(item, tensors) for item in cast("list[Any]", value)]
    if isinstance(value, dict):
        entries = cast("dict[str, Any]", value)
        if entries.keys() == {"float"}:
            return float.fromhex(entries["float"])
        return {key: unpack(item, tensors) for key, item in entries.items()}
    return value
