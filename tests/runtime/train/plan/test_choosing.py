"""The choice of a plan: what is measured leaves no trace, takes a small share, and is kept where it gains."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import nn

from dlc.compiler.optimizers import AdamW, RMSprop
from dlc.compiler.settings import EMA, Settings
from dlc.runtime.train.loop import EpochEnded, Loop, NonFiniteError
from dlc.runtime.train.plan import choosing, levers
from dlc.runtime.train.plan.choosing import choose
from dlc.runtime.train.plan.levers import FUSED, MEMORY, Lever
from dlc.runtime.train.plan.record import Plan, Trial
from dlc.runtime.train.task import StepError, Task

CPU = torch.device("cpu")
LONG = Settings(batch=8, epochs=400, optimizer=AdamW(lr=0.01), average=EMA(decay=0.9), seed=5)

Fresh = Callable[..., Task]


def chosen(task: Task, settings: Settings = LONG) -> Plan:
    return choose(task, settings, lambda names: Loop(task, settings, fused=FUSED in names), CPU)


def state(task: Task) -> dict[str, torch.Tensor]:
    (net,) = task.instances.values()
    return {name: value.clone() for name, value in net.state_dict().items()}


def lever(name: str, seconds: float, **options: float) -> Lever:
    """One that makes each forward pass of a task so much longer."""

    @contextmanager
    def pulled(task: Task) -> Iterator[None]:
        (net,) = task.instances.values()
        hook = net.register_forward_pre_hook(lambda *_: time.sleep(seconds))
        try:
            yield
        finally:
            hook.remove()

    return Lever(name, lambda task, settings, device: True, pulled, **options)


def with_levers(monkeypatch: pytest.MonkeyPatch, *added: Lever) -> None:
    made = (*(each for each in levers.LEVERS if each.free), *added)
    monkeypatch.setattr(choosing, "LEVERS", made)
    monkeypatch.setattr(levers, "BY_NAME", {each.name: each for each in made})


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measuring is worth while for whatever time there is."""
    monkeypatch.setattr(choosing, "SHARE", 1.0)
    monkeypatch.setattr(choosing, "_LEAST_SECONDS", 0.0)


@pytest.mark.usefixtures("slow")
def test_what_is_learned_is_that_of_a_training_without_measuring(fresh: Fresh) -> None:
    """Weights, averages of batch norms, dropout, the optimiser: to the last bit."""

    def learned(measures: bool) -> tuple[list[object], dict[str, torch.Tensor], torch.Tensor]:
        task = fresh()
        torch.manual_seed(3)
        before, modes = state(task), [part.training for part in task.instances["net"].modules()]
        if measures:
            plan = chosen(task)
            assert plan.tried
            assert plan.steps > 10
            assert [part.training for part in task.instances["net"].modules()] == modes
            assert all(weight.grad is None for weight in task.instances["net"].parameters())
        assert all(value.equal(before[name]) for name, value in state(task).items())
        events = list(Loop(task, LONG, epochs=3).events())
        return events, state(task), torch.get_rng_state()

    plain, measured = learned(False), learned(True)
    assert measured[0] == plain[0]
    assert all(value.equal(plain[1][name]) for name, value in measured[1].items())
    assert measured[2].equal(plain[2])


def test_a_short_training_measures_nothing(task: Task, settings: Settings) -> None:
    def fails(*_: object) -> dict[str, torch.Tensor]:
        raise AssertionError("a step was taken")

    idle = Task(task.instances, fails, task.parts)
    plan = chosen(idle, settings)
    assert (plan.steps, plan.tried, plan.why) == (0, (), choosing.SHORT)
    assert list(plan.levers) == [MEMORY, FUSED]


def test_little_time_is_measured_for_a_training_of_small_steps(task: Task) -> None:
    plan = chosen(task, Settings(batch=8, epochs=130))
    assert (plan.why, plan.tried) == (choosing.SHORT, ())
    assert plan.steps <= 5  # of 520


