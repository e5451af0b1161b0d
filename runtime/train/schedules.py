"""The learning rate as a function of the step alone, so that a schedule has no state to save."""

from __future__ import annotations

import math

from dlc.compiler import settings


def factor(schedule: settings.Schedule, step: int, steps: int) -> float:
    """What the learning rate is multiplied by at a step, counted from 0, of `steps` in all."""
    if step < schedule.warmup:
        return (step + 1) / schedule.warmup
    match schedule:
        case settings.ConstantRate():
            return 1.0
        case settings.Cosine(final=final):
            done = (step - schedule.warmup) / max(1, steps - schedule.warmup)
            return final + (1 - final) * (1 + math.cos(math.pi * min(1.0, done))) / 2
        case _:
            raise NotImplementedError(f"the schedule {schedule.name} has no rates")
