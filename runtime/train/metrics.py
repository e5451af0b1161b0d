"""Averages of what a training reports, over examples."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

# So many steps' values are kept before they are added up: reading one from an accelerator waits for it.
_PENDING = 64


class Averages:
    """Means over examples, in float64, added up in the order of the steps: when does not change a bit."""

    def __init__(self) -> None:
        self._totals: dict[str, float] = {}
        self._examples = 0
        self._pending: list[tuple[int, tuple[str, ...], Tensor]] = []

    def add(self, values: Mapping[str, Tensor | float], examples: int) -> None:
        """The means of a batch, each a scalar, and how many examples they were measured on."""
        self._examples += examples
        later: dict[str, Tensor] = {}
        for name, value in values.items():
            if isinstance(value, Tensor) and value.device.type != "cpu":
                later[name] = value.detach().double()
            else:
                self._count(name, value.item() if isinstance(value, Tensor) else value, examples)
        if later:
            self._pending.append((examples, tuple(later), torch.stack(list(later.values()))))
        if len(self._pending) >= _PENDING:
            self._settle()

    def _settle(self) -> None:
        for examples, names, values in self._pending:
            untyped: Any = values  # whose `tolist` has no type
            for name, value in zip(names, untyped.tolist(), strict=True):
                self._count(name, value, examples)
        self._pending.clear()

    def _count(self, name: str, value: float, examples: int) -> None:
        self._totals[name] = self._totals.get(name, 0.0) + examples * value

    def means(self) -> dict[str, float]:
        """The mean of each report, by name."""
        self._settle()
        return {name: total / self._examples for name, total in self._totals.items()}

    def state(self) -> dict[str, Any]:
        """What has been added up so far, exactly, as JSON holds it."""
        self._settle()
        return {"examples": self._examples, "totals": {name: value.hex() for name, value in self._totals.items()}}

    @staticmethod
    def restored(state: Mapping[str, Any]) -> Averages:
        """Averages that go on from such a state."""
        averages = Averages()
        averages._examples = int(state["examples"])
        averages._totals = {name: float.fromhex(value) for name, value in state["totals"].items()}
        return averages


def plain(means: Mapping[str, float]) -> dict[str, float | None]:
    """Means as JSON holds them, where what is not a finite number is null."""
    return {name: value if math.isfinite(value) else None for name, value in means.items()}
