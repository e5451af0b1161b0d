"""The plan of a run: chosen when it begins, and kept, so that going on repeats the same bits."""

from __future__ import annotations

from collections.abc import Callable

import torch

from dlc.compiler.settings import Settings
from dlc.grammar.diagnostics import Refusal
from dlc.runtime.errors import BrokenRun
from dlc.runtime.train.plan.choosing import choose, missing
from dlc.runtime.train.plan.levers import FUSED
from dlc.runtime.train.plan.record import Plan
from dlc.runtime.train.plan.timing import MakeLoop
from dlc.runtime.train.run import Run
from dlc.runtime.train.task import Task

EARLIER = Plan((FUSED,))
"""How runs were trained whose config tells of no plan."""


def recorded(run: Run, settings: Settings) -> Plan | None:
    """The plan that a run's config keeps, if it has been begun. Raises Refusal where it is none."""
    if settings.plan == "plain":
        return Plan()
    config = run.config
    if config.plan is None:
        return None if config.data is None else EARLIER
    try:
        return Plan.read(config.plan)
    except (KeyError, TypeError) as error:
        raise Refusal(BrokenRun(f"the plan in {run.folder} is damaged", None, notes=(str(error),))) from error


def plan_of(
    run: Run,
    task: Task,
    settings: Settings,
    make: MakeLoop,
    device: torch.device,
    tell: Callable[[str], None],
    *,
    anew: bool,
) -> Plan:
    """The plan to train a run by. anew: whether a recorded one does not hold. tell: is told what lacks of that.

    Raises Refusal.
    """
    plan = recorded(run, settings)
    if plan is None or (anew and settings.plan != "plain"):
        return choose(task, settings, make, device)
    return usable(plan, task, settings, device, tell)


def usable(plan: Plan, task: Task, settings: Settings, device: torch.device, tell: Callable[[str], None]) -> Plan:
    """A plan without what does not apply on this machine, of which the user is told."""
    lacking = list(missing(plan, task, settings, device))
    if not lacking:
        return plan
    tell(f"without {', '.join(lacking)}, which this machine has not: the last bits may differ")
    return Plan([lever for lever in plan.levers if lever not in lacking], why="what the run was begun with")
