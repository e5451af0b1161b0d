"""Dimensions written in terms of known ones; test_dim_values checks the values of such text."""

from __future__ import annotations

import pytest

from dlc.compiler.dim import Dim
from dlc.compiler.express import express

H, N, T, W = (Dim.symbol(name) for name in "HNTW")
X = "x.shape[1]"


@pytest.mark.parametrize(
    ("target", "known", "text"),
    [
        (Dim.of(5), [], "5"),
        (T, [(T, X)], X),
        (T, [(2 * T - 1, X)], "(x.shape[1] + 1)//2"),
        (2 * T, [(2 * T - 1, X)], "x.shape[1] + 1"),
        (N * T, [(N, "n"), (T, "t")], "n*t"),
        (N, [(N * T, "p"), (T, "t")], "p//t"),
        (N * T * H * W, [(N * T, "p"), (H * W, "q")], "p*q"),
        (T, [(N + T, "total"), (N - 3, "rest")], "total - rest - 3"),
        ((H + 1) // 2, [(H, "h")], "(h + 1)//2"),
        ((H + 1) // 2 * ((W + 1) // 2), [((H + 1) // 2, "h"), ((W + 1) // 2, "w")], "h*w"),
        (H // 4, [(H // 2, "h")], "h//2"),
        ((2 * T - 1) // 3, [(2 * T - 1, X)], "x.shape[1]//3"),
        (Dim.maximum(N, T), [(N, "n"), (T, "t")], "max(n, t)"),
        (2 * N, [(N, "a + b")], "2*(a + b)"),
        (N, [(N, "long_name"), (N, "n")], "n"),
        (N, [(T, "t")], None),
        (H, [(H // 2, "h")], None),
    ],
)
def test_express(target: Dim, known: list[tuple[Dim, str]], text: str | None) -> None:
    assert express(target, known) == text
