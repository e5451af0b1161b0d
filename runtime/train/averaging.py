"""Weights averaged over a training, which are measured, saved and exported in place of its own."""

from __future__ import annotations

from dlc.compiler.settings import EMA, SWA, Average
from dlc.runtime.train import foreach
from dlc.runtime.train.versions import Versions, copied


class WeightAverage:
    """An average of all that a state_dict holds; what is no float, such as a counter, is taken as it is.

    Until the first update that counts there is none. steps: of the whole training.
    """

    def __init__(self, choice: Average | None, versions: Versions, steps: int) -> None:
        self._choice = choice
        self._versions = versions
        self._start = round(choice.start * steps) if isinstance(choice, SWA) else 0
        self.count = 0  # of the updates that were averaged

    @property
    def begun(self) -> bool:
        return self.count > 0

    def update(self, step: int) -> None:
        """Takes in the weights after the update of a step, counted from 0."""
        if self._choice is None or step < self._start:
            return
        self.count += 1
        weights = self._versions.modules
        if self.count == 1:
            self._versions.held["average"] = copied(weights)
            return
        means = self._versions.held["average"]
        floats = [name for name, weight in weights.items() if weight.is_floating_point()]
        foreach.lerp_([means[name] for name in floats], [weights[name].detach() for name in floats], self._share())
        for name in weights.keys() - floats:
            means[name].copy_(weights[name])

    def _share(self) -> float:
        """What the last update counts in the average."""
        if isinstance(self._choice, EMA):
            return (1 - self._choice.decay) / (1 - self._choice.decay**self.count)
        return 1 / self.count
