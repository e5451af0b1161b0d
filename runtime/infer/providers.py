"""The execution providers of the onnxruntime that is installed, by name."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from dlc.grammar.diagnostics import Refusal
from dlc.grammar.suggest import nearest
from dlc.runtime.infer.errors import UnknownProvider

SUFFIX = "ExecutionProvider"


def available() -> list[str]:
    """Their short names, `CUDA` for `CUDAExecutionProvider`, in onnxruntime's order of preference."""
    onnxruntime: Any = import_module("onnxruntime")
    return [str(name).removesuffix(SUFFIX) for name in onnxruntime.get_available_providers()]


def resolve(name: str) -> str:
    """The full name of a provider that is given by its full or its short name, however capitalised. Raises Refusal."""
    short = name.removesuffix(SUFFIX)
    known = available()
    for each in known:
        if each.casefold() == short.casefold():
            return f"{each}{SUFFIX}"
    near = nearest(short, known)
    raise Refusal(
        UnknownProvider(
            f"there is no execution provider `{name}` in the onnxruntime that is installed",
            None,
            notes=(f"it has {', '.join(known)}",),
            help=f"did you mean {near}?" if near else None,
        )
    )
