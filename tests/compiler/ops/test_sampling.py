"""Random operations: where their draws lie, and what they refuse; dropout in training."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from dlc.compiler.op import operations

from .refusals import example, refusal
from .targets import Onnx, Torch

OPS = operations()


def draws(target: str, name: str, *inputs: Any, arrays: tuple[Any, ...] = (), **static: Any) -> np.ndarray[Any, Any]:
    case = example(OPS[name], *inputs, **static)
    if target == "torch":
        return Torch(case)(arrays)[0].numpy()
    return Onnx(case, {})(arrays)[0]


both = pytest.mark.parametrize("target", ["torch", "onnx"])


@both
def test_normal_has_its_mean_and_deviation(target: str) -> None:
    values = draws(target, "normal", shape=(40, 500), mean=2.0, std=0.5)
    assert values.mean() == pytest.approx(2, abs=0.05)
    assert values.std() == pytest.approx(0.5, abs=0.05)


@both
def test_uniform_fills_its_interval(target: str) -> None:
    values = draws(target, "uniform", shape=(20000,), low=-5.0, high=5.0)
    assert -5 <= values.min() < -4.9
    assert 4.9 < values.max() <= 5
    assert values.mean() == pytest.approx(0, abs=0.2)


@both
def test_like_follows_its_parameters(target: str) -> None:
    blank = np.zeros((20000,), np.float32)
    values = draws(target, "normal_like", "20000", arrays=(blank,), mean=-1.0, std=2.0)
    assert (values.mean(), values.std()) == (pytest.approx(-1, abs=0.1), pytest.approx(2, abs=0.1))
    values = draws(target, "uniform_like", "20000", arrays=(blank,), low=0.5, high=1.5)
    assert (values.min(), values.max()) == (pytest.approx(0.5, abs=0.01), pytest.approx(1.5, abs=0.01))


@both
def test_bernoulli_of_a_number_and_of_a_tensor(target: str) -> None:
    assert draws(target, "bernoulli", shape=(20000,), p=0.3).mean() == pytest.approx(0.3, abs=0.02)
    shares = np.repeat(np.array([[0.0], [0.25], [1.0]], np.float32), 8000, axis=1)
    values = draws(target, "bernoulli", "3 8000", arrays=(shares,))
    assert set(np.unique(values)) == {0.0, 1.0}
    np.testing.assert_allclose(values.mean(axis=1), [0, 0.25, 1], atol=0.03)


@both
def test_randint_draws_every_int_alike(target: str) -> None:
    counts = np.bincount(draws(target, "randint", shape=(70, 100), below=7).ravel(), minlength=7)
    assert len(counts) == 7
    np.testing.assert_allclose(counts / 7000, 1 / 7, atol=0.02)


@both
def test_categorical_follows_the_weights(target: str) -> None:
    weights = np.array([1, 0, 3, 4], np.float32)
    counts = np.bincount(draws(target, "categorical", "4", arrays=(weights,), shape=(80, 100)).ravel(), minlength=4)
    np.testing.assert_allclose(counts / 8000, [1 / 8, 0, 3 / 8, 4 / 8], atol=0.03)
    rows = np.array([[0, 1], [2, 0], [1, 1]], np.float32)
    values = draws(target, "categorical", "3 2", arrays=(rows,), shape=(4000,))
    np.testing.assert_allclose(values.mean(axis=1), [1, 0, 0.5], atol=0.05)


@both
def test_permutation_has_each_int_once(target: str) -> None:
    assert sorted(draws(target, "permutation", n=50)) == list(range(50))


def test_dropout_in_training() -> None:
    torch.manual_seed(0)
    ones = np.ones((200, 50, 4), np.float32)
    for name, axes in (("dropout", ()), ("spatial_dropout", (2,)), ("drop_path", (1, 2))):
        case = example(OPS[name], "200 50 4", p=0.25)
        network = Torch(case)
        np.testing.assert_array_equal(network([ones])[0].numpy(), ones)
        network.module.train()
        values = network([ones])[0].numpy()
        assert set(np.unique(values)) == {0.0, np.float32(4 / 3)}
        assert (values == 0).mean() == pytest.approx(0.25, abs=0.08)
        if axes:  # what is dropped is dropped whole
            assert (values.max(axis=axes) == values.min(axis=axes)).all()


@pytest.mark.parametrize(
    ("name", "inputs", "static", "argument", "words"),
    [
        ("normal", (), {"shape": (-1,)}, "shape", "not negative"),
        ("normal", (), {"shape": (2,), "std": -1.0}, "std", "not negative"),
        ("uniform", (), {"shape": (2,), "low": 2.0}, "low", "above high"),
        ("randint", (), {"shape": (2,), "below": 0}, "below", "at least 1"),
        ("bernoulli", ("N",), {"p": 0.5}, "p", "a tensor"),
        ("bernoulli", ("int N",), {}, "p", "must be float"),
        ("categorical", ("",), {}, "weights", "0 axes"),
        ("normal_like", ("int N",), {}, "x", "must be float"),
        ("dropout", ("int N",), {}, "x", "must be float"),
        ("spatial_dropout", ("N C",), {}, "x", "1 to 3 spatial"),
        ("drop_path", ("",), {}, "x", "0 axes"),
        ("fill", (), {"shape": (2,)}, None, "no value"),
        ("fill", ("N",), {"shape": (2,)}, "value", "1 axis"),
        ("arange", (), {"a": 5, "b": 2}, "b", "no way from 5 to 2"),
        ("arange", (), {"a": 5, "step": 0}, "step", "never reached"),
        ("zeros", (), {"shape": (2, -1)}, "shape", "not negative"),
    ],
)
def test_refuses(name: str, inputs: tuple[str, ...], static: dict[str, Any], argument: str, words: str) -> None:
    error = refusal(OPS[name], *inputs, **static)
    assert error.argument == argument
    assert words in error.message


def test_probabilities_lie_between_0_and_1() -> None:
    for name in ("dropout", "drop_path", "spatial_dropout", "bernoulli"):
        with pytest.raises(ValueError, match="p"):
            OPS[name](p=1.5)
