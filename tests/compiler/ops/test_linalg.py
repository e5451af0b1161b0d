"""What linear algebra and patterns refuse, and how many multiply-adds they take."""

from __future__ import annotations

from typing import Any

import pytest

from dlc.compiler.dim import Dim
from dlc.compiler.op import operations
from dlc.compiler.types import Tensor

from .refusals import refusal

BAD: list[tuple[str, tuple[Any, ...], dict[str, Any], str | None, str]] = [
    ("matmul", ("N 3", "4 T"), {}, None, "the shapes do not fit"),
    ("matmul", ("N 2 3", "T 3 4"), {}, None, "the shapes do not fit"),
    ("matmul", ("N 3", ""), {}, "right", "a scalar has no matrix product"),
    ("matmul", ("N 3", "int 3 T"), {}, "right", "int and float cannot be multiplied as matrices"),
    ("matmul", ("int N 3", "3 T"), {}, "left", "int and float cannot be multiplied as matrices"),
    ("dot", ("N", "T"), {}, "y", "a vector of T elements against one of N"),
    ("dot", ("N 2", "N 2"), {}, "x", "x has 2 axes, and 1 axis is due"),
    ("outer", ("N", "T 2"), {}, "y", "y has 2 axes, and 1 axis is due"),
    ("det", ("N 3 4",), {}, "x", "a square matrix is due, and x has 3 rows and 4 columns"),
    ("inverse", ("int 3 3",), {}, "x", "x is int, and it must be float"),
    ("inverse", ("N T",), {}, "x", "a square matrix is due, and x has N rows and T columns"),
    ("solve", ("3 3", "4"), {}, "b", "3 equations against 4 right-hand sides"),
    ("solve", ("N 3 3", "3"), {}, "b", "one vector for a batch of matrices"),
    ("diag", ("N T C",), {}, "x", "x has 3 axes, and 1 to 2 axes are due"),
    ("trace", ("N",), {}, "x", "x has 1 axis, and 2 or more axes are due"),
    ("einsum", ("N D", "N D"), {"pattern": "n d, n d"}, "pattern", "the pattern has no `->`"),
    ("einsum", ("N D",), {"pattern": "n d, n d -> n"}, "pattern", "the pattern is for 2 tensors, and 1 are given"),
    ("einsum", ("N D", "N T"), {"pattern": "n d, n d -> n"}, "xs[1]", "the shapes do not fit"),
    ("einsum", ("N D",), {"pattern": "n -> n"}, "xs[0]", "`n` names 1 axis, and the tensor has 2"),
    ("einsum", ("N D",), {"pattern": "n d -> k"}, "pattern", "`k` of the result is no axis of a tensor"),
    ("einsum", ("N D",), {"pattern": "n d -> n n"}, "pattern", "`n` stands twice in the result"),
    ("rearrange", ("N T",), {"pattern": "n t"}, "pattern", "the pattern has no `->`"),
    ("rearrange", ("N T",), {"pattern": "n t c -> c t n"}, "pattern", "the pattern is for 3 axes, and x has 2"),
    ("rearrange", ("N T",), {"pattern": "n t -> n"}, "pattern", "`t` is lost on the right of the pattern"),
    ("rearrange", ("N T",), {"pattern": "n t -> n t k", "k": 2}, "pattern",
     "`k` is new on the right of the pattern"),
    ("rearrange", ("N 7",), {"pattern": "n (h e) -> n h e", "h": 2}, "pattern",
     "axis 1 of size 7 does not divide into (h e)"),
    ("rearrange", ("N 8",), {"pattern": "n (h e) -> n h e"}, "pattern",
     "axis 1 is (h e), and the sizes of `h` and `e` are unknown"),
    ("rearrange", ("N 8",), {"pattern": "n (h e) -> n h e", "h": 2, "e": 3}, "pattern",
     "axis 1 has size 8, and the pattern's `h e` has 6"),
    ("rearrange", ("N 2",), {"pattern": "n 1 -> n"}, "pattern", "axis 1 has size 2, and the pattern's `1` has 1"),
    ("rearrange", ("N T",), {"pattern": "n t -> t n", "k": 2}, "k", "`k` does not occur in the pattern"),
    ("rearrange", ("N T",), {"pattern": "n n -> n"}, "pattern", "`n` stands twice on one side of the pattern"),
    ("rearrange", ("N T",), {"pattern": "n (t -> n t"}, "pattern", "a parenthesis of the pattern is not closed"),
    ("rearrange", ("N T",), {"pattern": "n t) -> n t"}, "pattern", "`)` is out of place in the pattern"),
    ("rearrange", ("N T",), {"pattern": "n t -> ... n t"}, "pattern", "`...` stands on the right of the pattern alone"),
    ("reduce", ("N T",), {"pattern": "n t -> n k", "k": 3}, "pattern", "`k` is new on the right of the pattern"),
    ("reduce", ("int N T",), {"pattern": "n t -> n"}, "x", "x is int, and it must be float"),
    ("repeat_axis", ("N T",), {"pattern": "n t -> n t k"}, "pattern", "the size of `k` is not known"),
    ("repeat_axis", ("N T",), {"pattern": "n t -> n k", "k": 2}, "pattern", "`t` is lost on the right of the pattern"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "inputs", "static", "argument", "message"), BAD)
def test_refuses(
    name: str, inputs: tuple[Any, ...], static: dict[str, Any], argument: str | None, message: str
) -> None:
    error = refusal(operations()[name], *inputs, **static)
    assert error.message == message
    assert error.argument == argument


def test_a_product_that_wants_a_transpose_says_so() -> None:
    error = refusal(operations()["matmul"], "N T 256", "32000 256")
    assert error.label == "256 columns against 32000 rows"
    assert error.sizes == (256, 32000)
    assert error.help == "transpose the right side, as in a @ b.T"


def test_multiply_adds() -> None:
    n, t = Dim.symbol("N"), Dim.symbol("T")
    matmul = operations()["matmul"]()
    assert matmul.macs(Tensor.of(n, t, 8), Tensor.of(8, 5)) == 40 * n * t
    assert matmul.macs(Tensor.of(8), Tensor.of(8)) == 8
    einsum = operations()["einsum"](pattern="n i d, n j d -> n i j")
    assert einsum.macs(Tensor.of(n, t, 8), Tensor.of(n, t, 8)) == 8 * n * t * t
