"""The weights of a training in several versions: its own, their average, and those that were measured to be the best.

One version is in the modules; the others are kept beside them.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor, nn

Version = Literal["own", "average", "best"]
Weights = Mapping[str, Tensor]


def state_of(instances: Mapping[str, nn.Module]) -> dict[str, Tensor]:
    """The tensors of the modules' state_dicts themselves, each once."""
    found: dict[int, tuple[str, Tensor]] = {}
    for instance, module in instances.items():
        state: dict[str, Tensor] = module.state_dict(keep_vars=True)
        for name, tensor in state.items():
            found.setdefault(id(tensor), (f"{instance}.{name}", tensor))
    return dict(found.values())


def copied(weights: Weights) -> dict[str, Tensor]:
    """Copies that later updates leave alone."""
    return {name: tensor.detach().clone() for name, tensor in weights.items()}


@torch.no_grad()
def put(source: Weights, target: Weights) -> None:
    """Copies into each tensor of the target its value from the source."""
    for name, tensor in target.items():
        tensor.copy_(source[name])


def _placed(value: Tensor, weight: Tensor) -> Tensor:
    """A value that was kept, where and as the weight is."""
    if hasattr(weight, "placements"):
        from dlc.runtime.train.several.shards import sharded_like

        return sharded_like(value, weight)
    return value.to(weight.device)


class Versions:
    """What modules can hold. held: the versions that there are beside the modules' own weights."""

    def __init__(self, instances: Mapping[str, nn.Module]) -> None:
        self.modules = state_of(instances)
        self.held: dict[Version, dict[str, Tensor]] = {}

    @contextmanager
    def shown(self, version: Version) -> Generator[None, None, None]:
        """The modules with a version of the weights, and afterwards with their own again."""
        if version == "own":
            yield
            return
        own = copied(self.modules)
        put(self.held[version], self.modules)
        try:
            yield
        finally:
            put(own, self.modules)

    # --- what it takes to go on ---

    def tensors(self, shown: Version) -> dict[str, Tensor]:
        """All versions but the one that a checkpoint's model shows."""
        kept: dict[Version, Mapping[str, Tensor]] = {**self.held, "own": self.modules}
        return {
            f"{version}.{name}": tensor.detach().clone()
            for version, weights in kept.items()
            if version != shown
            for name, tensor in weights.items()
        }

    def restore(self, tensors: Mapping[str, Tensor], versions: list[Version], shown: Version) -> None:
        """Takes the version that is shown from the modules, the others from a checkpoint. Raises KeyError."""
        found = copied(self.modules)
        kept = {
            version: found
            if version == shown
            else {name: _placed(tensors[f"{version}.{name}"], tensor) for name, tensor in self.modules.items()}
            for version in (*versions, "own")
        }
        self.held = {version: dict(kept[version]) for version in versions}
        put(kept["own"], self.modules)
