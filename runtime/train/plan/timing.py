"""The time of a step with some levers, in turns with that of a step with others."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import torch

from dlc.runtime.train.loop import Loop
from dlc.runtime.train.plan.levers import pulled
from dlc.runtime.train.task import Task

MakeLoop = Callable[[Sequence[str]], Loop]
"""Gives a training of the task with some levers, from its start."""


@dataclass
class Contender:
    """A task that is stepped with some levers. taken: the steps so far. seconds: what they took, and what it took to
    pull the levers."""

    task: Task
    levers: Sequence[str]
    make: MakeLoop
    device: torch.device
    taken: int = 0
    seconds: float = 0.0
    _steps: Iterator[object] | None = field(default=None, repr=False)

    def run(self, steps: int = 1) -> float:
        """Takes steps, and gives the seconds of the fastest: what else the machine does can only lengthen one."""
        started, fastest = time.perf_counter(), math.inf
        with pulled(self.levers, self.task):
            if self._steps is None:
                self._steps = self.make(self.levers).endless()
            for _ in range(steps):
                begun = self._now()
                next(self._steps)
                fastest = min(fastest, self._now() - begun)
        self.taken += steps
        self.seconds += time.perf_counter() - started
        return fastest

    def _now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()


def in_turns(one: Contender, other: Contender, rounds: int) -> float:
    """How many steps `other` takes in the time of one step of `one`, which is warm already.

    Who goes first alternates. Of two estimates, by the fastest steps and by the median over the rounds, it gives the
    one that is nearer to 1: where something else disturbs the machine they disagree, and nothing is gained for sure.
    """
    other.run()
    times = [_round(one, other, swapped=bool(number % 2)) for number in range(rounds)]
    fastest = min(first for first, _ in times) / min(second for _, second in times)
    typical = statistics.median(first / second for first, second in times)
    if (fastest - 1) * (typical - 1) <= 0:
        return 1.0
    return min(fastest, typical, key=lambda speed: abs(math.log(speed)))


def _round(one: Contender, other: Contender, *, swapped: bool) -> tuple[float, float]:
    if swapped:
        second = other.run()
        return one.run(), second
    return one.run(), other.run()
