"""Weights drawn from a seed."""

from __future__ import annotations

import numpy as np
import pytest

from dlc.compiler.dim import Dim
from dlc.compiler.init import Normal, Uniform, Zeros
from dlc.compiler.op import Weight
from dlc.compiler.types import DType
from dlc.compiler.weights import OpenWeight, draw_weights

FOUR = (Dim.of(40), Dim.of(50))


def test_a_weight_depends_on_its_seed_and_path_alone() -> None:
    alone = draw_weights({"a.weight": Weight(FOUR, Normal())}, 7)
    among = draw_weights({"b.weight": Weight(FOUR, Normal()), "a.weight": Weight(FOUR, Normal())}, 7)
    np.testing.assert_array_equal(alone["a.weight"], among["a.weight"])
    assert not np.array_equal(among["a.weight"], among["b.weight"])
    assert not np.array_equal(alone["a.weight"], draw_weights({"a.weight": Weight(FOUR, Normal())}, 8)["a.weight"])


def test_weights_follow_their_distribution_in_their_element_type() -> None:
    drawn = draw_weights(
        {
            "u": Weight(FOUR, Uniform(low=2.0, high=3.0)),
            "d": Weight(FOUR, Normal(std=0.1), dtype=DType.FLOAT64),
            "count": Weight((), Zeros(), trainable=False, dtype=DType.INT),
        },
        0,
    )
    assert {path: (array.dtype, array.shape) for path, array in drawn.items()} == {
        "u": (np.float32, (40, 50)),
        "d": (np.float64, (40, 50)),
        "count": (np.int64, ()),
    }
    assert 2 <= drawn["u"].min() <= drawn["u"].max() <= 3
    assert abs(drawn["d"].std() - 0.1) < 0.01


def test_a_size_without_a_number_is_told() -> None:
    open_size = Dim.symbol("d")
    with pytest.raises(OpenWeight) as caught:
        draw_weights({"fc.weight": Weight((Dim.of(3), open_size), Normal())}, 0)
    assert caught.value.path == "fc.weight"
    assert caught.value.size == open_size
    assert "fc.weight" in str(caught.value)
