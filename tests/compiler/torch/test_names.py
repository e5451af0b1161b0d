"""Names in the emitted source."""

from __future__ import annotations

import keyword

import pytest
import torch

from dlc.compiler.torch.emit import emit_procedure, emit_training
from dlc.compiler.torch.names import MODULE_ATTRIBUTES, RESERVED, identifier, is_attribute, item_name, snake, unused

from .specs import emitted, module, program, run


def test_the_names_that_modules_keep_are_those_of_torch() -> None:
    assert {name for name in dir(torch.nn.Module()) if not name.startswith("_")} <= MODULE_ATTRIBUTES


@pytest.mark.parametrize(
    "name", ["x", "x'", "x''", "lambda", "self", "F", "class", "Größe", "2x", "__secret", "_", "", "…"]
)
def test_an_identifier_is_one_for_python_and_hides_nothing(name: str) -> None:
    made = identifier(name)
    assert made.isidentifier()
    assert not keyword.iskeyword(made)
    assert made not in RESERVED
    assert not made.startswith("__")
    assert made != "_"


def test_a_good_name_stays() -> None:
    assert [identifier(name) for name in ("logits", "y_t", "Größe")] == ["logits", "y_t", "Größe"]


def test_an_attribute_is_what_setattr_and_getattr_agree_on() -> None:
    for name in ("conv", "train", "type", "forward", "lambda"):
        module = torch.nn.Module()
        setattr(module, name, torch.nn.Linear(1, 1))
        works = not keyword.iskeyword(name) and isinstance(getattr(module, name), torch.nn.Linear)
        assert is_attribute(name) == works, name


@pytest.mark.parametrize(
    ("several", "one"),
    [("layers", "layer"), ("boxes", "box"), ("branches", "branch"), ("entries", "entry"), ("mass", "layer"),
     ("stage", "layer"), ("classes", "class_")],
)  # fmt: skip
def test_the_item_of_a_list_is_singular(several: str, one: str) -> None:
    assert item_name(several) == one


def test_functions_are_named_in_lower_case() -> None:
    assert [snake(name) for name in ("Gibbs", "GibbsStep", "UNet", "F")] == ["gibbs", "gibbs_step", "unet", "f"]


def test_a_name_that_is_taken_is_numbered() -> None:
    assert unused("h", {"h", "h2"}) == "h3"
    assert unused("x", {"x"}, "_") == "x_2"
    assert unused("y", {"x"}) == "y"


def test_primes_keywords_and_underscores_are_told_apart() -> None:
    text = """
        model Net(_: float[N], x': float[N], class: float[N]) -> (y: float[N]):
            x_prime = x' * 3 + class
            s = x_prime
            loop 3:
                s = s + _ + x'
            return s - x'
    """
    assert "def forward(self, v_: Tensor, x_prime: Tensor, class_: Tensor)" in emitted(text)
    one, two, three = torch.tensor([1.0]), torch.tensor([2.0]), torch.tensor([3.0])
    torch.testing.assert_close(module(text)(one, two, three), torch.tensor([16.0]))


def test_a_function_that_is_told_of_training_may_have_an_input_of_that_name() -> None:
    checked = program("""
        block Drop(training: float[N, d], training_2: float[N, d]) -> float[N, d]:
            return dropout(training, 0.5) + training_2
        model Net(x: float[N, d]) -> (y: float[N]):
            return x -> linear(1) -> squeeze(1)
        data Houses:
            source = csv("houses.csv")
            features: float[10] = data
            split = (train=0.8, valid=0.2)
        train Prices on Houses:
            net = Net()
            settings:
                epochs = 2
            step:
                minimize mean(net(Drop(features, 2 * features)))
    """)
    names = run(emit_training(checked.trains["Prices"]))
    x, losses = torch.randn(3, 10), []
    net = names["build"]()["net"].eval()
    names["step"](net, losses.append, x)
    torch.testing.assert_close(losses, [net(3 * x).mean()])


def test_names_of_a_step_and_of_fields_do_not_hide_the_functions_of_blocks() -> None:
    checked = program("""
        block Goal(x: float[N, d]) -> float[N]:
            return sum(x, axis=1) * 3
        block Half(x: float[N]) -> float[N]:
            return x / 2
        model Net(x: float[N, d]) -> (y: float[N]):
            return x -> linear(1) -> squeeze(1)
        data Houses:
            source = csv("houses.csv")
            features: float[10] = data
            half: float[] = goal
            split = (train=0.8, valid=0.2)
        train Prices on Houses:
            net = Net()
            settings:
                epochs = 2
            step:
                goal = Goal(features)
                minimize mean(net(features) * goal) + mean(Half(half) * goal)
            price(x: float[N, 10]):
                goal = Goal(x)
                return goal * net(x) + goal
    """)
    train = checked.trains["Prices"]
    names = run(emit_training(train))
    x, half, losses = torch.randn(3, 10), torch.randn(3), []
    net = names["build"]()["net"]
    names["step"](net, losses.append, x, half)
    goal = x.sum(1) * 3
    torch.testing.assert_close(losses, [(net(x) * goal).mean() + (half / 2 * goal).mean()])
    priced = run(emit_procedure(train, "price"))
    torch.testing.assert_close(priced["price"](net, x), goal * net(x) + goal)
