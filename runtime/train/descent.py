"""Gradient steps: what `minimize` does while training."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from dlc.compiler.optimizers import LBFGS
from dlc.compiler.settings import Settings
from dlc.runtime.train import foreach
from dlc.runtime.train.group import Group
from dlc.runtime.train.task import Over, Task
from dlc.runtime.train.team import ALONE, Share, Team

# The scale of losses in fp16: doubled after so many updates, halved where a gradient overflows.
_SCALE, _PATIENCE = 2.0**16, 2000


@dataclass(frozen=True, slots=True)
class NotFinite:
    """What was not finite: the loss of that number in the step, from 0, or the gradient of a weight by it."""

    value: float
    number: int
    weight: str | None = None


class Descent:
    """The optimisers of a training, one for each set of weights that a `minimize` updates and each `using`.

    fused: whether one kernel updates all weights, where there is one. team: the processes that train together.
    """

    def __init__(self, task: Task, settings: Settings, *, fused: bool = True, team: Team = ALONE) -> None:
        self.team = team
        self._task = task
        self._settings = settings
        self._fused = fused
        self._weights = _trainable(task.instances)
        self._names = {id(weight): name for name, weight in self._weights.items()}
        self._factors = {name: _factor(name, settings.rates) for name in self._weights}
        self._groups: dict[tuple[frozenset[str], str | None], Group] = {}
        self._found: dict[tuple[tuple[int, ...], str | None], Group] = {}
        self.scale = _SCALE if settings.precision == "fp16" else 1.0
        self._good = 0

    def group(self, over: Over | None, using: str | None) -> Group:
        """The weights that a `minimize` updates, with their optimiser; made where it is first met."""
        key = (() if over is None else tuple(map(id, over)), using)
        if key not in self._found:
            chosen = self._weights if over is None else self._within(over)
            self._found[key] = self._group(chosen, using)
        return self._found[key]

    def _within(self, over: Over) -> dict[str, nn.Parameter]:
        weights = [weight for part in over for weight in (part.parameters() if isinstance(part, nn.Module) else [part])]
        names = {self._names[id(weight)] for weight in weights if id(weight) in self._names}
        return {name: weight for name, weight in self._weights.items() if name in names}

    def _group(self, weights: Mapping[str, nn.Parameter], using: str | None) -> Group:
        key = (frozenset(weights), using)
        if key not in self._groups:
            choice = self._settings.optimizer if using is None else self._task.using[using]
            self._groups[key] = Group(weights, choice, using, self._factors, fused=self._fused)
        return self._groups[key]

    def moves_all(self, group: Group) -> bool:
        """Whether a group has all that a loss may have a gradient by."""
        return len(group.weights) == len(self._weights) and not self._task.differentiates

    @property
    def waits(self) -> bool:
        """Whether gradients are gathered that have not been used yet."""
        return any(group.examples for group in self._groups.values())

    def overflowed(self) -> bool:
        """A gradient in fp16 overflowed: whether a smaller scale can still help."""
        self.scale, self._good = self.scale / 2, 0
        return self.scale >= 1

    def updated(self) -> None:
        """An update was made: after many of them a larger scale is tried."""
        if self._settings.precision == "fp16":
            self._good += 1
            if self._good == _PATIENCE:
                self.scale, self._good = self.scale * 2, 0

    # --- what it takes to go on ---

    def tensors(self) -> dict[str, Tensor]:
        found: dict[str, Tensor] = {}
        for number, group in enumerate(self._groups.values()):
            found |= group.tensors(number)[0]
        return found

    def record(self) -> dict[str, Any]:
        groups = [group.tensors(number)[1] for number, group in enumerate(self._groups.values())]
        return {"groups": groups, "scale": self.scale, "good": self._good}

    def restore(self, tensors: Mapping[str, Tensor], record: Mapping[str, Any]) -> None:
        """Goes back to where a checkpoint was taken. Raises KeyError or ValueError where it does not fit."""
        self.scale, self._good = float(record["scale"]), int(record["good"])
        for state in record["groups"]:
            weights = {name: self._weights[name] for name in state["weights"]}
            self._group(weights, state["using"]).restore(tensors, state, self.team)


@dataclass(slots=True)
class Minimize:
    """`minimize` in one step, for one batch: a gradient step on each loss, until something is not finite.

    rate: what learning rates are multiplied by. due: whether what is gathered is used for an update. again: does the
    step once more with another `minimize`, with the weights that there are now. share: what this process has of the
    batch. sums: the numbers of the losses that are sums over examples, and not means. losses: of the batch. own: this
    process's part in each.
    """

    descent: Descent
    settings: Settings
    rate: float
    examples: int
    due: bool
    keep_graph: bool
    again: Callable[[Callable[..., None]], None]
    share: Share
    sums: Collection[int] = ()
    own: list[float] = field(default_factory=list[float])
    losses: list[float] = field(default_factory=list[float])
    refused: NotFinite | None = None

    def __call__(self, loss: Tensor, *, over: Over | None = None, using: str | None = None) -> None:
        if self.refused is not None:
            return
        group = self.descent.group(over, using)
        if self._adds:
            group.lend()
        with torch.autocast(loss.device.type, enabled=False):
            value, finite = self._differentiate(group, loss)
            if not math.isfinite(value):
                self.refused = NotFinite(value, len(self.losses))
            elif finite:
                self._update(group, loss)
            elif self.settings.precision != "fp16" or not self.descent.overflowed():
                self.refused = _culprit(group, len(self.losses))
        if self._adds and not self.due:
            group.take_back()
        for weight in group.weights:
            weight.grad = None
        self.losses.append(value)

    @property
    def _adds(self) -> bool:
        """Whether gradients are added to those of the batches before as they come. In fp16 they are looked at first: a
        batch whose gradients overflow is left out."""
        return self.settings.accumulate > 1 and self.settings.precision != "fp16"

    def _differentiate(self, group: Group, loss: Tensor) -> tuple[float, bool]:
        """Leaves the gradients with the weights; gives the loss, and whether they are all finite."""
        scale, team = self.descent.scale, self.descent.team
        loss = self._part(loss)
        factor = scale * (self.examples if self._adds else 1)
        scaled = loss if factor == 1 else loss * factor
        # Where weights are in shards, a gradient is one of the whole weight first, which is nobody's input. Where there
        # is nothing else that could get a gradient, naming the weights costs a walk over all that is done backward.
        inputs = None if team.shards or self.descent.moves_all(group) else group.weights
        scaled.backward(inputs=inputs, retain_graph=self.keep_graph)  # pyright: ignore[reportUnknownMemberType]
        gradients = _gradients(group.weights)
        if self.settings.accumulate == 1:
            team.gather_(gradients)
        spoilt = _spoilt(_local(gradients) if team.shards else gradients, 1 / scale, alike=group.alike)
        own = _numbers(loss.detach(), *([] if spoilt is None else [spoilt]))
        self.own.append(own[0])
        value, *found = team.total(own)
        return value, not any(found)

    def _part(self, loss: Tensor) -> Tensor:
        """This process's part in the loss of the batch, which is the sum of all of them."""
        if self.descent.team.size == 1:
            return loss
        return loss * (float(not self.share.idle) if len(self.losses) in self.sums else self.share.weight)

    def _update(self, group: Group, loss: Tensor) -> None:
        if isinstance(group.choice, LBFGS):
            self._search(group, loss)
            return
        if self.settings.accumulate > 1:
            group.examples += self.examples
            if not self._adds:
                group.gather(self.examples)
            if not self.due:
                return
            group.give()
            self.descent.team.gather_(_gradients(group.weights))
        gradients = _gradients(group.weights)
        if self.settings.clip_value is not None:
            bound = self.settings.clip_value
            foreach.clamp_max_(_local(gradients), bound)
            foreach.clamp_min_(_local(gradients), -bound)
        if self.settings.clip_norm is not None:
            norm = torch.nn.utils.get_total_norm(gradients)
            torch.nn.utils.clip_grads_with_norm_(group.weights, self.settings.clip_norm, norm)
        group.update(self.rate)
        self.descent.updated()
        torch.clear_autocast_cache()

    def _search(self, group: Group, loss: Tensor) -> None:
        """A step of an optimiser that evaluates the loss several times, the first of which is done already."""
        before = [weight.detach().clone() for weight in group.weights]
        team = self.descent.team

        def of_batch(loss: Tensor) -> Tensor:
            value = self._part(loss).detach().clone()
            team.add_([value])
            return value

        evaluated: list[Tensor] = [of_batch(loss)]

        def differentiate(loss: Tensor, *, over: Over | None = None, using: str | None = None) -> None:
            with torch.autocast(loss.device.type, enabled=False):
                self._part(loss).backward(inputs=group.weights)  # pyright: ignore[reportUnknownMemberType]
            team.gather_(_gradients(group.weights))
            evaluated.append(of_batch(loss))

        def evaluate() -> Tensor:
            if not evaluated:
                for weight in group.weights:
                    weight.grad = None
                torch.clear_autocast_cache()
                self.again(differentiate)
            return evaluated.pop()

        group.update(self.rate, evaluate)
        torch.clear_autocast_cache()
        if not all(bool(weight.isfinite().all()) for weight in group.weights):
            self.refused = _culprit(group, len(self.losses))
            with torch.no_grad():
                for weight, value in zip(group.weights, before, strict=True):
                    weight.copy_(value)


