"""Names in the emitted source."""

from __future__ import annotations

import keyword

import pytest
import torch

from dlc.compiler.torch.names import MODULE_ATTRIBUTES, RESERVED, identifier, is_attribute, item_name, snake, unused


def test_the_names_that_modules_keep_are_those_of_torch() -> None:
    assert {name for name in dir(torch.nn.Module()) if not name.startswith("_")} <= MODULE_ATTRIBUTES


@pytest.mark.parametrize("name", ["x", "x'", "x''", "lambda", "self", "F", "class", "Größe", "2x", "__secret", "", "…"])
def test_an_identifier_is_one_for_python_and_hides_nothing(name: str) -> None:
    made = identifier(name)
    assert made.isidentifier()
    assert not keyword.iskeyword(made)
    assert made not in RESERVED
    assert not made.startswith("__")


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
