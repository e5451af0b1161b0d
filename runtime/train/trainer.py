"""Training and measuring a run: data, modules, the loop, checkpoints, signals, in this order."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, nullcontext

import torch
from torch import nn

from dlc.compiler.program import Program, TrainSpec
from dlc.compiler.settings import Settings
from dlc.grammar.diagnostics import Refusal
from dlc.grammar.suggest import nearest
from dlc.runtime.data.statistics import save_statistics
from dlc.runtime.errors import BrokenRun, NoDevice, RunExists, RunFinished, UnknownPart
from dlc.runtime.report.write import write_report
from dlc.runtime.train.checkpoint import BrokenCheckpointError, read_tensors
from dlc.runtime.train.data import describe, read_data
from dlc.runtime.train.loop import Loop
from dlc.runtime.train.making import make_task
from dlc.runtime.train.plan.levers import FUSED, pulled
from dlc.runtime.train.plan.of_run import plan_of, recorded, usable
from dlc.runtime.train.plan.record import Plan
from dlc.runtime.train.plan.room import recompute_where_due
from dlc.runtime.train.process import reproducible
from dlc.runtime.train.resuming import Notice, ground, newest, other_processes, require_alike, restore
from dlc.runtime.train.run import Run, weights_file
from dlc.runtime.train.session import Result, Session, Watcher, step_failed
from dlc.runtime.train.task import StepError, Task, measure
from dlc.runtime.train.team import ALONE, Team
from dlc.runtime.train.weights import load_weights, start_from_runs


def _to_stderr(text: str) -> None:
    print(f"note: {text}", file=sys.stderr)


def train(
    spec: TrainSpec,
    program: Program,
    run: Run,
    *,
    epochs: int | None = None,
    resume: bool = False,
    force: bool = False,
    overrides: Mapping[str, str] | None = None,
    quiet: bool = False,
    device: str | None = None,
    notice: Notice = _to_stderr,
    watcher: Watcher | None = None,
    report: bool = True,
    team: Team = ALONE,
) -> Result:
    """Trains a spec in its run, from the start or from the newest whole checkpoint, to the end or until it is
    interrupted.

    epochs: how many in all, in place of what the run was started with. force: goes on even if the spec, the data or
    the number of processes is another than the run was started with, as long as the state fits; the run takes note of
    it. overrides: those that the spec was read with; without any, those of the run. device: as PyTorch names it; by
    default the accelerator where there is one. notice: is told what stops nothing, such as a damaged checkpoint.
    watcher: is called after each step and epoch. report: whether `report.html` is written at the end. team: the
    processes that train together, of which the first writes.
    Raises Refusal: data that does not fit, a loss that is not finite, …
    """
    place = choose_device(device)
    threads = run.config.threads if run.config.processes in (None, team.size) else None
    with run.locked() if team.leads else nullcontext(), reproducible(threads), ExitStack() as stack:
        now = ground(run, program, spec, overrides or run.config.overrides, force=resume and force)
        last = team.lead(lambda: newest(run, notice))
        require_alike(team, run.config.fingerprint, now.data.fingerprint)
        if last is not None and not resume:
            help = "go on with it by --resume, or name another folder"
            raise Refusal(RunExists(f"{run.folder} has been trained already", None, help=help))
        data = now.data.to(place)
        until = run.config.epochs if epochs is None else epochs

        def plan_for(task: Task, settings: Settings) -> Plan:
            def make_loop(levers: Sequence[str]) -> Loop:
                return Loop(task, settings, epochs=until, fused=FUSED in levers)

            return plan_of(run, task, settings, make_loop, place, notice, anew=bool(now.forced))

        plan: Plan | None = None
        if team.size > 1:
            from dlc.runtime.train.several.plan import plan_of_team

            plan = plan_of_team(team, spec.settings, lambda: make_task(spec, data, place), plan_for)
        task = make_task(spec, data, place, team)
        if last is None:
            start_from_runs(spec, task.instances)
        recompute_where_due(spec, task, place, notice)
        if plan is None:
            plan = plan_for(task, spec.settings)
        if team.shards:
            from dlc.runtime.train.several.shards import shard

            shard(spec, task.instances, team)  # pyright: ignore[reportArgumentType]
        stack.enter_context(pulled(plan.levers, task))
        loop = Loop(task, spec.settings, epochs=until, fused=FUSED in plan.levers)
        if last is not None:
            restore(run, spec, task, loop, last)
        if loop.finished:
            raise Refusal(_finished(run, loop))
        if team.leads:
            if not quiet:
                print(plan.line(), flush=True)
            other = other_processes(run, team)
            if other is not None:
                notice(other)
            if now.forced:
                notice(f"forced: {'; '.join(now.forced)}")
                run.adopt(program, spec, now.overrides)
            if epochs is not None and epochs != run.config.epochs:
                run.extend(epochs)
            with run.writing():
                save_statistics(run.folder, data.statistics)
            forced = [f"step {loop.position.step}: {what}" for what in now.forced]
            run.begin(torch.get_num_threads(), team.size, str(place), describe(data), plan.document(), forced)
        result = Session(run, spec, task, loop, last).train(quiet, watcher)
        if result.finished and report and team.leads:
            arrays = {part: examples.arrays() for part, examples in data.parts.items()}
            with run.writing():
                write_report(run, spec, result, arrays, str(place))
        return result


def evaluate(
    run: Run,
    part: str,
    *,
    device: str | None = None,
    prepare: Callable[[Mapping[str, nn.Module]], None] | None = None,
    notice: Notice = _to_stderr,
) -> dict[str, float]:
    """The means of what a run's step reports over a part of its data. Raises Refusal.

    prepare: is handed the instances, with their weights, before anything is measured.
    """
    spec = run.spec
    place = choose_device(device)
    if part not in spec.data.split:
        near = nearest(part, spec.data.split)
        help = f"did you mean `{near}`?" if near else f"its parts are {', '.join(spec.data.split)}"
        raise Refusal(UnknownPart(f"the data {spec.data.name} has no part `{part}`", None, help=help))
    path = weights_file(run)
    with reproducible(run.config.threads):
        data = read_data(run, spec).to(place)
        task = make_task(spec, data, place)
        try:
            tensors = read_tensors(path)
        except BrokenCheckpointError as error:
            raise Refusal(BrokenRun(f"{path} cannot be read", None, notes=(error.reason,))) from error
        load_weights(run, spec, task.instances, tensors)
        if prepare is not None:
            prepare(task.instances)
        plan = usable(recorded(run, spec.settings) or Plan(), task, spec.settings, place, notice)
        try:
            with pulled(plan.levers, task):
                return measure(task, part, spec.settings)
        except StepError as error:
            raise Refusal(step_failed(spec, f"measuring the part {part}", error)) from error


def choose_device(name: str | None) -> torch.device:
    """The device of that name; without one the accelerator, or else the processor. Raises Refusal."""
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise Refusal(NoDevice(f"there is no device {name} here", None, notes=(reason,))) from error
    return device


def _finished(run: Run, loop: Loop) -> RunFinished:
    done = loop.position
    message = f"{run.folder} is finished: it has been trained for {done.epoch} epochs, {done.step} steps"
    if loop.stopped:
        told = f"it ended early, for nothing was better after epoch {loop.best}"
        help = "--force with another stop_early in the spec, or by --set settings.stop_early.patience=…, goes on"
        return RunFinished(message, None, notes=(told,), help=help)
    return RunFinished(message, None, help=f"--epochs {done.epoch * 2} goes on to twice as many")
