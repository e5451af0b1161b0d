"""What a training reports, over many batches: averages over examples, and what is computed of all of them at once."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from dlc.runtime.train.team import ALONE, Team

# What a step measures: a scalar is averaged over examples, a tuple of tensors is summed over batches, a list of
# tensors is joined along axis 0.
Measured = Tensor | float | tuple[Tensor, ...] | list[Tensor]
Finish = Callable[[Mapping[str, Any]], Mapping[str, Tensor]]

# So many steps' values are kept before they are added up: reading one from an accelerator waits for it.
_PENDING = 64


class UndefinedError(ValueError):
    """A report has no value for the examples that there are."""


class Averages:
    """Reports of many batches, in float64, added up in the order of the steps: when does not change a bit.

    finish: makes the reports of what the steps measured, where they are more than averages over examples. team: the
    processes, of which each adds its part of what a batch measures.
    """

    def __init__(self, finish: Finish | None = None, team: Team = ALONE) -> None:
        self._finish = finish
        self._team = team
        self._totals: dict[str, float] = {}
        self._sums: dict[str, list[Tensor]] = {}
        self._parts: dict[str, list[list[Tensor]]] = {}
        self._examples = 0
        self._pending: list[tuple[int, tuple[str, ...], Tensor]] = []

    def add(self, values: Mapping[str, Measured], examples: int) -> None:
        """What a batch measured, and how many examples it has."""
        self._examples += examples
        later: dict[str, Tensor] = {}
        for name, value in values.items():
            match value:
                case tuple():
                    self._sum(name, value)
                case list():
                    self._parts.setdefault(name, []).append([part.detach() for part in value])
                case Tensor() if value.device.type != "cpu":
                    later[name] = value.detach().double()
                case Tensor():
                    self._count(name, value.item(), examples)
                case _:
                    self._count(name, value, examples)
        if later:
            self._pending.append((examples, tuple(later), torch.stack(list(later.values()))))
        if len(self._pending) >= _PENDING:
            self._settle()

    def _sum(self, name: str, parts: Sequence[Tensor]) -> None:
        sums = self._sums.setdefault(name, [torch.zeros_like(part, dtype=torch.float64) for part in parts])
        for total, part in zip(sums, parts, strict=True):
            total.add_(part.detach())

    def _settle(self) -> None:
        for examples, names, values in self._pending:
            untyped: Any = values  # whose `tolist` has no type
            for name, value in zip(names, untyped.tolist(), strict=True):
                self._count(name, value, examples)
        self._pending.clear()

    def _count(self, name: str, value: float, examples: int) -> None:
        self._totals[name] = self._totals.get(name, 0.0) + examples * value

    def _join(self) -> dict[str, list[Tensor]]:
        """What is joined of all processes."""
        return {name: [self._team.join(column) for column in columns] for name, columns in self._own().items()}

    def _own(self) -> dict[str, list[Tensor]]:
        """What is joined of this process, on the processor; floats in double precision."""
        joined: dict[str, list[Tensor]] = {}
        for name, batches in self._parts.items():
            columns = [torch.cat(column).cpu() for column in zip(*batches, strict=True)]
            joined[name] = [column.double() if column.is_floating_point() else column for column in columns]
        return joined

    def means(self) -> dict[str, float]:
        """The mean of each scalar, and the reports that are more, by name. Raises UndefinedError."""
        if not self._examples:
            raise UndefinedError("there are no examples to measure")
        self._settle()
        means = {name: total / self._examples for name, total in self._of_all().items()}
        if self._finish is None:
            return means
        measured: dict[str, Any] = {name: torch.tensor(mean, dtype=torch.float64) for name, mean in means.items()}
        measured |= {name: tuple(sums) for name, sums in self._sums_of_all().items()}
        reports = {name: value.item() for name, value in self._finish(measured | self._join()).items()}
        for name, value in reports.items():
            if math.isnan(value) and all(map(math.isfinite, means.values())):
                raise UndefinedError(f"`{name}` has no value for these {self._examples} examples: it is 0 / 0")
        # What a report is one of several parts of has a dot in its name.
        rest = {name: mean for name, mean in means.items() if name not in reports and "." not in name}
        return rest | reports

    def state(self) -> dict[str, Any]:
        """What has been added up so far, exactly, as JSON holds it: by each process where there are several."""
        self._settle()
        own = {
            "examples": self._examples,
            "totals": {name: value.hex() for name, value in self._totals.items()},
            "sums": {name: list(map(_written, sums)) for name, sums in self._sums.items()},
            "joined": {name: list(map(_written, columns)) for name, columns in self._own().items()},
        }
        if self._team.size == 1:
            return own
        return {"each": [json.loads(text) for text in self._team.texts(json.dumps(own))]}

    def _of_all(self) -> dict[str, float]:
        """The totals of all processes."""
        return dict(zip(self._totals, self._team.total([*self._totals.values()]), strict=True))

    def _sums_of_all(self) -> dict[str, list[Tensor]]:
        """The sums of all processes, on the processor."""
        sums = {name: [each.clone() for each in sums] for name, sums in self._sums.items()}
        self._team.add_([each for of_name in sums.values() for each in of_name])
        return {name: [each.cpu() for each in of_name] for name, of_name in sums.items()}

    @staticmethod
    def restored(state: Mapping[str, Any], finish: Finish | None = None, team: Team = ALONE) -> Averages:
        """Averages that go on from such a state. Where it is that of another number of processes, the first has it
        for all."""
        states = state.get("each", [state])
        averages = Averages(finish, team)
        averages._examples = int(states[0]["examples"])
        own = [states[team.rank]] if len(states) == team.size else states
        for each in own:
            averages._include(each, 1.0 if len(own) == 1 or team.leads else 0.0)
        if len(states) != team.size and not team.leads:
            averages._parts = {name: [[each[:0] for each in of[0]]] for name, of in averages._parts.items()}
        return averages

    def _include(self, state: Mapping[str, Any], weight: float) -> None:
        for name, value in state["totals"].items():
            self._totals[name] = self._totals.get(name, 0.0) + weight * float.fromhex(value)
        for name, sums in state["sums"].items():
            self._sum(name, [weight * each for each in _read(sums)])
        for name, columns in state["joined"].items():
            self._parts.setdefault(name, []).append(_read(columns))


def _written(tensor: Tensor) -> dict[str, Any]:
    untyped: Any = tensor.flatten().double()  # whose `tolist` has no type
    kind = "bool" if tensor.dtype is torch.bool else "float64"
    return {"shape": list(tensor.shape), "kind": kind, "values": [value.hex() for value in untyped.tolist()]}


def _read(tensors: Iterable[Mapping[str, Any]]) -> list[Tensor]:
    kinds = {"bool": torch.bool, "float64": torch.float64}
    return [
        torch.tensor([float.fromhex(value) for value in each["values"]], dtype=torch.float64)
        .reshape(each["shape"])
        .to(kinds[each["kind"]])
        for each in tensors
    ]


def plain(means: Mapping[str, float]) -> dict[str, float | None]:
    """Means as JSON holds them, where what is not a finite number is null."""
    return {name: value if math.isfinite(value) else None for name, value in means.items()}
