"""The nearest name."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlc.grammar.suggest import distance, nearest


@pytest.mark.parametrize(
    ("name", "candidates", "expected"),
    [
        ("widht", ["width", "height", "depth"], "width"),
        ("wdth", ["width", "depth"], "width"),
        ("relU", ["elu", "relu", "selu"], "relu"),
        ("BATCHNORM", ["batch_norm", "layer_norm"], None),
        ("Batch_Norm", ["batch_norm", "layer_norm"], "batch_norm"),
        ("LINEAR", ["linear", "bilinear"], "linear"),
        ("lr", ["lr_", "betas"], "lr_"),
        ("k", ["q", "v"], None),
        ("x", ["X", "y"], "X"),
        ("ab", ["cd"], None),
        ("linaer", ["bilinear", "linear"], "linear"),
        ("convolution", ["conv"], None),
        ("cat", ["bat", "car"], "bat"),
        ("same", ["same"], None),
        ("", ["a"], None),
        ("a", [], None),
        ("a" * 10_000, ["a" * 9_999], None),
    ],
)
def test_nearest(name: str, candidates: list[str], expected: str | None) -> None:
    assert nearest(name, candidates) == expected
    assert nearest(name, reversed(candidates)) == expected


words = st.text("abAB", max_size=6)


@given(words, words)
def test_distance_is_symmetric_and_bounded(a: str, b: str) -> None:
    assert distance(a, b) == distance(b, a)
    assert (distance(a, b) == 0) == (a == b)
    assert abs(len(a) - len(b)) * 2 <= distance(a, b) <= 2 * max(len(a), len(b))


def closest(a: str, b: str) -> int:
    """The distance by its definition, over the ends of the words."""
    if not a or not b:
        return 2 * (len(a) + len(b))
    same = 0 if a[-1] == b[-1] else 1 if a[-1].lower() == b[-1].lower() else 2
    best = min(closest(a[:-1], b) + 2, closest(a, b[:-1]) + 2, closest(a[:-1], b[:-1]) + same)
    if len(a) > 1 and len(b) > 1 and a[-2:] == b[:-3:-1] and a[-1] != a[-2]:
        best = min(best, closest(a[:-2], b[:-2]) + 2)
    return best


@given(st.text("abA", max_size=5), st.text("abA", max_size=5))
def test_distance_by_its_definition(a: str, b: str) -> None:
    assert distance(a, b) == closest(a, b)
