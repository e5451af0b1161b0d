"""Averages of what a training reports, over examples."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

# So many steps' values are kept before they are added up: on an accelerator each addition waits for the device.
_PENDING = 64


class Averages:
    """Means over examples, in float64, added up in the order of the steps: when does not change a bit."""

    def __init__(self) -> None:
        self._totals: dict[str, float] = {}
        self._examples = 0
        self._pending: list[tuple[int, tuple[str, ...], Tensor]] = []

    def add(self, values: Mapping[str, Tensor], examples: int) -> None:
        """The means of a batch, each a scalar, and how many examples they were measured on."""
        if values:
            stacked = torch.stack([value.detach().to(torch.float64) for value in values.values()])
            self._pending.append((examples, tuple(values), stacked))
        if len(self._pending) >= _PENDING:
            self._settle()

    def _settle(self) -> None:
        for examples, names, values in self._pending:
            untyped: Any = values  # whose `tolist` has no type
            numbers: list[float] = untyped.tolist()
            for name, value in zip(names, numbers, strict=True):
                self._totals[name] = self._totals.get(name, 0.0) + examples * value
            self._examples += examples
        self._pending.clear()

    def means(self) -> dict[str, float]:
        """The mean of each report, by name."""
        self._settle()
        return {name: total / self._examples for name, total in self._totals.items()}

    def state(self) -> dict[str, object]:
        """What has been added up so far, exactly, as JSON holds it."""
        self._settle()
        return {"examples": self._examples, "totals": {name: value.hex() for name, value in self._totals.items()}}

    @staticmethod
    def restored(state: Mapping[str, object]) -> Averages:
        averages = Averages()
        examples, totals = state["examples"], state["totals"]
        assert isinstance(examples, int)
        assert isinstance(totals, dict)
        averages._examples = examples
        averages._totals = {str(name): float.fromhex(str(value)) for name, value in totals.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
        return averages


def plain(means: Mapping[str, float]) -> dict[str, float | None]:
    """Means as JSON holds them, where what is not a finite number is null."""
    return {name: value if math.isfinite(value) else None for name, value in means.items()}
