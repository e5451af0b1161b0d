"""Weights averaged over a training, which are measured, saved and exported in place of its own."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from dlc.compiler.settings import EMA, SWA, Average
from dlc.runtime.train import foreach


class WeightAverage:
    """An average of all that a state_dict holds; what is no float, such as a counter, is taken as it is.

    Until the first update that counts, the weights themselves stand for it. steps: of the whole training.
    """

    def __init__(self, choice: Average | None, instances: Mapping[str, nn.Module], steps: int) -> None:
        self._choice = choice
        self._weights = _state(instances) if choice is not None else {}
        self._start = round(choice.start * steps) if isinstance(choice, SWA) else 0
        self._means: dict[str, Tensor] = {}
        self._count = 0

    @property
    def _begun(self) -> bool:
        return self._count > 0

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Takes in the weights after the update of a step, counted from 0."""
        if self._choice is None or step < self._start:
            return
        self._count += 1
        if self._count == 1:
            self._means = {name: weight.detach().clone() for name, weight in self._weights.items()}
            return
        floats = [name for name, weight in self._weights.items() if weight.is_floating_point()]
        means, weights = [self._means[name] for name in floats], [self._weights[name] for name in floats]
        foreach.lerp_(means, weights, self._share())
        for name in self._weights.keys() - floats:
            self._means[name].copy_(self._weights[name])

    def _share(self) -> float:
        """What the last update counts in the average."""
        if isinstance(self._choice, EMA):
            return (1 - self._choice.decay) / (1 - self._choice.decay**self._count)
        return 1 / self._count

    @contextmanager
    def shown(self) -> Generator[None, None, None]:
        """The modules with the averages as their weights, and afterwards with their own again."""
        if not self._begun:
            yield
            return
        own = {name: weight.detach().clone() for name, weight in self._weights.items()}
        _copy(self._means, self._weights)
        try:
            yield
        finally:
            _copy(own, self._weights)

    # --- what it takes to go on ---

    def tensors(self) -> dict[str, Tensor]:
        """The modules' own weights, where a checkpoint's model has the averages in their place."""
        if not self._begun:
            return {}
        return {f"own.{name}": weight.detach().clone() for name, weight in self._weights.items()}

    def record(self) -> dict[str, Any]:
        """How many updates were averaged."""
        return {"count": self._count}

    def restore(self, tensors: Mapping[str, Tensor], record: Mapping[str, Any]) -> None:
        """Takes the averages from the modules, and gives them their own weights. Raises KeyError."""
        self._count = int(record["count"])
        if self._begun:
            own = {name: tensors[f"own.{name}"] for name in self._weights}
            self._means = {name: weight.detach().clone() for name, weight in self._weights.items()}
            _copy(own, self._weights)


def _state(instances: Mapping[str, nn.Module]) -> dict[str, Tensor]:
    """The tensors of the modules' state_dicts themselves, each once."""
    found: dict[int, tuple[str, Tensor]] = {}
    for instance, module in instances.items():
        state: dict[str, Tensor] = module.state_dict(keep_vars=True)
        for name, tensor in state.items():
            found.setdefault(id(tensor), (f"{instance}.{name}", tensor))
    return dict(found.values())


@torch.no_grad()
def _copy(source: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> None:
    for name, tensor in target.items():
        tensor.copy_(source[name])
