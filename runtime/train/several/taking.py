"""A task as one of several processes takes part in it."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType

from dlc.compiler.torch.draws import OF_BATCH
from dlc.runtime.train.several.draws import draw_of_batch
from dlc.runtime.train.several.norms import synchronise
from dlc.runtime.train.several.sharing import Sharing
from dlc.runtime.train.several.team import Several
from dlc.runtime.train.task import Task
from dlc.runtime.train.team import Team


def shared_task(task: Task, module: ModuleType, sharing: Sharing, team: Team) -> Task:
    """The task with each process at its share of the batches. module: the emitted one, whose draws become those of
    whole batches."""
    assert isinstance(team, Several)
    setattr(module, OF_BATCH, draw_of_batch(team))
    synchronise(task.instances, team)
    return replace(
        task,
        team=team,
        sums=sharing.losses,
        summed=sharing.measures,
        summed_evaluate=sharing.evaluated,
        averaged=sharing.averaged,
    )
