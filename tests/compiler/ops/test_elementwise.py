"""What element-wise operations and operators refuse, and how they are written."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dlc.compiler.dim import Dim
from dlc.compiler.op import operations
from dlc.compiler.types import Scalar, ShapeError, Tensor, TypeMismatch

from .refusals import refusal

BAD: list[tuple[str, tuple[Any, ...], type[ShapeError], str | None, str]] = [
    ("exp", ("int N",), TypeMismatch, "x", "x is int, and it must be float"),
    ("relu", ("bool N",), TypeMismatch, "x", "x is bool, and it must be float"),
    ("abs", ("bool N",), TypeMismatch, "x", "x is bool, and it must be a number"),
    ("add", ("N 3", "N 4"), ShapeError, None, "the shapes do not fit"),
    ("add", ("N T", "T N"), ShapeError, None, "the shapes do not fit"),
    ("multiply", ("bool N", "N"), TypeMismatch, "left", "left is bool, and it must be a number"),
    ("add", ("float64 N", "N"), TypeMismatch, None, "float64 and float do not mix"),
    ("subtract", ("N", True), TypeMismatch, "right", "right is bool, and it must be a number"),
    ("less", ("bool N", "bool N"), TypeMismatch, "left", "left is bool, and it must be a number"),
    ("equal", ("bool N", 1), TypeMismatch, "right", "a bool and a number are never equal"),
    ("logical_and", ("bool N", "int N"), TypeMismatch, "right", "right is not bool"),
    ("logical_or", ("bool N", 1), TypeMismatch, "right", "right is not bool"),
    ("logical_not", ("N",), TypeMismatch, "x", "x is not bool"),
    ("negate", ("bool N",), TypeMismatch, "x", "x is bool, and it must be a number"),
    ("power", ("int N", -1), ShapeError, "right", "an int has no power -1"),
    ("minimum", ("N", "bool N"), TypeMismatch, None, "float and bool do not mix"),
    ("clamp", ("N",), ShapeError, None, "clamp has no bound"),
    ("clamp", ("N", 2, 1), ShapeError, "low", "the lower bound 2 is above the upper bound 1"),
    ("clamp", ("N 3", None, "N 4"), ShapeError, None, "the shapes do not fit"),
    ("where", ("N", "N", "N"), TypeMismatch, "condition", "condition is not bool"),
    ("where", ("bool N 3", "N 4", 0), ShapeError, None, "the shapes do not fit"),
    ("where", ("bool N", "bool N", "N"), TypeMismatch, None, "bool and float do not mix"),
    ("where", ("bool N", "bool N", 1), TypeMismatch, None, "a bool and a number do not mix"),
    ("where", ("bool N", True, 1), TypeMismatch, "a", "a is bool, and it must be a number"),
]


@pytest.mark.parametrize(("name", "inputs", "kind", "argument", "message"), BAD)
def test_refuses(
    name: str, inputs: tuple[Any, ...], kind: type[ShapeError], argument: str | None, message: str
) -> None:
    error = refusal(operations()[name], *inputs)
    assert type(error) is kind
    assert error.argument == argument
    assert error.message == message


def test_broadcast_says_where_and_which_sizes() -> None:
    error = refusal(operations()["add"], "N 3 T", "N 4 T")
    assert error.label == "3 against 4 on axis -2"
    assert error.sizes == (3, 4)


shapes = st.lists(st.sampled_from([1, 2, 3]), max_size=3).map(tuple)


@settings(max_examples=60, deadline=None)
@given(shapes, shapes)
def test_broadcasting_is_that_of_numpy(a: tuple[int, ...], b: tuple[int, ...]) -> None:
    add = operations()["add"]()
    try:
        expected = np.broadcast_shapes(a, b)
    except ValueError:
        with pytest.raises(ShapeError):
            add.infer(Tensor.of(*a), Tensor.of(*b))
    else:
        assert add.infer(Tensor.of(*a), Tensor.of(*b)) == Tensor.of(*expected)


def test_two_static_numbers_are_not_for_an_operation() -> None:
    with pytest.raises(TypeError, match="static numbers"):
        operations()["add"]().infer(Scalar(Dim.of(1)), Scalar(2.0))


@pytest.mark.parametrize("name", ["minimum", "maximum"])
def test_of_two_numbers_the_smaller_and_the_larger_are_static(name: str) -> None:
    with pytest.raises(TypeMismatch) as caught:
        operations()[name]().infer(Scalar(2), Scalar(3.5))
    assert caught.value.message == "one of the two is a tensor, and both are numbers"
    assert caught.value.help == f"{name[:3]}(x, y) takes static numbers"
