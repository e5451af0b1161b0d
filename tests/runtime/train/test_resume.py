"""Whatever a training keeps beside its weights, going on from any of its moments gives the same to the last bit.

Every state goes through the files of a checkpoint. With DLC_LONG=1 in the environment each training is cut at every
one of its events.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from dlc.compiler import optimizers, schedules
from dlc.compiler.settings import EMA, SWA, Settings, StopEarly
from dlc.runtime.emitted import load_module
from dlc.runtime.seeds import seed_torch
from dlc.runtime.train.checkpoint import Checkpoint, Checkpoints
from dlc.runtime.train.loop import EpochEnded, Loop
from dlc.runtime.train.task import Task

TEXT = """
import torch
import torch.nn.functional as F
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Linear(3, 8)
        self.norm = nn.BatchNorm1d(8)
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        return self.head(F.dropout(self.norm(self.body(x)).relu(), 0.2, self.training))


def build():
    return {"net": Net(), "other": Net()}


def plain(net, other, minimize, x, y):
    guess = net(x).mean(dim=1)
    minimize(F.mse_loss(guess, y) + 0.01 * other.head.weight.square().sum())
    return {"error": (guess - y).abs().mean()}


def gan(net, other, minimize, x, y):
    fake = net(torch.randn_like(x))
    minimize(F.softplus(-other(x)).mean() + F.softplus(other(fake.detach())).mean(), over=[other])
    minimize(F.softplus(-other(fake)).mean(), over=[net], using="sgd(lr=0.05, momentum=0.5)")
    return {}


def shared(net, other, minimize, x, y):
    h = other(net(x))
    minimize(h.square().mean(), over=[net.head, net.body.bias])
    minimize(net(x).square().mean(), over=[net.head, net.body.bias], using="sgd(lr=0.05, momentum=0.5)")
    return {"h": h.mean()}


def assigned(net, other, minimize, x, y):
    guess = net(x).mean(dim=1)
    minimize(F.mse_loss(guess, y), over=[net])
    if net.training:
        with torch.no_grad():
            for ours, theirs in zip(other.parameters(), net.parameters()):
                ours.copy_(0.9 * ours + 0.1 * theirs + 0.01 * torch.randn_like(ours))
    return {"lag": (other.head.weight - net.head.weight).abs().mean().detach()}


def hebbian(net, other, minimize, x, y):
    if net.training:
        with torch.no_grad():
            net.body.weight.copy_(0.9 * net.body.weight + torch.randn(8, len(x)) @ x / len(x))
    return {"size": net.body.weight.square().sum().detach()}


def maml(net, other, minimize, x, y):
    weights = dict(other.named_parameters())
    for _ in range(2):
        loss = F.mse_loss(torch.func.functional_call(other, weights, (x,)).mean(dim=1), y)
        gradients = torch.autograd.grad(loss, list(weights.values()), create_graph=True)
        weights = {name: w - 0.1 * g for (name, w), g in zip(weights.items(), gradients)}
    minimize(F.mse_loss(torch.func.functional_call(other, weights, (x,)).mean(dim=1), y), over=[other])
    return {}
