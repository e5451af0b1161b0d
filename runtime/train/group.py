"""The weights that a `minimize` updates, with their optimisers and the gradients that wait for an update."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from dlc.compiler.optimizers import Optimizer
from dlc.runtime.train.kernel import OneKernel
from dlc.runtime.train.optimizers import make_optimizers
from dlc.runtime.train.packing import pack, unpack
from dlc.runtime.train.team import ALONE, Team


class Group:
    """What a `minimize` updates, and how. using: the optimiser's text where it is not that of the settings."""

    def __init__(
        self,
        weights: Mapping[str, nn.Parameter],
        choice: Optimizer,
        using: str | None,
        factors: Mapping[str, float],
        *,
        fused: bool = True,
    ) -> None:
        self.names = list(weights)
        self.weights = list(weights.values())
        self.alike = len({(weight.device, weight.dtype) for weight in self.weights}) == 1
        self.choice = choice
        self.using = using
        by_factor: dict[float, list[nn.Parameter]] = {}
        for name, weight in weights.items():
            by_factor.setdefault(factors[name], []).append(weight)
        groups = [{"params": part, "factor": factor} for factor, part in by_factor.items()]
        self.optimizers = make_optimizers(choice, groups, fused=fused)
        self._kernels = {each: OneKernel(each) for each in self.optimizers if OneKernel.runs(each)}
        self.gathered: list[Tensor | None] = [None] * len(self.weights)
        self.examples = 0  # that what is gathered is the sum over

    def lend(self) -> None:
        """Puts the gradients that wait where backward adds to them."""
        for weight, gradient in zip(self.weights, self.gathered, strict=True):
            weight.grad = gradient

    def take_back(self) -> None:
        """Has gradients, sums over examples, wait for those of later batches."""
        self.gathered = [weight.grad for weight in self.weights]

    def gather(self, examples: int) -> None:
        """Adds gradients, means over a batch, to those that wait, and lends the sums."""
        for place, weight in enumerate(self.weights):
            if weight.grad is not None:
                before = self.gathered[place]
                own = weight.grad.mul_(examples)
                self.gathered[place] = own if before is None else before.add_(own)
        self.lend()

    def give(self) -> None:
        """Makes sums over the examples means, after which nothing waits."""
        for weight in self.weights:
            if weight.grad is not None:
                weight.grad.div_(self.examples)
        self.gathered = [None] * len(self.weights)
        self.examples = 0

    def update(self, rate: float, closure: Callable[[], Tensor] | None = None) -> None:
        """Moves the weights along their gradients. rate: what the optimiser's learning rate is multiplied by."""
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = self.choice.lr * rate * group["factor"]
            if optimizer in self._kernels:
                self._kernels[optimizer].step()
                continue
            untyped: Any = optimizer  # a closure gives a tensor or a number, and its types know the number alone
            untyped.step(*([closure] if closure is not None else []))

    # --- what it takes to go on ---

    def tensors(self, number: int) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """The state as tensors by name, and as JSON that refers to them."""
        tensors: dict[str, Tensor] = {}
        states = [
            {
                name: pack(dict(optimizer.state[weight]), f"optimizer.{number}.{name}", tensors)
                for name, weight in zip(self.names, self.weights, strict=True)
                if weight in optimizer.state
            }
            for optimizer in self.optimizers
        ]
        gathered = {
            name: pack(gradient, f"gradient.{number}.{name}", tensors)
            for name, gradient in zip(self.names, self.gathered, strict=True)
            if gradient is not None
        }
        record = {"weights": self.names, "using": self.using, "optimizer": self.choice.name, "states": states}
        return tensors, {**record, "gathered": gathered, "examples": self.examples}

    def restore(self, tensors: Mapping[str, Tensor], record: Mapping[str, Any], team: Team = ALONE) -> None:
        """Goes back to such a state. Raises ValueError where it is that of another optimiser."""
        if record["optimizer"] != self.choice.name:
            raise ValueError(f"the optimiser was {record['optimizer']}, and is {self.choice.name}")
        places = dict(zip(self.names, self.weights, strict=True))
        for optimizer, states in zip(self.optimizers, record["states"], strict=True):
            whole = optimizer.state_dict()
            numbers = {
                id(weight): number
                for ours, packed in zip(optimizer.param_groups, whole["param_groups"], strict=True)
                for weight, number in zip(ours["params"], packed["params"], strict=True)
            }
            state = {
                numbers[id(places[name])]: _laid_out(unpack(value, tensors), places[name])
                for name, value in states.items()
            }
            optimizer.load_state_dict({**whole, "state": state})
            if optimizer in self._kernels:
                self._kernels[optimizer].forget()
        self.gathered = [
            _laid_out(unpack(record["gathered"].get(name), tensors), weight)
            for name, weight in zip(self.names, self.weights, strict=True)
        ]
        self.examples = int(record["examples"])
        if not team.leads and not team.shards:  # what waits is from one process, which the first is now
            self.gathered = [None if gradient is None else gradient.zero_() for gradient in self.gathered]


def _laid_out(value: Any, weight: nn.Parameter) -> Any:
    """What is kept for a weight, with its tensors laid out in memory as the weight is, and on its device.

    Fused kernels go through a weight, its gradient and its moments side by side, and trust in one layout of all.
    """
    if isinstance(value, dict):
        entries = cast("dict[str, Any]", value)
        return {name: _laid_out(item, weight) for name, item in entries.items()}
    if isinstance(value, Tensor) and value.shape == weight.shape:
        if hasattr(weight, "placements"):
            from dlc.runtime.train.several.shards import sharded_like

            return sharded_like(value, weight)
        return torch.empty_like(weight, dtype=value.dtype, requires_grad=False).copy_(value)
    return value
