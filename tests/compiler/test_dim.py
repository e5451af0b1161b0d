"""Dimensions: canonical forms, text, comparison, limits."""

from __future__ import annotations

import operator
from collections.abc import Callable

import pytest

from dlc.compiler.dim import Dim, DimOverflow

H, K, M, N, T, W = (Dim.symbol(name) for name in "HKMNTW")
A, B, C = (Dim.symbol(name) for name in "ABC")


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ((A + B) * C, A * C + B * C),
        (2 * N // 2, N),
        ((2 * N + 5) // 2, N + 2),
        ((2 * N + 1) // 2, N),
        (N // 2 // 3, N // 6),
        (N * T // N, T),
        (N * T // (T * K), N // K),
        (N * T % N, Dim.of(0)),
        (4 * N % 2, Dim.of(0)),
        (N % 2, N - 2 * (N // 2)),
        (N % 6 % 3, N % 3),
        ((N + 4) % 2, N % 2),
        (T % K // K, Dim.of(0)),
        (N % 5 // 5, Dim.of(0)),
        ((H + 2 * 1 - 3) // 1 + 1, H),
        ((H + 2 - 3) // 2 + 1, (H + 1) // 2),
        (((H + 1) // 2 + 1) // 2, (H + 3) // 4),
        (-(-N // 3), (N + 2) // 3),
        (-(-N // 2), (N + 1) // 2),
        (-(-T // K), (T - 1) // K + 1),
        ((T - K) // K + 1, T // K),
        ((N - M) // 3 + M, (N + 2 * M) // 3),
        ((T // K) // 2, T // (2 * K)),
        ((N + 2 * T + 1) // (2 * T), (N + 1) // (2 * T) + 1),
        (N // -2, -N // 2),
        (N // -K, -N // K),
        (Dim.maximum(N, 0), N),
        (Dim.maximum(N, N + T), N + T),
        (Dim.minimum(Dim.maximum(N, T), N), N),
        (Dim.maximum(Dim.maximum(N, 2), Dim.maximum(5, T)), Dim.maximum(T, Dim.maximum(5, N))),
        (Dim.maximum(N - 1, 0) + 1, Dim.maximum(N, 1)),
        (Dim.maximum(2 * N, 2) // 2, Dim.maximum(N, 1)),
        (Dim.minimum(N, 3) // 4, Dim.of(0)),
        (N**3, N * N * N),
    ],
    ids=str,
)
def test_canonical_forms(left: Dim, right: Dim) -> None:
    assert left == right
    assert hash(left) == hash(right)


@pytest.mark.parametrize(
    ("dim", "text"),
    [
        (2 * T - 1, "2*T - 1"),
        ((H + 1) // 2, "(H + 1)//2"),
        ((H - 3) // 2 + 1, "(H - 1)//2"),
        (N * T, "N*T"),
        (Dim.maximum(1, N), "max(N, 1)"),
        (N % 2, "N % 2"),
        (3 * (N % 2) * T, "3*T*(N % 2)"),
        (T % K, "T % K"),
        (3 * N // 2, "3*N//2"),
        (N // 2 % 2, "N//2 % 2"),
        ((N - M) // 3, "(N - M)//3"),
        (5 - N, "5 - N"),
        (-N, "-N"),
        (-(N // 2), "-(N//2)"),
        (N // 2 + 1, "N//2 + 1"),
        (2 * ((H + 1) // 2) - 1, "2*((H + 1)//2) - 1"),
        (N * ((H + 1) // 2), "N*((H + 1)//2)"),
        (N**2 + N + 1, "N**2 + N + 1"),
        (T // (2 * K), "T//(2*K)"),
        (T // K**2, "T//K**2"),
        ((T // 2) ** 2, "(T//2)**2"),
        (Dim.of(-3), "-3"),
    ],
)
def test_text(dim: Dim, text: str) -> None:
    assert str(dim) == text


def test_text_with_other_names_and_signs() -> None:
    assert ((H + 1) // 2).render(lambda symbol: f"size_{symbol.name}", floor=" / ") == "(size_H + 1) / 2"


def test_constants_are_integers() -> None:
    three = Dim.of(3)
    assert three == 3
    assert hash(three) == hash(3)
    assert int(three) == 3
    assert [10, 20, 30, 40][three] == 40
    assert (three + 4).constant == 7
    assert (7 // three, 7 % three, -7 // three, 2**three) == (2, 1, -3, 8)
    assert not Dim.of(0)
    assert Dim.of(three) is three
    assert (N - N + 3).is_constant


def test_a_symbol_has_no_number() -> None:
    assert N.constant is None
    for convert in (int, bool, operator.index):
        with pytest.raises(TypeError, match="the dimension N depends on symbols"):
            convert(N)


def test_symbols_of_one_name_differ() -> None:
    other = Dim.symbol("N")
    assert other != N
    assert (other - N) != 0
    assert N.equals(other) is None
    assert {symbol.name for symbol in (N * T // (K + 1)).symbols()} == {"N", "T", "K"}


def test_symbol_alone() -> None:
    assert (N + 0).as_symbol() in N.symbols()
    assert all(dim.as_symbol() is None for dim in (Dim.of(1), N + 1, 2 * N, N * N, N // 2))


def test_division_by_zero() -> None:
    for divide in (operator.floordiv, operator.mod):
        for dividend in (N, Dim.of(4)):
            with pytest.raises(ZeroDivisionError):
                divide(dividend, 0)
            with pytest.raises(ZeroDivisionError):
                divide(dividend, N - N)
    assert N.divide(0) is None


def test_exact_division() -> None:
    assert (N * T * 12).divide(T * 4) == 3 * N
    assert (A * C + B * C).divide(A + B) == C
    assert (N // 2 * 6).divide(3) == N // 2 * 2
    assert Dim.of(12).divide(4) == 3
    assert Dim.of(12).divide(5) is None
    assert (N * T).divide(2) is None
    assert (N + 1).divide(N) is None
    assert (A * A - B * B).divide(B - A) == -A - B


def test_comparison() -> None:
    assert N.less(N + 1) is True
    assert N.less(N) is False
    assert N.less(T) is None
    assert (N // 2).at_most(N) is True
    assert (N % 4).less(4) is True
    assert Dim.maximum(N, T).at_most(N + T) is True
    assert N.at_most(Dim.maximum(N, T)) is True
    assert N.less(1) is None
    assert Dim.symbol("n", least=1).less(1) is False
    least_one = Dim.symbol("n", least=1)
    assert T.at_most(T * least_one) is True


def test_equality_that_only_bounds_prove() -> None:
    assert (N - N // 2).equals((N + 1) // 2) is True
    assert (-2 * N // 3).equals(N // 3 - N) is True
    assert N.equals(N + 1) is False
    assert (2 * N).equals(2 * T + 1) is False
    assert (N + 1).equals(0) is False
    assert N.equals(0) is None


def test_bounds() -> None:
    assert N.bounds() == (0, None)
    assert (3 - N).bounds() == (None, 3)
    assert (N % 3).bounds() == (0, 2)
    assert Dim.maximum(N, 4).bounds() == (4, None)
    assert Dim.minimum(N, 4).bounds() == (0, 4)
    assert (T % K).bounds()[0] == 0


def test_origin_is_not_compared() -> None:
    here = object()
    marked = (N + 1).at(here)
    assert marked.origin is here
    assert marked == N + 1
    assert hash(marked) == hash(N + 1)
    assert (N + 1).origin is None
    assert (marked + 1).origin is None


@pytest.mark.parametrize(
    "grow",
    [
        lambda: Dim.of(2**63),
        lambda: Dim.of(2**62) * 2,
        lambda: Dim.of(2) ** 10**9,
        lambda: N * 2**62 * 2,
        lambda: N**17,
        lambda: N**16 * N,
        lambda: (N + T + K + H + W + 1) ** 8,
        lambda: sum((Dim.symbol("d") for _ in range(201)), Dim.of(0)),
    ],
)
def test_growth_is_limited(grow: Callable[[], Dim]) -> None:
    with pytest.raises(DimOverflow):
        grow()


@pytest.mark.parametrize(
    ("step", "message"),
    [(lambda dim: (dim * dim + dim + 1) // 3, "parts"), (lambda dim: (3 * dim + 1) // 2, "nests|beyond|parts")],
)
def test_nesting_is_limited(step: Callable[[Dim], Dim], message: str) -> None:
    def nest(depth: int) -> Dim:
        dim = N
        for _ in range(depth):
            dim = step(dim)
        return dim

    assert len(str(nest(4))) < 1000
    with pytest.raises(DimOverflow, match=message):
        nest(100)


def test_powers() -> None:
    assert (Dim.of(-1) ** 1001, Dim.of(-1) ** 1000, Dim.of(0) ** 0, Dim.of(0) ** 5, N**0) == (-1, 1, 1, 0, 1)
    with pytest.raises(ValueError, match="negative exponent"):
        N**-1
    with pytest.raises(TypeError, match="depends on symbols"):
        2**N