def _gradients(weights: Sequence[nn.Parameter]) -> list[Tensor]:
    return [weight.grad for weight in weights if weight.grad is not None]


def _local(gradients: Sequence[Tensor]) -> list[Tensor]:
    """What this process has of each."""
    untyped: list[Any] = [*gradients]
    return [each.to_local() if hasattr(each, "to_local") else each for each in untyped]


def _spoilt(gradients: list[Tensor], factor: float, *, alike: bool) -> Tensor | None:
    """Multiplies gradients, and gives 1 where one of them is not finite, else 0; none where there are none.

    alike: whether all are on one device and of one element type, for which each is not looked at.
    """
    found: Tensor | None = None
    for these in [gradients] if alike and gradients else _by_kind(gradients):
        of_these = torch.zeros((), dtype=torch.float32, device=these[0].device)
        by = torch.full((), factor, dtype=torch.float32, device=these[0].device)
        foreach.multiply_and_check_(these, of_these, by)
        found = of_these if found is None else found + of_these.to(found.device)
    return found


def _by_kind(gradients: Sequence[Tensor]) -> Collection[list[Tensor]]:
    kinds: dict[tuple[torch.device, torch.dtype], list[Tensor]] = {}
    for gradient in gradients:
        kinds.setdefault((gradient.device, gradient.dtype), []).append(gradient)
    return kinds.values()


