"""The training loop, on a hand-written module."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from dlc.compiler.optimizers import SGD, Adam, AdamW
from dlc.compiler.schedules import ConstantRate, Cosine
from dlc.compiler.settings import Settings
from dlc.runtime.train.batches import Batches
from dlc.runtime.train.loop import EpochEnded, Loop, NonFiniteError, Position, Stepped
from dlc.runtime.train.schedules import factor
from dlc.runtime.train.task import Task, measure


def weights(task: Task) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in task.instances["net"].state_dict().items()}


def same(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def run(loop: Loop) -> list[EpochEnded]:
    return [event for event in loop.events() if isinstance(event, EpochEnded)]


# --- the loop ---------------------------------------------------------------------------------------------------


def test_it_learns(task: Task, settings: Settings) -> None:
    loop = Loop(task, settings, epochs=40)
    epochs = run(loop)
    assert loop.finished
    assert len(epochs) == 40
    assert epochs[-1].parts["valid"]["loss"] < 0.2 * epochs[0].parts["valid"]["loss"]


def test_events_tell_of_each_step_and_epoch(task: Task, settings: Settings) -> None:
    events = list(Loop(task, settings).events())
    kinds = [type(event) for event in events]
    assert kinds == ([Stepped] * 4 + [EpochEnded]) * 4
    assert [event.examples for event in events[:4] if isinstance(event, Stepped)] == [8, 8, 8, 6]
    assert events[-1].position == Position(epoch=4, batch=0, step=16)


def test_the_first_update_is_that_of_pytorch(task: Task, fresh: Callable[..., Task]) -> None:
    loop = Loop(task, Settings(batch="all", epochs=1, optimizer=SGD(lr=0.1)))
    torch.manual_seed(3)
    next(iter(loop.events()))
    other = fresh()
    net = other.instances["net"]
    torch.manual_seed(3)
    other.step(net, lambda loss: loss.backward(), *other.parts["train"].values())
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.sub_(0.1 * parameter.grad)
    for name, value in weights(task).items():
        torch.testing.assert_close(value, net.state_dict()[name])


def test_an_epoch_sees_each_example_once(settings: Settings) -> None:
    seen: list[float] = []

    def step(net: nn.Module, minimize: Callable[[Tensor], None], x: Tensor) -> dict[str, Tensor]:
        seen.extend(x.tolist())
        minimize(net(x[:, None]).mean())
        return {}

    task = Task({"net": nn.Linear(1, 1)}, step, {"train": {"x": torch.arange(30.0)}})
    run(Loop(task, settings, epochs=2))
    first, second = seen[:30], seen[30:]
    assert sorted(first) == sorted(second) == list(map(float, range(30)))
    assert first != second
    assert first != sorted(first)


def test_steps_end_within_an_epoch(task: Task) -> None:
    loop = Loop(task, Settings(batch=8, steps=6))
    epochs = run(loop)
    assert [epoch.position for epoch in epochs] == [Position(1, 0, 4), Position(2, 0, 6)]
    assert loop.finished


def test_reports_are_means_over_examples(settings: Settings) -> None:
    def step(net: nn.Module, minimize: Callable[[Tensor], None], x: Tensor) -> dict[str, Tensor]:
        minimize(net(x[:, None]).mean() * 0)
        return {"mean": x.mean()}

    x = torch.arange(30.0)
    task = Task({"net": nn.Linear(1, 1)}, step, {"train": {"x": x}, "valid": {"x": x + 1}})
    (epoch,) = run(Loop(task, settings, epochs=1))
    assert epoch.parts["train"]["mean"] == pytest.approx(14.5)
    assert epoch.parts["valid"]["mean"] == pytest.approx(15.5)


def test_measuring_changes_nothing(task: Task, settings: Settings) -> None:
    task.instances["net"].train()
    before, state = weights(task), torch.get_rng_state()
    first = measure(task, "valid", settings)
    assert same(before, weights(task))
    assert torch.equal(torch.get_rng_state(), state)
    assert task.instances["net"].training
    assert first == measure(task, "valid", settings)


def test_two_trainings_are_the_same_bit_for_bit(fresh: Callable[..., Task], settings: Settings) -> None:
    found: list[Any] = []
    for _ in range(2):
        task = fresh()
        found.append((run(Loop(task, settings)), weights(task)))
    assert found[0][0] == found[1][0]
    assert same(found[0][1], found[1][1])


@pytest.mark.parametrize("optimizer", [SGD(), SGD(momentum=0.9, nesterov=True), Adam(), AdamW()])
@pytest.mark.parametrize("stop", [0, 3, 4, 5, 13])
def test_going_on_from_any_event_is_the_same_bit_for_bit(fresh: Callable[..., Task], optimizer: Any, stop: int) -> None:
    settings = Settings(batch=8, epochs=4, optimizer=optimizer, schedule=Cosine(warmup=3), seed=5)
    task = fresh()
    whole = list(Loop(task, settings).events())

    first = fresh()
    loop = Loop(first, settings)
    events = loop.events()
    for _ in range(stop):
        next(events)
    held, tensors, record = weights(first), {k: v.clone() for k, v in loop.tensors().items()}, loop.record()

    second = fresh()
    torch.manual_seed(99)
    second.instances["net"].load_state_dict(held)
    again = Loop(second, settings)
    again.restore(tensors, record)
    assert list(again.events()) == whole[stop:]
    assert same(weights(second), weights(task))


# --- losses that are not finite ---------------------------------------------------------------------------------


def test_a_loss_that_is_not_finite_updates_nothing(task: Task, settings: Settings) -> None:
    task.parts["train"]["y"][:] = float("inf")
    before = dict(task.instances["net"].named_parameters())
    held = {name: value.detach().clone() for name, value in before.items()}
    loop = Loop(task, settings)
    with pytest.raises(NonFiniteError) as caught:
        run(loop)
    assert (caught.value.step, caught.value.epoch, caught.value.found.number) == (1, 1, 0)
    assert caught.value.reports == {"error": float("inf")}
    assert loop.position == Position()
    assert all(torch.equal(held[name], value) for name, value in before.items())


def test_nothing_is_updated_after_a_loss_that_is_not_finite(settings: Settings) -> None:
    def step(net: nn.Module, minimize: Callable[[Tensor], None], x: Tensor) -> dict[str, Tensor]:
        minimize(net(x).mean() / 0)
        minimize(net(x).mean())
        return {}

    net = nn.Linear(1, 1)
    held = net.weight.detach().clone()
    with pytest.raises(NonFiniteError):
        run(Loop(Task({"net": net}, step, {"train": {"x": torch.ones(4, 1)}}), settings))
    assert torch.equal(net.weight, held)


def test_a_step_with_two_losses_makes_two_updates() -> None:
    def step(net: nn.Module, minimize: Callable[[Tensor], None], x: Tensor) -> dict[str, Tensor]:
        minimize(net(x).mean())
        minimize(net(x).mean())
        return {}

    net = nn.Linear(1, 1, bias=False)
    start = net.weight.item()
    settings = Settings(batch="all", epochs=1, optimizer=SGD(lr=1.0))
    (epoch,) = run(Loop(Task({"net": net}, step, {"train": {"x": torch.ones(4, 1)}}), settings, epochs=1))
    assert net.weight.item() == pytest.approx(start - 2)
    assert epoch.parts["train"]["loss_1"] == pytest.approx(start)
    assert epoch.parts["train"]["loss_2"] == pytest.approx(start - 1)


# --- batches and rates ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "size", "bounds"),
    [
        (10, 4, [(0, 4), (4, 8), (8, 10)]),
        (8, 4, [(0, 4), (4, 8)]),
        (9, 4, [(0, 4), (4, 9)]),
        (3, 1, [(0, 1), (1, 2), (2, 3)]),
        (1, 4, [(0, 1)]),
        (3, 10, [(0, 3)]),
    ],
)
def test_batches(count: int, size: int, bounds: list[tuple[int, int]]) -> None:
    assert list(Batches(count, size)) == bounds


def test_the_cosine_is_that_of_pytorch() -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=50, eta_min=0.1)
    for step in range(50):
        assert factor(Cosine(final=0.1), step, 50, 10) == pytest.approx(theirs.get_last_lr()[0])
        optimizer.step()
        theirs.step()


def test_a_warmup_leads_up_to_the_rate() -> None:
    assert [factor(ConstantRate(warmup=4), step, 10, 5) for step in range(6)] == [0.25, 0.5, 0.75, 1, 1, 1]
    cosine = [factor(Cosine(warmup=2), step, 6, 3) for step in range(6)]
    assert cosine[:3] == [0.5, 1.0, 1.0]
    assert cosine[3:] == sorted(cosine[3:], reverse=True)


def test_a_warmup_longer_than_the_training() -> None:
    assert [factor(Cosine(warmup=10), step, 3, 3) for step in range(3)] == [0.1, 0.2, 0.3]


def test_the_rate_of_each_step_is_that_of_the_schedule(task: Task, settings: Settings) -> None:
    epochs = run(Loop(task, settings))
    assert [epoch.lr for epoch in epochs] == [
        0.01 * factor(settings.schedule, epoch.position.step - 1, 16, 4) for epoch in epochs
    ]
