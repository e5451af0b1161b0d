"""Weights in .safetensors files, against the format's own library."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file

from dlc.runtime.weights import StoredWeights, open_weights

ARRAYS: dict[str, Any] = {
    "a.weight": np.arange(6, dtype=np.float32).reshape(2, 3),
    "b": np.array(2.5),
    "empty": np.zeros((0, 4), np.float32),
    "half": np.array([1, 2], np.float16),
    "brain": np.array([0.5, -3], ml_dtypes.bfloat16),
    "whole": np.array([-1, 2**62]),
    "short": np.array([7], np.int32),
    "byte": np.array([-128], np.int8),
    "unsigned": np.array([255], np.uint8),
    "truth": np.array([True, False]),
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    save_file(ARRAYS, tmp_path / "w.safetensors", {"made": "by a test"})
    return tmp_path / "w.safetensors"


def test_weights_are_what_the_library_wrote(path: Path) -> None:
    weights = open_weights(path)
    assert set(weights) == set(ARRAYS)
    assert len(weights) == len(ARRAYS)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(weights[name], array)
        assert (weights[name].dtype, weights[name].shape) == (array.dtype, array.shape)
        source = weights.source(name)
        source.file.seek(source.offset)
        assert source.file.read(array.nbytes) == array.tobytes()


def test_changing_an_array_leaves_the_file_as_it_is(path: Path) -> None:
    weights = open_weights(path)
    array = weights["a.weight"]
    array += 1
    np.testing.assert_array_equal(open_weights(path)["a.weight"], ARRAYS["a.weight"])


def test_a_file_that_takes_the_place_is_another(path: Path) -> None:
    weights = open_weights(path)
    save_file({name: np.zeros_like(array) for name, array in ARRAYS.items()}, path.with_name("new"))
    path.with_name("new").replace(path)
    np.testing.assert_array_equal(weights["whole"], ARRAYS["whole"])
    np.testing.assert_array_equal(open_weights(path)["whole"], [0, 0])


def test_weights_outlive_the_mapping_that_gave_them(path: Path) -> None:
    array = open_weights(path)["a.weight"]
    np.testing.assert_array_equal(array, ARRAYS["a.weight"])


def header(told: Any, data: bytes = b"") -> bytes:
    text = json.dumps(told).encode()
    return len(text).to_bytes(8, "little") + text + data


W = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "longer than the file"),
        (b"\0" * 7, "longer than the file"),
        (b"\xff" * 100, "longer than the file"),
        (b"\0" * 100, "damaged"),
        ((5).to_bytes(8, "little") + b"[1,2]", "damaged"),
        ((40_000).to_bytes(8, "little") + b"[" * 40_000, "damaged"),
        (header({"w": 3}), "damaged at `w`"),
        (header({"w": {**W, "shape": [-2]}}, b"\0" * 8), "damaged at `w`"),
        (header({"w": {**W, "dtype": "F8_E4M3"}}, b"\0" * 8), "no element type"),
        (header({"w": W}, b"\0" * 7), "does not lie where"),
        (header({"w": {**W, "shape": [3]}}, b"\0" * 8), "does not lie where"),
        (header({"w": {**W, "data_offsets": [-8, 0]}}, b"\0" * 8), "does not lie where"),
        (header({"w": W}, b"\0" * 9), "its tensors fill"),
        (header({"w": W, "v": W}, b"\0" * 8), "its tensors fill"),
    ],
)
def test_what_is_no_file_of_weights(data: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "w").write_bytes(data)
    with pytest.raises(ValueError, match=message):
        open_weights(tmp_path / "w")


def test_what_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        open_weights(tmp_path / "w")
    with pytest.raises(IsADirectoryError):
        open_weights(tmp_path)


def test_nothing_is_read_before_it_is_asked_for(path: Path) -> None:
    weights = open_weights(path)
    assert isinstance(weights, StoredWeights)
    position = weights.source("b").file.tell()
    assert position < path.stat().st_size - sum(array.nbytes for array in ARRAYS.values()) + 1
