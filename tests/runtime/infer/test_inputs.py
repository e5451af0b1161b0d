"""Inputs from files and text."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dlc.compiler.dim import Dim
from dlc.compiler.types import DType
from dlc.grammar.diagnostics import Refusal
from dlc.runtime.infer.description import Port
from dlc.runtime.infer.errors import UnreadableInput
from dlc.runtime.infer.inputs import from_python, read_input

N, T, H, W = (Dim.symbol(name) for name in "NTHW")
TABLE = Port("x", DType.FLOAT, (N, T))
INTS = Port("x", DType.INT, (N, T))
VECTOR = Port("x", DType.FLOAT, (N,))


def image(channels: int) -> Port:
    return Port("x", DType.FLOAT, (N, Dim.of(channels), H, W))


def refusal(text: str, port: Port) -> str:
    with pytest.raises(Refusal) as caught:
        read_input(text, port)
    (found,) = caught.value.diagnostics
    assert type(found) is UnreadableInput
    return " ".join((found.message, *found.notes))


@pytest.mark.parametrize(
    ("text", "port", "expected"),
    [
        ("[[1,2],[3,4]]", TABLE, np.array([[1, 2], [3, 4]], np.float32)),
        ("[[1,2],[3,4]]", INTS, np.array([[1, 2], [3, 4]], np.int64)),
        ("-0.5", VECTOR, np.array(-0.5, np.float32)),
        ("[1e-3, 2]", VECTOR, np.array([1e-3, 2], np.float32)),
        ("true", Port("x", DType.BOOL, ()), np.array(True)),
        ("[True, False]", Port("x", DType.BOOL, (N,)), np.array([True, False])),
        ("[300]", Port("x", DType.UINT8, (N,)), np.array([300], np.int64)),
        ("[1.5]", Port("x", DType.INT, (N,)), np.array([1.5], np.float64)),
    ],
)
def test_numbers_are_read_in_the_element_type_of_the_input(text: str, port: Port, expected: Any) -> None:
    found = read_input(text, port)
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("text", ["hello", "[1, [2, 3]]", "['a']", "__import__('os')", "[1,", "(" * 500, "1 + x"])
def test_text_that_is_not_numbers_is_refused(text: str) -> None:
    assert "`x`" in refusal(text, TABLE)


def test_arrays_keep_their_element_type(tmp_path: Path) -> None:
    array = np.arange(6, dtype=np.float64).reshape(2, 3)
    np.save(tmp_path / "a.npy", array)
    np.savez(tmp_path / "a.npz", other=array, x=2 * array)
    found = read_input(str(tmp_path / "a.npy"), TABLE)
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, array)
    np.testing.assert_array_equal(read_input(str(tmp_path / "a.npz"), TABLE), 2 * array)


def test_a_pickle_in_an_array_is_refused(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
            return (Path.touch, (tmp_path / "ran",))  # type: ignore[return-value]

    np.save(tmp_path / "a.npy", np.array([Trap()], dtype=object), allow_pickle=True)
    assert "allow_pickle" in refusal(str(tmp_path / "a.npy"), TABLE)
    (tmp_path / "b.npy").write_bytes(pickle.dumps([1]))
    assert "cannot be read" in refusal(str(tmp_path / "b.npy"), TABLE)
    assert not (tmp_path / "ran").exists()


def test_tables_are_read_with_and_without_names(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a,b\n1,2.5\n3,4\n")
    (tmp_path / "b.csv").write_text("1,2\n3,4\n")
    (tmp_path / "c.csv").write_text("1\n2\n3\n")
    (tmp_path / "d.txt").write_text("1 2\n3 4\n")
    np.testing.assert_array_equal(read_input(str(tmp_path / "a.csv"), TABLE), np.float32([[1, 2.5], [3, 4]]))
    np.testing.assert_array_equal(read_input(str(tmp_path / "b.csv"), INTS), [[1, 2], [3, 4]])
    np.testing.assert_array_equal(read_input(str(tmp_path / "c.csv"), VECTOR), [1, 2, 3])
    np.testing.assert_array_equal(read_input(str(tmp_path / "d.txt"), INTS), [[1, 2], [3, 4]])


@pytest.mark.parametrize(
    ("text", "words"),
    [("a,b\n1,2\n3\n", "row 3 has 1 columns"), ("1,2\n3,x\n", "row 2, column 2: `x` is not a number")],
)
def test_a_table_that_does_not_fit_names_the_place(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "a.csv").write_text(text)
    assert words in refusal(str(tmp_path / "a.csv"), TABLE)


@pytest.mark.parametrize("name", ["missing.npy", "missing.csv", "missing.png", "missing.npz"])
def test_a_missing_file_is_told(tmp_path: Path, name: str) -> None:
    assert "there is no file" in refusal(str(tmp_path / name), image(1))


def test_images_are_scaled_and_get_a_batch_axis(tmp_path: Path) -> None:
    pillow = pytest.importorskip("PIL.Image")
    pixels = np.zeros((2, 3, 3), np.uint8)
    pixels[..., 0] = 255
    pillow.fromarray(pixels).save(tmp_path / "a.png")
    colour = read_input(str(tmp_path / "a.png"), image(3))
    assert colour.shape == (1, 3, 2, 3)
    assert colour.dtype == np.float32
    assert (colour[:, 0] == 1).all()
    assert (colour[:, 1:] == 0).all()
    grey = read_input(str(tmp_path / "a.png"), image(1))
    assert grey.shape == (1, 1, 2, 3)
    np.testing.assert_allclose(grey, 0.299, atol=2e-3)
    assert "float[N, T]" in refusal(str(tmp_path / "a.png"), TABLE)
    (tmp_path / "b.png").write_text("no image")
    assert "cannot be read" in refusal(str(tmp_path / "b.png"), image(1))


def test_python_values_lose_nothing() -> None:
    assert from_python([[1, 2]], INTS).dtype == np.int64
    assert from_python([[0.5]], TABLE).dtype == np.float32
    assert from_python([[0.5]], INTS).dtype == np.float64
    assert from_python(np.ones(2), VECTOR).dtype == np.float64


@pytest.mark.parametrize("dtype", [DType.FLOAT, DType.FLOAT16])
def test_numbers_beyond_what_a_float_holds_are_refused(tmp_path: Path, dtype: DType) -> None:
    port = Port("x", dtype, (N, T))
    (tmp_path / "x.csv").write_text("1e39,2\n")
    (tmp_path / "x.txt").write_text("-1e39 2\n")
    for text in ("[[1e39]]", "[[-1e39, 1]]", "[[1" + "0" * 39 + "]]", str(tmp_path / "x.csv"), str(tmp_path / "x.txt")):
        assert "beyond what" in refusal(text, port) or "not numbers" in refusal(text, port)
    with pytest.raises(Refusal, match="beyond what"):
        from_python([[1e39]], port)
    assert read_input("[[1e4]]", port)[0, 0] == 1e4
    (tmp_path / "inf.txt").write_text("inf 1\n")
    assert read_input(str(tmp_path / "inf.txt"), port)[0, 0] == np.inf  # which is what was written


def test_a_folder_of_images_is_a_batch(tmp_path: Path) -> None:
    pillow = pytest.importorskip("PIL.Image")
    for name, grey in (("b.png", 255), ("a.png", 0)):
        pillow.fromarray(np.full((2, 3), grey, np.uint8)).save(tmp_path / name)
    found = read_input(str(tmp_path), image(1))
    assert found.shape == (2, 1, 2, 3)
    np.testing.assert_array_equal(found[:, 0, 0, 0], [0, 1])
