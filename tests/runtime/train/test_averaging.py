"""Averages of weights: against their formulas and PyTorch's, measured and saved in place of the weights."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, update_bn

from dlc.compiler.optimizers import SGD
from dlc.compiler.settings import EMA, SWA, Settings
from dlc.runtime.train.loop import EpochEnded, Loop, Stepped
from dlc.runtime.train.task import Task


def step(net: nn.Module, minimize: Callable[[Tensor], None], x: Tensor) -> Mapping[str, Tensor]:
    minimize(net(x).square().mean())
    return {"weight": net.get_parameter("1.weight").detach()[0, 0]}


def data() -> Tensor:
    return torch.randn(16, 3, generator=torch.Generator().manual_seed(0)) + 1


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 1))


def made(**changes: Any) -> tuple[Loop, nn.Module]:
    net = network()
    fields = {"x": data()}
    task = Task({"net": net}, step, {"train": fields, "valid": fields})
    given: dict[str, Any] = {"batch": 4, "epochs": 5, "optimizer": SGD(lr=0.05), **changes}
    return Loop(task, Settings(**given)), net


def state(net: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in net.state_dict().items()}


def followed(**changes: Any) -> tuple[list[dict[str, Tensor]], dict[str, Tensor]]:
    """The weights after each step, and their average after the last."""
    loop, net = made(**changes)
    seen: list[dict[str, Tensor]] = []
    for event in loop.events():
        if isinstance(event, Stepped):
            seen.append(state(net))
    with loop.shown():
        average = state(net)
    assert all(torch.equal(value, seen[-1][name]) for name, value in net.state_dict().items())
    return seen, average


def test_an_exponential_average_has_the_shares_that_it_says() -> None:
    seen, average = followed(average=EMA(decay=0.8))
    shares = torch.tensor([0.8 ** (len(seen) - 1 - place) for place in range(len(seen))], dtype=torch.float64)
    shares /= shares.sum()
    for name in ("0.weight", "0.bias", "1.weight", "1.bias"):
        due = sum(share * weights[name].double() for share, weights in zip(shares, seen, strict=True))
        torch.testing.assert_close(average[name].double(), due, rtol=1e-5, atol=1e-6)


def test_a_mean_of_the_last_updates_is_that_of_pytorch() -> None:
    seen, average = followed(average=SWA(start=0.5))
    net = nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 1))
    theirs = AveragedModel(net, use_buffers=True)
    for weights in seen[10:]:
        net.load_state_dict(weights)
        theirs.update_parameters(net)
    for name, value in theirs.module.named_parameters():
        torch.testing.assert_close(average[name], value.detach())


@pytest.mark.parametrize("average", [EMA(decay=0.8), SWA(start=0.5)])
def test_batch_norms_have_the_statistics_that_pytorch_measures(average: EMA | SWA) -> None:
    """After every epoch, as `update_bn` does, which passes the batches of the training part."""
    loop, net = made(average=average)
    epochs = 0
    for event in loop.events():
        if isinstance(event, Stepped) or (isinstance(average, SWA) and event.position.epoch < 3):
            continue
        epochs += 1
        with loop.shown():
            shown = state(net)
        theirs = nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 1))
        theirs.load_state_dict(shown)
        update_bn(data().split(4), theirs)
        for name, value in theirs.state_dict().items():
            torch.testing.assert_close(shown[name], value, rtol=0, atol=0)
    assert epochs >= 3


def test_measuring_statistics_leaves_random_draws_and_assigned_weights_alone() -> None:
    drawn: list[Tensor] = []

    def assigning(net: nn.Module, minimize: Callable[[Tensor], None], x: Tensor) -> Mapping[str, Tensor]:
        minimize(net(x + 0.1 * torch.randn_like(x)).square().mean())
        if net.training:
            drawn.append(torch.randn(1))
            with torch.no_grad():
                net.get_parameter("1.bias").add_(1)
        return {}

    def draws(average: SWA | None) -> tuple[list[Tensor], dict[str, Tensor]]:
        drawn.clear()
        net = network()
        task = Task({"net": net}, assigning, {"train": {"x": data()}}, assigns=True)
        loop = Loop(task, Settings(batch=4, epochs=3, optimizer=SGD(lr=0.05), average=average))
        list(loop.events())
        return list(drawn), state(net)

    (first, plain), (second, averaged) = draws(None), draws(SWA(start=0.0))
    assert len(first) == len(second) == 12
    assert all(map(torch.equal, first, second))
    assert all(torch.equal(plain[name], averaged[name]) for name in plain)


def test_it_can_be_trained_on_after_statistics_were_measured() -> None:
    loop, net = made(average=SWA(start=0.0), epochs=1)
    list(loop.events())
    assert all(part.training for part in net.modules())
    assert net.get_submodule("0").momentum == 0.1


def test_accumulated_steps_are_one_update() -> None:
    seen, average = followed(average=SWA(start=0.0), accumulate=2)
    due = torch.stack([weights["1.weight"] for weights in seen[1::2]]).mean(0)
    torch.testing.assert_close(average["1.weight"], due)


def test_it_is_measured_in_place_of_the_weights() -> None:
    loop, net = made(average=SWA(start=0.0), epochs=1)
    (epoch,) = [event for event in loop.events() if isinstance(event, EpochEnded)]
    with loop.shown():
        average = float(net.state_dict()["1.weight"][0, 0])
    assert epoch.parts["valid"]["weight"] == pytest.approx(average)
    assert float(net.state_dict()["1.weight"][0, 0]) != pytest.approx(average)


def test_before_its_start_the_weights_stand_for_it() -> None:
    loop, net = made(average=SWA(start=0.9))
    events = loop.events()
    next(events)
    before = state(net)
    with loop.shown():
        assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert not any(name.startswith("own.") for name in loop.tensors())
