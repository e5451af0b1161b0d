"""What `--set` sets: lets, parameters, dimensions, settings; nothing else."""

import pytest

from .conftest import Specs, operations, types

TEXT = """
let width = 8
let wide = 2 * width

block Half(x: float[N, k], width = 3) -> float[N, width]:
    return x -> linear(width)

model M(x: float[N, d], classes = 10, bias = true, names = [1, 2]) -> float[N, classes]:
    h = x -> linear(wide) -> Half
    return h -> linear(classes, bias=bias)
"""


def test_a_let_and_what_follows_from_it(specs: Specs) -> None:
    assert specs.graph(TEXT, d=4).weights()["linear.weight"].shape[0] == 16
    assert specs.graph(TEXT, d=4, width=32).weights()["linear.weight"].shape[0] == 64


def test_a_let_may_be_set_to_an_expression(specs: Specs) -> None:
    assert specs.graph("let k = 1\n\nmodel M(x: float[N, 4]):\n    return x -> linear(k)\n", k="2 * 3 + 1")


def test_a_models_parameters(specs: Specs) -> None:
    graph = specs.graph(TEXT, d=4, classes=3, bias="false")
    assert types(graph) == ["float[N, 3]"]
    assert "linear_2.bias" not in graph.weights()


def test_a_models_dimensions(specs: Specs) -> None:
    assert types(specs.graph("model M(x: float[N, d]):\n    return x\n", d=7, N=2)) == ["float[2, 7]"]


def test_a_let_that_is_called_as_a_parameter_comes_first(specs: Specs) -> None:
    # `width` is a let of the file and a parameter of Half: the let is set, and the block's parameter is its own.
    assert specs.graph(TEXT, d=4, width=32).weights()["Half.linear.weight"].shape == (3, 64)


@pytest.mark.parametrize(
    ("name", "value", "codes"),
    [
        ("widht", "3", ["DL4009"]),
        ("d", "-1", ["DL4001"]),
        ("d", "2.5", ["DL4001"]),
        ("classes", "x + 1", ["DL4001"]),
        ("width", "[1,", ["DL1003"]),
        ("width", "", ["DL1001"]),
        ("settings.batch", "3", ["DL4009"]),  # there is nothing to train
    ],
)
def test_what_cannot_be_set(specs: Specs, name: str, value: str, codes: list[str]) -> None:
    assert specs.codes(TEXT, {name: value}) == codes


TRAIN = """
model Net(x: float[N, 4], k = 1) -> float[N, k]:
    return x -> linear(k)

data D:
    source = points()
    x: float[4] = data

train T on D:
    net = Net()
    settings:
        epochs = 3
        optimizer = sgd(lr=0.1, momentum=0.5)
    step:
        minimize mean(net(x))
"""


def settings(specs: Specs, **given: str) -> object:
    overrides = {f"settings.{name.replace('__', '.')}": value for name, value in given.items()}
    return specs.program(TRAIN, overrides).trains["T"].settings


def test_settings(specs: Specs) -> None:
    changed = settings(specs, batch="128", seed="7")
    assert (changed.batch, changed.seed, changed.epochs) == (128, 7, 3)  # type: ignore[attr-defined]
    assert settings(specs, batch="all").batch == "all"  # type: ignore[attr-defined]


def test_epochs_and_steps_take_each_others_place(specs: Specs) -> None:
    changed = settings(specs, steps="50")
    assert (changed.epochs, changed.steps) == (None, 50)  # type: ignore[attr-defined]


def test_a_parameter_of_the_optimiser(specs: Specs) -> None:
    optimizer = settings(specs, optimizer__lr="1e-3").optimizer  # type: ignore[attr-defined]
    assert (optimizer.name, optimizer.lr, optimizer.momentum) == ("sgd", 1e-3, 0.5)


def test_another_optimiser(specs: Specs) -> None:
    optimizer = settings(specs, optimizer="adam(lr=0.5)", optimizer__eps="1e-3").optimizer  # type: ignore[attr-defined]
    assert (optimizer.name, optimizer.lr, optimizer.eps) == ("adam", 0.5, 1e-3)


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("settings.bach", "3", "DL5001"),
        ("settings.batch", "0", "DL5002"),
        ("settings.optimizer.momentun", "0.1", "DL2003"),
        ("settings.schedule.warmup", "3", "DL5001"),  # the spec has no schedule
        ("settings.optimizer", "newton()", "DL5002"),
    ],
)
def test_settings_that_cannot_be_set(specs: Specs, name: str, value: str, code: str) -> None:
    assert specs.codes(TRAIN, {name: value}) == [code]


def test_a_let_may_be_a_layer_without_weights(specs: Specs) -> None:
    text = "let act = relu\n\nmodel M(x: float[N, 4]):\n    return x -> act -> linear(3) -> act\n"
    assert operations(specs.graph(text)) == ["relu", "linear", "relu"]
    twice = ["leaky_relu", "tanh", "linear", "leaky_relu", "tanh"]
    assert operations(specs.graph(text, act="leaky_relu(0.2) -> tanh")) == twice
    _, sink = specs.read(text, {"act": "prelu"})
    assert [diagnostic.code for diagnostic in sink] == ["DL4001"]
