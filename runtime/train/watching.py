"""Whether a training gets better: what a plateau and an early stop go by."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from dlc.compiler.schedules import Plateau
from dlc.compiler.settings import StopEarly


class Watch:
    """The best value so far of one part's metric, and for how many epochs there was no better one."""

    def __init__(self, choice: Plateau | StopEarly) -> None:
        self._part, _, self._metric = choice.on.partition(" ")
        self._sign = 1 if choice.better == "less" else -1
        self._least = choice.least
        self._best = math.inf
        self.waited = 0

    def see(self, parts: Mapping[str, Mapping[str, float]]) -> bool:
        """Takes in an epoch's means by part. Gives whether they are the best so far."""
        value = self._sign * parts[self._part][self._metric]
        better = value < self._best - self._least
        if better:
            self._best, self.waited = value, 0
        else:
            self.waited += 1
        return better

    def state(self) -> dict[str, Any]:
        """As JSON holds it, exactly."""
        return {"best": self._best.hex(), "waited": self.waited}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Goes back to such a state."""
        self._best, self.waited = float.fromhex(state["best"]), int(state["waited"])