def _numbers(*scalars: Tensor) -> list[float]:
    """What tensors hold that have one number each: of an accelerator's, with one wait for all."""
    if all(scalar.device.type == "cpu" for scalar in scalars):
        return [scalar.item() for scalar in scalars]
    untyped: Any = torch.stack([scalar.reshape(()).to(scalars[0].device).double() for scalar in scalars])
    return untyped.tolist()


def _culprit(group: Group, number: int) -> NotFinite:
    for name, weight in zip(group.names, group.weights, strict=True):
        if weight.grad is not None and not bool(weight.grad.isfinite().all()):
            spoilt = weight.grad[~weight.grad.isfinite()]
            return NotFinite(float(spoilt.flatten()[0]), number, name)
    return NotFinite(math.nan, number, group.names[0])


def _trainable(instances: Mapping[str, nn.Module]) -> dict[str, nn.Parameter]:
    """The weights that are learned, each once, by their names."""
    found: dict[int, tuple[str, nn.Parameter]] = {}
    for instance, module in instances.items():
        for name, weight in module.named_parameters():
            if weight.requires_grad:
                found.setdefault(id(weight), (f"{instance}.{name}", weight))
    return dict(found.values())


def _factor(name: str, rates: Sequence[tuple[str, float]]) -> float:
    """The factor of a weight's learning rate: that of the longest path that it lies within."""
    within = [(path, factor) for path, factor in rates if name == path or name.startswith(f"{path}.")]
    return max(within, key=lambda rate: len(rate[0]))[1] if within else 1.0
