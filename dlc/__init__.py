"""dlc: a compiler for deep-learning specs.

    import dlc

    spec = dlc.load("digits.dl", width=64)
    net = spec.torch("Classifier")
    dlc.train("digits.dl", output="runs/digits")

What each name needs is imported when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dlc.grammar.diagnostics import Diagnostic, Refusal
    from dlc.runtime.infer.session import Session
    from dlc.spec import Spec, load
    from dlc.training import train

__all__ = ["Diagnostic", "Refusal", "Session", "Spec", "load", "train"]

_HOMES = {
    "Diagnostic": "dlc.grammar.diagnostics",
    "Refusal": "dlc.grammar.diagnostics",
    "Session": "dlc.runtime.infer.session",
    "Spec": "dlc.spec",
    "load": "dlc.spec",
    "train": "dlc.training",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'dlc' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
