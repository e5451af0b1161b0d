"""The learning rate as a function of the step alone, so that a schedule has no state to save; a plateau's is told by
what was measured, and kept elsewhere."""

from __future__ import annotations

import math

from dlc.compiler import schedules


def factor(schedule: schedules.Schedule, step: int, steps: int, epoch: int) -> float:
    """What the learning rate is multiplied by at a step, counted from 0, of `steps` in all, `epoch` of which are one
    epoch."""
    if step < schedule.warmup:
        return (step + 1) / schedule.warmup
    done = min(1.0, (step - schedule.warmup) / max(1, steps - schedule.warmup))
    match schedule:
        case schedules.ConstantRate() | schedules.Plateau():
            return 1.0
        case schedules.StepRate(every=every):
            return schedule.factor ** (step // epoch // every)
        case schedules.Exponential():
            return schedule.factor ** (step / epoch)
        case schedules.Inverse(scale=scale, power=power):
            return (1 + (step - schedule.warmup) / (scale or schedule.warmup or 1)) ** -power
        case schedules.Linear(final=final):
            return final + (1 - final) * (1 - done)
        case schedules.Cosine(final=final):
            return _cosine(1, final, done)
        case schedules.OneCycle(rise=rise, initial=initial, final=final):
            if done < rise:
                return _cosine(initial, 1, done / rise)
            return _cosine(1, final, (done - rise) / (1 - rise))
        case _:
            raise NotImplementedError(f"the schedule {schedule.name} has no rates")


def _cosine(start: float, end: float, done: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * done)) / 2
