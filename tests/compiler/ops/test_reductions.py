"""What reductions, scans and segments refuse."""

from __future__ import annotations

from typing import Any

import pytest

from dlc.compiler.op import operations

from .refusals import refusal

BAD: list[tuple[str, tuple[Any, ...], dict[str, Any], str | None, str]] = [
    ("sum", ("N T",), {"axis": 1, "axes": (0,)}, "axes", "axis and axes are both given"),
    ("sum", ("N T",), {"axes": ()}, "axes", "axes names no axis"),
    ("sum", ("N T",), {"axes": (1, -1)}, "axes", "axis -1 is named twice"),
    ("mean", ("N T",), {"axis": 2}, "axis", "there is no axis 2"),
    ("max", ("bool N",), {}, "x", "x is bool, and it must be a number"),
    ("any", ("N",), {}, "x", "x is not bool"),
    ("var", ("N 1",), {"axis": 1}, "correction",
     "1 elements less a correction of 1 leave nothing to divide by"),
    ("norm", ("int N",), {}, "x", "x is int, and it must be float"),
    ("logsumexp", ("N",), {"axis": -2}, "axis", "there is no axis -2"),
    ("softmax", ("int N",), {}, "x", "x is int, and it must be float"),
    ("softmax", ("N",), {"axis": 1}, "axis", "there is no axis 1"),
    ("softmax", ("",), {}, "axis", "there is no axis -1"),
    ("cumsum", ("N",), {"axis": 1}, "axis", "there is no axis 1"),
    ("cumprod", ("bool N",), {"axis": 0}, "x", "x is bool, and it must be a number"),
    ("argmax", ("N",), {"axis": 3}, "axis", "there is no axis 3"),
    ("sort", ("bool N",), {}, "x", "x is bool, and it must be a number"),
    ("topk", ("N 3",), {"k": 4}, "k", "the 4 greatest of 3 elements are asked for"),
    ("topk", ("N 3",), {"k": 0}, "k", "k is 0, and it must be positive"),
    ("segment_sum", ("E D", "int 3"), {"count": 2}, "index", "3 segments are named for E rows"),
    ("segment_mean", ("E D", "int E < 5"), {"count": 4}, "index", "index goes up to 5, and there are 4 segments"),
    ("segment_max", ("int E", "int E"), {"count": 2}, "values", "values is int, and it must be float"),
    ("segment_softmax", ("E", "E"), {"count": 2}, "index", "index is float, and it must be int"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "inputs", "static", "argument", "message"), BAD)
def test_refuses(
    name: str, inputs: tuple[Any, ...], static: dict[str, Any], argument: str | None, message: str
) -> None:
    error = refusal(operations()[name], *inputs, **static)
    assert error.message == message
    assert error.argument == argument
