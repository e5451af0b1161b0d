"""Learning rates against PyTorch's schedulers, and what a plateau and an early stop go by."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from dlc.compiler.optimizers import SGD
from dlc.compiler.schedules import (
    ConstantRate,
    Cosine,
    Exponential,
    Inverse,
    Linear,
    OneCycle,
    Plateau,
    Schedule,
    StepRate,
)
from dlc.compiler.settings import Settings, StopEarly
from dlc.runtime.train.loop import EpochEnded, Loop
from dlc.runtime.train.schedules import factor
from dlc.runtime.train.task import Task

STEPS, EPOCH = 60, 5
THEIRS: list[tuple[Schedule, bool, Callable[[Any], Any]]] = [
    (Cosine(final=0.1), True, lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, T_max=STEPS, eta_min=0.1)),
    (
        Linear(final=0.2),
        True,
        lambda o: torch.optim.lr_scheduler.LinearLR(o, start_factor=1, end_factor=0.2, total_iters=STEPS),
    ),
    (StepRate(every=3, factor=0.5), False, lambda o: torch.optim.lr_scheduler.StepLR(o, step_size=3, gamma=0.5)),
    (Exponential(factor=0.9), False, lambda o: torch.optim.lr_scheduler.ExponentialLR(o, gamma=0.9)),
    (
        Inverse(scale=1, power=0.5),
        True,
        lambda o: torch.optim.lr_scheduler.LambdaLR(o, lambda step: (1 + step) ** -0.5),
    ),
]


@pytest.mark.parametrize(("schedule", "each_step", "make"), THEIRS)
def test_schedules_are_those_of_pytorch(schedule: Schedule, each_step: bool, make: Callable[[Any], Any]) -> None:
    """Some of PyTorch's are told of each step, some of each epoch."""
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = make(optimizer)
    for step in range(0, STEPS, 1 if each_step else EPOCH):
        assert factor(schedule, step, STEPS, EPOCH) == pytest.approx(theirs.get_last_lr()[0])
        optimizer.step()
        theirs.step()


def test_one_cycle_is_that_of_pytorch() -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0, momentum=0.9)
    theirs = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=1.0, total_steps=101, pct_start=0.31)
    # PyTorch's rise ends a step before its share, and its last step is the end itself.
    rates = [factor(OneCycle(rise=0.3, initial=0.04, final=4e-6), step, 100, EPOCH) for step in range(101)]
    for rate in rates:
        assert rate == pytest.approx(theirs.get_last_lr()[0], abs=0.02)
        optimizer.step()
        if theirs.last_epoch < 100:
            theirs.step()
    assert rates[0] == pytest.approx(0.04)
    assert max(rates) == pytest.approx(1)
    assert rates[-1] == pytest.approx(4e-6)


def test_the_inverse_of_the_transformer() -> None:
    """Vaswani and others, 2017, equation 3, relative to its peak."""
    peak = 10**-0.5
    for step in range(200):
        number = step + 1
        due = min(number**-0.5, number * 10**-1.5) / peak
        # Theirs counts the peak as the last step of the warmup, ours as the first after it too.
        found = factor(Inverse(warmup=10), step, 200, EPOCH)
        assert found == pytest.approx(due if number <= 10 else (step / 10) ** -0.5)


def test_exponential_falls_within_an_epoch_too() -> None:
    rates = [factor(Exponential(factor=0.5), step, STEPS, EPOCH) for step in range(6)]
    assert rates == sorted(rates, reverse=True)
    assert rates[5] == pytest.approx(0.5)


@pytest.mark.parametrize("kind", [StepRate(every=1, warmup=4), Linear(warmup=4), OneCycle(warmup=4), Plateau(warmup=4)])
def test_each_has_a_warmup(kind: Schedule) -> None:
    assert [factor(kind, step, STEPS, EPOCH) for step in range(4)] == [0.25, 0.5, 0.75, 1]


# --- what is measured -------------------------------------------------------------------------------------------


def measured(values: list[float], **changes: Any) -> list[EpochEnded]:
    """A training of a step an epoch, in which these values are measured."""
    left = iter(values)

    def step(net: nn.Module, minimize: Callable[[Tensor], None], x: Tensor) -> dict[str, Tensor]:
        minimize(net(x).mean())
        return {}

    def evaluate(net: nn.Module, x: Tensor) -> dict[str, Tensor]:
        return {"score": torch.tensor(next(left))}

    fields = {"x": torch.ones(4, 1)}
    task = Task({"net": nn.Linear(1, 1)}, step, {"train": fields, "valid": fields}, evaluate=evaluate)
    loop = Loop(task, Settings(batch="all", epochs=len(values), optimizer=SGD(lr=1.0), **changes))
    return [event for event in loop.events() if isinstance(event, EpochEnded)]


@pytest.mark.parametrize("patience", [0, 1, 2])
@pytest.mark.parametrize("better", ["less", "more"])
def test_a_plateau_is_that_of_pytorch(patience: int, better: Any) -> None:
    values = [5.0, 4.0, 4.5, 4.0, 4.2, 3.0, 3.5, 3.2, float("nan"), 3.1, 2.0, 2.0, 2.0, 2.0, 2.0]
    values = values if better == "less" else [-value for value in values]
    choice = Plateau(factor=0.5, patience=patience, on="valid score", better=better)
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, "min" if better == "less" else "max", factor=0.5, patience=patience, threshold=0
    )
    due: list[float] = []
    for value in values:
        due.append(optimizer.param_groups[0]["lr"])
        theirs.step(value)
    assert [epoch.lr for epoch in measured(values, schedule=choice)] == due
    assert due[-1] < 1


def test_an_early_stop() -> None:
    values = [5.0, 4.0, 4.5, 3.0, 3.5, 3.2, 3.1, 2.0, 1.0]
    epochs = measured(values, stop_early=StopEarly(patience=3, on="valid score"))
    assert [epoch.stopped for epoch in epochs] == [False] * 6 + [True]
    assert len(measured(values, stop_early=StopEarly(patience=4, on="valid score"))) == 9
    assert len(measured(values, stop_early=StopEarly(patience=3, on="valid score", least=1.0))) == 7
    assert len(measured(values, stop_early=StopEarly(patience=2, on="valid score", better="more"))) == 3


def test_constant() -> None:
    assert factor(ConstantRate(), 59, STEPS, EPOCH) == 1
