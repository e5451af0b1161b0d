"""A training step and a data source's fields, run."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from dlc.compiler.torch.emit import emit_fields, emit_training

from .specs import body, program, run

SPEC = """
    model Net(features: float[N, d]) -> (guess: float[N]):
        return features -> linear(16) -> dropout(0.5) -> linear(1) -> squeeze(1)
    data Houses:
        source = csv("houses.csv")
        features: float[10] = data / 16
        price: float[] = goal
        split = (train=0.8, valid=0.2)
    train Prices on Houses:
        net = Net()
        settings:
            epochs = 2
        step:
            {step}
"""


def training(*step: str) -> tuple[str, dict[str, Any]]:
    checked = program(SPEC.replace("{step}", "\n            ".join(step)))
    source = emit_training(checked.trains["Prices"])
    return source, run(source)


def test_a_step_minimises_and_reports() -> None:
    _, names = training(
        "guess = net(features)", "minimize mean((guess - price) ** 2)", "report error = mean(abs(guess - price))"
    )
    instances = names["build"]()
    net = instances["net"].eval()
    features, price = torch.randn(8, 10), torch.randn(8)
    losses: list[Tensor] = []
    reports = names["step"](net, losses.append, features, price)
    guess = net(features)
    torch.testing.assert_close(losses, [((guess - price) ** 2).mean()])
    torch.testing.assert_close(reports, {"error": (guess - price).abs().mean()})
    losses[0].backward()
    assert all(weight.grad is not None for weight in net.parameters())


def test_what_is_reported_before_an_update_is_measured_before_it() -> None:
    error = "mean(abs(net(features) - price))"
    source, names = training(
        f"report before = {error}", "minimize mean((net(features) - price) ** 2)", f"report after = {error}"
    )
    net = names["build"]()["net"].eval()
    features, price = torch.randn(8, 10), torch.randn(8)

    def shrink(loss: Tensor) -> None:
        with torch.no_grad():
            for weight in net.parameters():
                weight.zero_()

    before = (net(features) - price).abs().mean()
    reports = names["step"](net, shrink, features, price)
    assert list(reports) == ["before", "after"]
    torch.testing.assert_close(reports["before"], before)
    torch.testing.assert_close(reports["after"], price.abs().mean())
    assert body(source, "step").startswith("before = ")


def test_a_value_that_waits_is_computed_before_the_weights_change() -> None:
    _, names = training(
        "old = net(features)", "minimize mean((net(features) - price) ** 2)", "report moved = mean(old - net(features))"
    )
    net = names["build"]()["net"].eval()
    features = torch.randn(4, 10)

    def shrink(loss: Tensor) -> None:
        with torch.no_grad():
            for weight in net.parameters():
                weight.zero_()

    old = net(features).mean()
    torch.testing.assert_close(names["step"](net, shrink, features, torch.zeros(4)), {"moved": old})


def test_a_step_takes_every_field_in_order() -> None:
    source, _ = training("minimize mean(net(features) ** 2)")
    assert (
        "def step(\n    net: nn.Module, minimize: Callable[[Tensor], None], features: Tensor, price: Tensor\n" in source
    )
    assert body(source, "step") == "minimize((net(features) ** 2).mean())\nreturn {}"


def test_fields_are_functions_of_one_example() -> None:
    data = program("""
        data Digits:
            source = sklearn("digits")
            image: float[1, 8, 8] = images / 16
            label: int[] < 10 = target
            split = (train=0.8, valid=0.2)
    """).data["Digits"]
    names = run(emit_fields(data))
    images = torch.rand(5, 8, 8)
    torch.testing.assert_close(torch.vmap(names["image"])(images), images[:, None] / 16)
    assert names["label"](torch.tensor(3)) == 3
