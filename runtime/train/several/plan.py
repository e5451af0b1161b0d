"""The plan of a training by several processes: the first chooses it, by steps of its own on as many examples as each
process has, and tells the others."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

from dlc.compiler.settings import Settings
from dlc.runtime.train.plan.levers import FUSED, INDUCTOR
from dlc.runtime.train.plan.record import Plan
from dlc.runtime.train.task import Task
from dlc.runtime.train.team import Team


def plan_of_team(
    team: Team, settings: Settings, make: Callable[[], Task], choose: Callable[[Task, Settings], Plan]
) -> Plan:
    """The plan, the same for all processes. make: the task as one process has it. choose: the plan for a task.

    Networks are not compiled: their batch norms and draws wait for other processes.
    """
    told: str | None = None
    if team.leads and team.shards:
        told = json.dumps(Plan((FUSED,), why="nothing is tried where weights are in shards").document())
    elif team.leads:
        if settings.batch != "all":
            values = {name: getattr(settings, name) for name in settings.fields()}
            settings = Settings(**{**values, "batch": -(-settings.batch // team.size)})
        plan = choose(make(), settings)
        levers = tuple(lever for lever in plan.levers if lever != INDUCTOR)
        told = json.dumps(replace(plan, levers=levers).document())
    found = team.first(told)
    assert found is not None
    return Plan.read(json.loads(found))