"""

USING = {"sgd(lr=0.05, momentum=0.5)": optimizers.SGD(lr=0.05, momentum=0.5)}
STOP = StopEarly(patience=2, on="valid error")
ADAMW = optimizers.AdamW(lr=0.01)


def made(step: str, precision: str) -> Task:
    """A task with fresh weights, the same each time."""
    seed_torch(0)
    x = torch.randn(40, 3)
    y = x @ torch.tensor([1.0, -2.0, 0.5])
    parts = {"train": {"x": x[:29], "y": y[:29]}, "valid": {"x": x[29:], "y": y[29:]}}
    module = load_module("Resumed", TEXT)
    several = step in ("gan", "shared", "maml")
    return Task(
        module.build(),
        getattr(module, step),
        parts,
        using=USING,
        differentiates=step == "maml",
        keep_graph=several,
        assigns=step in ("assigned", "hebbian"),
        precision=precision,
    )


CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "gan": ("gan", {"optimizer": optimizers.Adam(lr=0.01, betas=(0.5, 0.999))}),
    "gan accumulated": ("gan", {"accumulate": 3, "average": EMA(decay=0.9)}),
    "two optimisers of one part": ("shared", {}),
    "ema": ("plain", {"average": EMA(decay=0.9)}),
    "swa": ("plain", {"average": SWA(start=0.5)}),
    "accumulated": ("plain", {"accumulate": 3, "clip_norm": 1.0}),
    "clipped": ("plain", {"clip_norm": 0.1, "clip_value": 0.05}),
    "plateau": ("plain", {"schedule": schedules.Plateau(patience=0, factor=0.5, warmup=3), "epochs": 6}),
    "stopped early": ("plain", {"stop_early": STOP, "epochs": 30}),
    "stopped early, averaged": ("plain", {"stop_early": STOP, "average": EMA(decay=0.9), "epochs": 30}),
    "best of all": ("plain", {"stop_early": StopEarly(patience=99, on="valid error"), "average": SWA(start=0.5)}),
    "assigned and averaged": ("assigned", {"average": SWA(start=0.3)}),
    "assigned": ("assigned", {}),
    "hebbian": ("hebbian", {"average": EMA(decay=0.5)}),
    "maml": ("maml", {"accumulate": 2}),
    "rates": ("plain", {"rates": (("net.body", 0.1), ("net", 2.0))}),
    "not shuffled": ("plain", {"shuffle": False}),
    "bf16": ("plain", {"precision": "bf16"}),
    "steps": ("plain", {"steps": 10, "epochs": None, "accumulate": 4}),
    **{
        name: ("plain", {"optimizer": choice()})
        for name, choice in optimizers.Optimizer.choices().items()
        if name not in ("adamw", "lbfgs")
    },
    "sgd with momentum": ("plain", {"optimizer": optimizers.SGD(momentum=0.9, nesterov=True)}),
    "rmsprop centred": ("plain", {"optimizer": optimizers.RMSprop(centered=True, momentum=0.9)}),
    "lbfgs": ("plain", {"optimizer": optimizers.LBFGS(iterations=4), "batch": "all"}),
}


def settings_of(changes: Mapping[str, Any]) -> Settings:
    given: dict[str, Any] = {"batch": 8, "epochs": 3, "optimizer": ADAMW, "seed": 5, **changes}
    return Settings(**{name: value for name, value in given.items() if value is not None})


def weights(task: Task) -> dict[str, Tensor]:
    return {
        f"{n}.{name}": value.clone() for n, net in task.instances.items() for name, value in net.state_dict().items()
    }


def put(task: Task, state: Mapping[str, Tensor]) -> None:
    for name, net in task.instances.items():
        net.load_state_dict({key.removeprefix(f"{name}."): v for key, v in state.items() if key.startswith(f"{name}.")})


def saved(task: Task, loop: Loop, folder: Path) -> None:
    tensors = loop.tensors()
    with loop.shown():
        Checkpoints(folder).save(Checkpoint(weights(task), tensors, loop.record()))


def shown(task: Task, loop: Loop) -> dict[str, Tensor]:
    with loop.shown():
        return {**weights(task), **loop.tensors()}


def moments(count: int) -> list[int]:
    return list(range(count + 1)) if os.environ.get("DLC_LONG") else sorted({0, 1, 2, 5, count // 2, count - 1, count})


@pytest.mark.parametrize("name", CASES)
def test_going_on_is_the_same_bit_for_bit(name: str, tmp_path: Path) -> None:
    step, changes = CASES[name]
    settings = settings_of(changes)
    task = made(step, settings.precision)
    loop = Loop(task, settings)
    whole = list(loop.events())
    end, own = shown(task, loop), weights(task)
    assert not all(torch.equal(value, weights(made(step, settings.precision))[key]) for key, value in own.items())

    for stop in moments(len(whole)):
        first = made(step, settings.precision)
        cut = Loop(first, settings)
        events = cut.events()
        for _ in range(stop):
            next(events)
        saved(first, cut, tmp_path / str(stop))

        seed_torch(1234)
        second = made(step, settings.precision)
        again = Loop(second, settings)
        checkpoint, _ = Checkpoints(tmp_path / str(stop)).load()
        assert checkpoint is not None
        put(second, checkpoint.model)
        again.restore(checkpoint.state, checkpoint.record)
        assert list(again.events()) == whole[stop:]
        after, mine = shown(second, again), weights(second)
        assert after.keys() == end.keys()
        assert [key for key in end if not torch.equal(after[key], end[key])] == []
        assert [key for key in own if not torch.equal(mine[key], own[key])] == []


def test_what_is_kept_is_needed(tmp_path: Path) -> None:
    """The test above would see it if the gradients that wait were lost."""
    settings = settings_of({"accumulate": 3})
    whole = list(Loop(made("plain", "fp32"), settings).events())
    task = made("plain", "fp32")
    loop = Loop(task, settings)
    events = loop.events()
    for _ in range(2):
        next(events)
    record = loop.record()
    assert record["descent"]["groups"][0]["gathered"]
    record["descent"]["groups"][0]["gathered"] = {}
    again = Loop(task, settings)
    again.restore({key: value.clone() for key, value in loop.tensors().items()}, record)
    assert [event for event in again.events() if isinstance(event, EpochEnded)] != [
        event for event in whole if isinstance(event, EpochEnded)
    ]


def test_an_optimiser_is_one_for_each_part_and_each_using() -> None:
    task = made("gan", "fp32")
    loop = Loop(task, settings_of({}))
    next(iter(loop.events()))
    groups = loop.record()["descent"]["groups"]
    assert [group["using"] for group in groups] == [None, "sgd(lr=0.05, momentum=0.5)"]
    assert {name.partition(".")[0] for name in groups[0]["weights"]} == {"other"}
    assert {name.partition(".")[0] for name in groups[1]["weights"]} == {"net"}
