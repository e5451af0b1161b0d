"""Metrics against scikit-learn, and what they refuse."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sklearn import metrics

from dlc.compiler.op import operations

from .refusals import evaluate, example, refusal

OPS = operations()


def measure(name: str, inputs: tuple[str, ...], *tensors: torch.Tensor, **static: Any) -> torch.Tensor:
    return evaluate(example(OPS[name], *inputs, **static), *tensors)


SCORES = {
    "precision": lambda true, guess, **kind: metrics.precision_score(true, guess, zero_division=0, **kind),
    "recall": lambda true, guess, **kind: metrics.recall_score(true, guess, zero_division=0, **kind),
    "f1": lambda true, guess, **kind: metrics.f1_score(true, guess, zero_division=0, **kind),
    "iou": lambda true, guess, **kind: metrics.jaccard_score(true, guess, zero_division=0, **kind),
}


@pytest.mark.parametrize("name", SCORES)
@pytest.mark.parametrize("seed", range(3))
def test_class_scores(name: str, seed: int) -> None:
    torch.manual_seed(seed)
    logits, target = torch.randn(12, 7), torch.randint(5, (12,))  # two classes do not occur among the targets
    expected = SCORES[name](target, logits.argmax(1), average="macro")
    assert measure(name, ("12 7", "int 12"), logits, target).item() == pytest.approx(expected, rel=1e-5)
    single, label = torch.randn(12), torch.randint(2, (12,))
    expected = SCORES[name](label, single > 0, average="binary")
    assert measure(name, ("12", "int 12"), single, label).item() == pytest.approx(expected, rel=1e-5)


def test_class_scores_of_nothing_found_are_0() -> None:
    for name in SCORES:
        assert measure(name, ("4", "int 4"), -torch.ones(4), torch.zeros(4, dtype=torch.int64)).item() == 0


def test_accuracy() -> None:
    logits, target = torch.randn(40, 6), torch.randint(6, (40,))
    expected = metrics.accuracy_score(target, logits.argmax(1))
    assert measure("accuracy", ("40 6", "int 40"), logits, target).item() == pytest.approx(expected)
    expected = metrics.top_k_accuracy_score(target, logits, k=3, labels=range(6))
    assert measure("accuracy", ("40 6", "int 40"), logits, target, k=3).item() == pytest.approx(expected)
    label = target % 2
    expected = metrics.accuracy_score(label, logits[:, 0] > 0)
    assert measure("accuracy", ("40", "int 40"), logits[:, 0], label).item() == pytest.approx(expected)
    image = torch.randn(2, 6, 3, 4), torch.randint(6, (2, 3, 4))
    expected = (image[0].argmax(1) == image[1]).float().mean().item()
    assert measure("accuracy", ("2 6 3 4", "int 2 3 4"), *image).item() == pytest.approx(expected)


def test_auroc_counts_ties_half() -> None:
    scores, target = torch.randint(5, (50,)).float(), torch.randint(2, (50,))
    expected = metrics.roc_auc_score(target, scores)
    assert measure("auroc", ("50", "int 50"), scores, target).item() == pytest.approx(expected, rel=1e-5)


def test_confusion() -> None:
    logits, target = torch.randn(30, 4), torch.randint(4, (30,))
    expected = metrics.confusion_matrix(target, logits.argmax(1), labels=range(4))
    np.testing.assert_array_equal(measure("confusion", ("30 4", "int 30"), logits, target).numpy(), expected)


def test_measures_of_numbers() -> None:
    guess, target = torch.randn(30, 3), torch.randn(30, 3)
    both = ("30 3", "30 3")
    assert measure("r2", both, guess, target).item() == pytest.approx(metrics.r2_score(target, guess), rel=1e-4)
    expected = metrics.root_mean_squared_error(target.reshape(-1), guess.reshape(-1))
    assert measure("rmse", both, guess, target).item() == pytest.approx(expected, rel=1e-5)
    error = metrics.mean_squared_error(target, guess)
    expected = 10 * np.log10(255**2 / error)
    assert measure("psnr", both, guess, target, peak=255).item() == pytest.approx(expected, rel=1e-5)


def test_perplexity_of_no_knowledge_is_the_number_of_classes() -> None:
    value = measure("perplexity", ("3 4 9", "int 3 4"), torch.zeros(3, 4, 9), torch.randint(9, (3, 4)))
    assert value.item() == pytest.approx(9, rel=1e-5)


REFERENCES = [
    [4, 4, 1, 2, 4, 3, 4, 0],
    [3, 2, 4, 1, 1],
    [4, 4, 3, 3, 1, 1, 1, 4, 3, 0, 0, 1],
    [2, 0, 2, 3, 4],
    [3, 3, 4, 3, 1, 2, 0, 0, 1, 3, 1],
    [3, 2, 3, 4, 3, 4, 2, 4, 4],
    [4, 1, 2, 0, 2, 4, 1, 2, 4, 4, 4],
]
GUESSES = [
    [4, 4, 1, 2, 4, 3, 3, 0],
    [3, 2, 4],
    [3, 4, 3, 2, 1, 2, 1, 4, 3, 3],
    [2, 2, 2, 3],
    [3, 3, 4, 3, 1, 4, 0, 0, 1, 3],
    [3, 2, 3, 4, 3, 4, 2, 4],
    [4, 4, 2, 0, 2, 4, 1, 2, 4, 4, 4],
]


@pytest.mark.parametrize(("order", "expected"), [(4, 0.5894237161047412), (2, 0.6970198491823226)])
def test_bleu_is_that_of_sacrebleu(order: int, expected: float) -> None:
    """The numbers are those of sacrebleu 2.6.0 for the same tokens, without smoothing."""
    guess, target = (
        torch.nn.utils.rnn.pad_sequence([torch.tensor(each) for each in side], batch_first=True, padding_value=9)
        for side in (GUESSES, REFERENCES)
    )
    static = {"order": order, "padding": 9}
    assert measure("bleu", ("int N 11", "int N 12"), guess, target, **static).item() == pytest.approx(expected)


def test_bleu_of_the_reference_is_1_and_of_nothing_right_is_0() -> None:
    tokens = torch.randint(5, (3, 8))
    assert measure("bleu", ("int N 8", "int N 8"), tokens, tokens).item() == pytest.approx(1)
    assert measure("bleu", ("int N 8", "int N 8"), tokens, tokens + 5).item() == 0


@pytest.mark.parametrize(
    ("name", "inputs", "static", "argument", "words"),
    [
        ("accuracy", ("N 5", "int N < 6"), {}, "target", "up to 5, and there are 5 classes"),
        ("accuracy", ("N 5", "int N"), {"k": 6}, "k", "there are 5 classes"),
        ("accuracy", ("N", "int N"), {"k": 2}, "k", "two classes"),
        ("accuracy", ("N", "int N < 3"), {}, "target", "one logit tells two classes apart"),
        ("accuracy", ("N 5", "N"), {}, "target", "must be int"),
        ("accuracy", ("N 5", "int N 1"), {}, "target", "one axis more"),
        ("f1", ("N 5", "int T"), {}, "target", "does not fit"),
        ("auroc", ("N", "int T"), {}, "target", "differ"),
        ("auroc", ("N 5", "int N 5"), {}, "scores", "2 axes"),
        ("confusion", ("N", "int N"), {}, "target", "one axis more"),
        ("rmse", ("N", "N 1"), {}, "target", "differ"),
        ("r2", ("", ""), {}, "prediction", "0 axes"),
        ("psnr", ("N", "T"), {}, "target", "differ"),
        ("perplexity", ("N 5", "int N < 6"), {}, "target", "up to 5"),
        ("bleu", ("N T", "int N T"), {}, "guess", "must be int"),
        ("bleu", ("int N T", "int T"), {}, "target", "1 axis"),
        ("bleu", ("int N T", "int T T"), {}, "target", "T references for N"),
    ],
)
def test_refuses(name: str, inputs: tuple[str, ...], static: dict[str, Any], argument: str, words: str) -> None:
    error = refusal(OPS[name], *inputs, **static)
    assert error.argument == argument
    assert words in error.message
