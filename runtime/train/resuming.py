"""Going on with a run: its newest whole checkpoint, and what is no longer as it was."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version

from dlc.compiler.program import Program, TrainSpec
from dlc.grammar.diagnostics import Refusal
from dlc.runtime.data.load import Dataset
from dlc.runtime.errors import AnotherSetup, BrokenRun
from dlc.runtime.train import data
from dlc.runtime.train.checkpoint import Checkpoint
from dlc.runtime.train.loop import Loop
from dlc.runtime.train.run import Run
from dlc.runtime.train.task import Task
from dlc.runtime.train.team import Team
from dlc.runtime.train.weights import load_weights

Notice = Callable[[str], None]
"""Tells the user something that stops nothing."""


@dataclass(frozen=True, slots=True)
class Ground:
    """What a run is trained with now. forced: in what it differs from what the run was started with."""

    program: Program
    spec: TrainSpec
    overrides: Mapping[str, str]
    data: Dataset
    forced: tuple[str, ...] = ()


def ground(run: Run, program: Program, spec: TrainSpec, overrides: Mapping[str, str], *, force: bool) -> Ground:
    """Reads the data, and holds all against what the run was started with. Raises Refusal where it differs, unless
    that is forced."""
    if not force:
        run.check(program, spec, overrides)
        return Ground(program, spec, overrides, data.read_data(run, spec))
    forced = list(run.differences(program, spec, overrides))
    read = data.load(run, spec)
    return Ground(program, spec, overrides, read, (*forced, *data.differences(run, read)))


def other_processes(run: Run, team: Team) -> str | None:
    """What to tell of a run that another number of processes has trained so far: the examples stay the same."""
    if run.config.processes in (None, team.size):
        return None
    return f"processes: {run.config.processes} in the run, {team.size} now: the last bits may differ"


def require_alike(team: Team, *told: str) -> None:
    """Refuses to train together where one of the processes has another spec or other data than the first."""
    own = " ".join((*told, version("dlc"), version("torch")))
    alike = team.first(own) == own
    if any(team.any(not alike)):
        help = "on each machine: the same spec, the same data, the same versions of dlc and PyTorch"
        message = f"process {team.rank} of {team.size} has another spec, other data or other versions than process 0"
        if alike:
            message = "not all processes have the same spec, data and versions"
        raise Refusal(AnotherSetup(message, None, help=help))


# --- checkpoints ------------------------------------------------------------------------------------------------


def newest(run: Run, notice: Notice) -> Checkpoint | None:
    """The newest checkpoint that is whole, if the run has one; damaged ones are told, and put aside.

    Raises Refusal where there are none but damaged ones.
    """
    found, damaged = run.checkpoints.load()
    if damaged and found is None:
        notes = tuple(f"{error.path}: {error.reason}" for error in damaged)
        raise Refusal(
            BrokenRun(f"no checkpoint of {run.folder} is whole", None, notes=notes, help="train it anew, elsewhere")
        )
    for error in damaged:
        notice(f"skipped the checkpoint {error.path.parent}: {error.path.name} is damaged: {error.reason}")
    if damaged:
        with run.writing():
            run.checkpoints.put_aside([error.path.parent for error in damaged])
    return found


def restore(run: Run, spec: TrainSpec, task: Task, loop: Loop, last: Checkpoint) -> None:
    """Goes back to a checkpoint. Raises Refusal where its weights or its state are not those of the spec."""
    load_weights(run, spec, task.instances, last.model)
    try:
        loop.restore(last.state, last.record)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = f"it has nothing for {error}" if isinstance(error, KeyError) else str(error)
        message = f"the state of {run.folder} is not one of this training"
        raise Refusal(BrokenRun(message, None, notes=(reason,))) from error
