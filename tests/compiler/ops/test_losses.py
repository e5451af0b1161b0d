"""Losses and penalties: against scikit-learn, torch.distributions and torch.nn, and what they refuse."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sklearn import metrics
from torch import nn

from dlc.compiler.op import operations

from .refusals import evaluate, example, refusal
from .targets import Torch

OPS = operations()


def loss(name: str, inputs: tuple[str, ...], *tensors: torch.Tensor, **static: Any) -> torch.Tensor:
    return evaluate(example(OPS[name], *inputs, **static), *tensors)


def test_cross_entropy_is_log_loss() -> None:
    logits, target = torch.randn(20, 5), torch.randint(5, (20,))
    weight = torch.rand(5) + 0.1
    expected = metrics.log_loss(target, logits.double().softmax(1), labels=range(5))
    assert float(loss("cross_entropy", ("N 5", "int N"), logits, target)) == pytest.approx(expected, rel=1e-5)
    expected = metrics.log_loss(target, logits.double().softmax(1), labels=range(5), sample_weight=weight[target])
    weighted = loss("cross_entropy", ("N 5", "int N", "5"), logits, target, weight)
    assert float(weighted) == pytest.approx(expected, rel=1e-5)


def test_classes_may_lie_last_or_second() -> None:
    logits, target = torch.randn(2, 5, 3, 4), torch.randint(5, (2, 3, 4))
    second = loss("cross_entropy", ("2 5 3 4", "int 2 3 4"), logits, target, reduction="none")
    last = loss("cross_entropy", ("2 3 4 5", "int 2 3 4"), logits.movedim(1, -1), target, reduction="none")
    torch.testing.assert_close(second, last)
    square = torch.randn(2, 3, 3), torch.randint(3, (2, 3))
    torch.testing.assert_close(
        loss("cross_entropy", ("2 3 3", "int 2 3"), *square, axis=1), nn.functional.cross_entropy(*square)
    )


def test_probabilities_of_one_class_are_that_class() -> None:
    logits, target = torch.randn(6, 5), torch.randint(5, (6,))
    certain = nn.functional.one_hot(target, 5).float()
    for smoothing in (0.0, 0.2):
        torch.testing.assert_close(
            loss("cross_entropy", ("6 5", "6 5"), logits, certain, smoothing=smoothing),
            loss("cross_entropy", ("6 5", "int 6"), logits, target, smoothing=smoothing),
        )


def test_ignored_targets_do_not_count() -> None:
    logits, target = torch.randn(6, 5), torch.tensor([1, 4, 0, 4, 2, 3])
    kept = target != 4
    torch.testing.assert_close(
        loss("cross_entropy", ("6 5", "int 6"), logits, target, ignore=4),
        nn.functional.cross_entropy(logits[kept], target[kept]),
    )


def test_nll_of_logarithms_is_cross_entropy() -> None:
    logits, target = torch.randn(6, 3, 5), torch.randint(5, (6, 3))
    torch.testing.assert_close(
        loss("nll", ("6 3 5", "int 6 3"), logits.log_softmax(-1), target),
        loss("cross_entropy", ("6 3 5", "int 6 3"), logits, target),
    )


def test_regression_losses_are_those_of_scikit_learn() -> None:
    x, y = torch.randn(20), torch.randn(20)
    assert float(loss("mse", ("N", "N"), x, y)) == pytest.approx(metrics.mean_squared_error(y, x), rel=1e-5)
    assert float(loss("mae", ("N", "N"), x, y)) == pytest.approx(metrics.mean_absolute_error(y, x), rel=1e-5)
    target = torch.randint(2, (20,))
    expected = metrics.log_loss(target, x.double().sigmoid())
    assert float(loss("bce", ("N", "int N"), x, target)) == pytest.approx(expected, rel=1e-5)
    signs = target * 2 - 1
    assert float(loss("hinge", ("N", "int N"), x, signs)) == pytest.approx(metrics.hinge_loss(signs, x), rel=1e-5)


def test_huber_and_smooth_l1_agree_where_they_must() -> None:
    x, y = torch.randn(50) * 3, torch.randn(50)
    huber = loss("huber", ("N", "N"), x, y, delta=0.5, reduction="none")
    torch.testing.assert_close(huber, 0.5 * loss("smooth_l1", ("N", "N"), x, y, beta=0.5, reduction="none"))
    far = (x - y).abs() > 0.5
    torch.testing.assert_close(huber[far], (0.5 * ((x - y).abs() - 0.25))[far])


def test_divergences_are_those_of_distributions() -> None:
    a, b = torch.randn(3, 4, 7), torch.randn(3, 4, 7)
    categorical = torch.distributions.Categorical
    expected = torch.distributions.kl_divergence(categorical(logits=b), categorical(logits=a))
    torch.testing.assert_close(loss("kl_div", ("3 4 7", "3 4 7"), a, b, reduction="none"), expected)
    torch.testing.assert_close(loss("kl_div", ("3 4 7", "3 4 7"), a, b), expected.mean())
    torch.testing.assert_close(loss("kl_div", ("4 7", "4 7"), a[0], b[0]), expected[0].mean())
    mu, logvar = torch.randn(5, 3), torch.randn(5, 3)
    normal = torch.distributions.Normal
    expected = torch.distributions.kl_divergence(normal(mu, (logvar / 2).exp()), normal(0.0, 1.0)).sum(1)
    torch.testing.assert_close(loss("kl_gaussian", ("5 3", "5 3"), mu, logvar), expected.mean())


def test_contrast() -> None:
    query, key = torch.randn(6, 4), torch.randn(6, 4)
    cosines = torch.stack([torch.cosine_similarity(query[i : i + 1], key) for i in range(6)])
    expected = -(cosines / 0.2).log_softmax(1).diag().mean()
    torch.testing.assert_close(loss("info_nce", ("6 4", "6 4"), query, key, temperature=0.2), expected)
    torch.testing.assert_close(loss("cosine_similarity", ("6 4", "6 4"), query, key), cosines.diag())


def test_ctc_takes_lengths() -> None:
    logits, target = torch.randn(3, 12, 5), torch.randint(1, 5, (3, 4))
    lengths, target_lengths = torch.tensor([12, 9, 7]), torch.tensor([4, 3, 2])
    expected = nn.CTCLoss()(logits.log_softmax(-1).transpose(0, 1), target, lengths, target_lengths)
    given = loss("ctc", ("3 12 5", "int 3 4", "int 3", "int 3"), logits, target, lengths, target_lengths)
    torch.testing.assert_close(given, expected)


def test_penalties_sum_over_all_learned_weights() -> None:
    for name, power in (("l1", 1), ("l2", 2)):
        case = example(OPS[name], "model 3 4, 5")
        network = Torch(case)
        expected = sum(float((np.abs(value) ** power).sum()) for value in network.weights().values())
        assert network([])[0].item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("name", "inputs", "static", "argument", "words"),
    [
        ("mse", ("N 1", "N"), {}, "target", "float[N] and float[N, 1]"),
        ("bce", ("N", "N 1"), {}, "target", "float[N, 1] and float[N]"),
        ("mae", ("N T", "N S"), {}, "target", "their shapes differ"),
        ("mse", ("N", "bool N"), {}, "target", "must be float"),
        ("mse", ("N", "float64 N"), {}, "target", "target is float64, and prediction is float"),
        ("mse", ("int N", "int N"), {}, "prediction", "must be float"),
        ("bce", ("N", "int N < 3"), {}, "target", "up to 2, and must lie between 0 and 1"),
        ("cross_entropy", ("N 5", "int N < 6"), {}, "target", "up to 5, and there are 5 classes"),
        ("cross_entropy", ("N 5", "int T"), {}, "target", "does not fit the logits"),
        ("cross_entropy", ("N 5", "int N 5"), {}, "target", "one axis more"),
        ("cross_entropy", ("N 5", "int N 1"), {}, "target", "one axis more"),
        ("cross_entropy", ("N 5", "N"), {}, "target", "has the shape of the logits"),
        ("cross_entropy", ("N 5", "bool N"), {}, "target", "must be int"),
        ("cross_entropy", ("N T T", "int N T"), {}, "logits", "axis 1 or along the last"),
        ("cross_entropy", ("N C H W", "N C H W"), {}, "target", "along which axis"),
        ("cross_entropy", ("N 5", "int N", "4"), {}, "weight", "4 weights for 5 classes"),
        ("cross_entropy", ("N 5", "N 5"), {"ignore": 0}, "ignore", "no class to ignore"),
        ("cross_entropy", ("N 5", "int N"), {"axis": 2}, "axis", "no axis 2"),
        ("nll", ("N 5", "N"), {}, "target", "must be int"),
        ("hinge", ("N 5", "int T"), {}, "target", "differ"),
        ("hinge", ("N 5", "int N < 7"), {}, "target", "up to 6"),
        ("kl_div", ("N 5", "N 4"), {}, "target_logits", "differ"),
        ("triplet", ("N 5", "N 5", "T 5"), {}, "negative", "differ"),
        ("info_nce", ("5", "5"), {}, "query", "1 axis"),
        ("ctc", ("N T 5", "int S 3"), {}, "target", "S examples"),
        ("ctc", ("N T 5", "int N 3"), {"blank": 5}, "blank", "no class 5"),
        ("l2", ("int N",), {}, "net", "must be float"),
    ],
)
def test_refuses(name: str, inputs: tuple[str, ...], static: dict[str, Any], argument: str, words: str) -> None:
    error = refusal(OPS[name], *inputs, **static)
    assert error.argument == argument
    assert words in error.message


def test_a_spare_last_axis_is_named() -> None:
    assert refusal(OPS["mse"], "N 1", "N").help == "drop the last axis of prediction, as in squeeze(prediction, -1)"
    assert refusal(OPS["mse"], "N", "N 1").help == "drop the last axis of target, as in squeeze(target, -1)"