@pytest.mark.usefixtures("slow")
def test_what_gains_is_taken_and_what_does_not_is_left(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    with_levers(monkeypatch, lever("slower", 0.01), lever("hasty", -0.0, gains=0.0), lever("never", 0.0, gains=1e9))
    plan = chosen(task)
    assert list(plan.levers) == [MEMORY, FUSED, "hasty"]
    tried = {trial.lever: trial for trial in plan.tried}
    assert not tried["slower"].taken
    assert (tried["slower"].speed or 9) < 0.9
    assert not tried["never"].taken
    assert "hasty" in plan.line().partition("; left: ")[0]
    assert "slower 0." in plan.line().partition("; left: ")[2]


@pytest.mark.usefixtures("slow")
def test_levers_that_gain_together_alone_are_found(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    pulled: set[str] = set()

    def flag(name: str) -> Lever:
        @contextmanager
        def set_flag(task: Task) -> Iterator[None]:
            pulled.add(name)
            try:
                yield
            finally:
                pulled.remove(name)

        return Lever(name, lambda task, settings, device: True, set_flag)

    with_levers(monkeypatch, flag("one"), lever("slower", 0.01), flag("other"))
    monkeypatch.setattr(choosing, "TOGETHER", ("one", "other"))
    net = task.instances["net"]
    hook = net.register_forward_pre_hook(lambda *_: time.sleep(0.0 if {"one", "other"} <= pulled else 0.01))
    plan = chosen(task)
    hook.remove()
    assert list(plan.levers) == [MEMORY, FUSED, "one", "other"]
    assert "one with other" in [trial.lever for trial in plan.tried if trial.taken]
    taken, _, left = plan.line().partition("; left: ")
    assert taken.count("one with other") == 1
    assert left.startswith("slower")


def test_measuring_takes_its_share(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a training of 1600 steps of 10 ms it may take 2 %: 0.32 s."""
    with_levers(monkeypatch, *(lever(f"lever {number}", 0.01, gains=1e9) for number in range(6)))
    net = task.instances["net"]
    hook = net.register_forward_pre_hook(lambda *_: time.sleep(0.01))
    plan = chosen(task)
    hook.remove()
    step = plan.seconds / plan.steps
    assert plan.steps * step <= choosing.SHARE * 1600 * step * 1.5
    assert plan.steps <= 48


@pytest.mark.usefixtures("slow")
def test_a_lever_whose_preparation_takes_too_long_is_not_tried(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    with_levers(monkeypatch, lever("compiler", 0.0, gains=0.0, prepares=1e6))
    plan = chosen(task)
    assert "compiler" not in [*plan.levers, *(trial.lever for trial in plan.tried)]


@pytest.mark.usefixtures("slow")
def test_a_lever_that_fails_is_told(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def pulled(task: Task) -> Iterator[None]:
        def fail(*_: object) -> None:
            raise RuntimeError("no such layout\nmore")

        hook = task.instances["net"].register_forward_pre_hook(fail)
        try:
            yield
        finally:
            hook.remove()

    with_levers(monkeypatch, Lever("broken", lambda *_: True, pulled))
    plan = chosen(task)
    assert "broken" not in plan.levers
    assert "broken (no such layout)" in plan.line()


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize("what", ["refuses", "nan"])
def test_a_step_that_fails_is_left_to_the_training(task: Task, what: str) -> None:
    def step(
        net: nn.Module, minimize: Callable[..., None], x: torch.Tensor, y: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        if what == "refuses":
            raise ValueError("too small")
        minimize(net(x).mean() * float("nan"))
        return {}

    task = Task(task.instances, step, task.parts)
    before = state(task)
    plan = chosen(task)
    assert "a step that failed" in (plan.why or "")
    assert all(value.equal(before[name]) for name, value in state(task).items())
    with pytest.raises(StepError if what == "refuses" else NonFiniteError):
        list(Loop(task, LONG).events())


def test_an_optimiser_without_a_fused_form_is_not_said_to_have_one(task: Task) -> None:
    settings = Settings(batch=8, epochs=1, optimizer=RMSprop())
    assert FUSED not in chosen(task, settings).levers


def test_a_plan_is_read_as_it_was_written() -> None:
    plan = Plan(("a", "b"), (Trial("a", 1.5, True), Trial("c", None, False, "odd")), 12, 0.25)
    assert Plan.read(plan.document()) == plan
    assert plan.line() == "plan: a 1.50x, b; left: c (odd); 12 steps tried in 0.2 s"
    assert Plan().line() == "plan: plain"


def test_steps_for_timing_have_no_end(task: Task, settings: Settings) -> None:
    steps = Loop(task, settings, epochs=1).endless()
    taken = [next(steps) for _ in range(11)]
    assert [event.position.step for event in taken] == list(range(1, 12))
    assert not any(isinstance(event, EpochEnded) for event in taken)
    assert taken[-1].position.epoch == 2
