"""The choice of a plan: what applies is tried for a small share of the training's time, and kept if it gains."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import torch

from dlc.compiler.settings import Settings
from dlc.runtime.train.loop import NonFiniteError
from dlc.runtime.train.plan import allocator
from dlc.runtime.train.plan.levers import BY_NAME, LEVERS, MEMORY, TOGETHER, Lever
from dlc.runtime.train.plan.record import WITH, Plan, Trial
from dlc.runtime.train.plan.timing import Contender, MakeLoop, in_turns
from dlc.runtime.train.plan.undoing import undone
from dlc.runtime.train.task import StepError, Task

SHARE = 0.02  # of the training's time, which measuring may take
_LEAST_STEPS = 500  # of a training in which anything is measured
_LEAST_SECONDS = 0.05  # for which measuring is worth while
_MOST_SECONDS = 60.0
_FIRST, _LEAST_ROUNDS, _MOST_ROUNDS = 3, 2, 12

SHORT = "nothing was tried, for the training is short"


def choose(task: Task, settings: Settings, make: MakeLoop, device: torch.device) -> Plan:
    """The plan for a training. What it measures leaves no trace.

    make: gives a training of the task with some levers.
    """
    free = [lever.name for lever in LEVERS if lever.free and lever.applies(task, settings, device)]
    steps = make(free).steps
    if steps < _LEAST_STEPS:
        return Plan(free, why=SHORT)
    with undone(task, device):
        try:
            return _Choice(task, settings, steps, make, device, free).made()
        except (NonFiniteError, StepError) as error:  # which the training tells of, where it comes to that
            return Plan(free, why=f"trying ended at a step that failed: {error}")


def missing(plan: Plan, task: Task, settings: Settings, device: torch.device) -> Iterator[str]:
    """The levers of a plan that do not apply on this machine."""
    for name in plan.levers:
        if name not in BY_NAME or not BY_NAME[name].applies(task, settings, device):
            yield name


class _Choice:
    def __init__(
        self,
        task: Task,
        settings: Settings,
        steps: int,
        make: MakeLoop,
        device: torch.device,
        free: Sequence[str],
    ) -> None:
        self._task = task
        self._settings = settings
        self._steps = steps
        self._make = make
        self._device = device
        self._free = free
        self._started = time.perf_counter()
        self._contenders: list[Contender] = []
        self._tried: list[Trial] = []

    def made(self) -> Plan:
        base, step, memory = self._first()
        budget = min(SHARE * self._steps * step, _MOST_SECONDS)
        if budget < _LEAST_SECONDS:
            return self._plan(self._free, SHORT)
        if memory is not None:
            self._tried.append(Trial(MEMORY, memory, True))
        due = list(self._due())
        for place, levers in enumerate(due):
            left = budget - self._spent()
            base = self._try(base, levers, step, left / (len(due) - place))
        for name in self._free:
            if name != MEMORY:  # which a process cannot give up again
                self._tell(base, name, step, budget - self._spent())
        return self._plan(base.levers, None if self._tried else SHORT)

    def _due(self) -> Iterator[Sequence[Lever]]:
        """What is tried at once, in turn: each lever that applies, and, behind them, those that gain by one another."""
        found: dict[str, Lever] = {}
        for lever in LEVERS:
            if not lever.free and lever.applies(self._task, self._settings, self._device):
                found[lever.name] = lever
                yield [lever]
                if TOGETHER[-1] == lever.name and all(name in found for name in TOGETHER):
                    yield [found[name] for name in TOGETHER]

    def _first(self) -> tuple[Contender, float, float | None]:
        """The contender with all that is free, the seconds of a step, and what keeping memory gained."""
        before: float | None = None
        if MEMORY in self._free and not allocator.kept() and self._steps >= 2 * _LEAST_STEPS:
            bare = self._contender([name for name in self._free if name != MEMORY])
            bare.run()
            before = bare.run(_FIRST)
        base = self._contender(self._free)
        base.run()
        step = base.run(_FIRST)
        return base, step, None if before is None else round(before / step, 3)

    def _try(self, base: Contender, levers: Sequence[Lever], step: float, seconds: float) -> Contender:
        """The contender with these levers too if that gains enough, else the one that there was."""
        rounds = _rounds(step, seconds - sum(lever.prepares for lever in levers))
        more = [lever.name for lever in levers if lever.name not in base.levers]
        if rounds is None or not more:
            return base
        contender = self._contender([*base.levers, *more])
        name = WITH.join(lever.name for lever in levers)
        try:
            speed = in_turns(base, contender, rounds)
        except StepError as error:  # such as what PyTorch cannot compile
            self._tried.append(Trial(name, None, False, error.reason))
            return base
        taken = speed >= max(lever.gains for lever in levers)
        self._tried.append(Trial(name, round(speed, 3), taken))
        return contender if taken else base

    def _tell(self, base: Contender, name: str, step: float, seconds: float) -> None:
        """Measures what is pulled in any case, where there is time for it."""
        rounds = _rounds(step, seconds)
        if rounds is not None:
            without = self._contender([lever for lever in base.levers if lever != name])
            self._tried.append(Trial(name, round(1 / in_turns(base, without, rounds), 3), True))

    def _contender(self, names: Sequence[str]) -> Contender:
        levers = [lever.name for lever in LEVERS if lever.name in names]
        self._contenders.append(Contender(self._task, levers, self._make, self._device))
        return self._contenders[-1]

    def _spent(self) -> float:
        return time.perf_counter() - self._started

    def _plan(self, levers: Sequence[str], why: str | None) -> Plan:
        taken = sum(contender.taken for contender in self._contenders)
        return Plan(tuple(levers), tuple(self._tried), taken, round(self._spent(), 3), why)


def _rounds(step: float, seconds: float) -> int | None:
    """How many steps of two contenders each there is time for; none where it is too little."""
    rounds = int((seconds / step - 1) / 2)
    return None if rounds < _LEAST_ROUNDS else min(rounds, _MOST_ROUNDS)
