"""Weights in other files: those in the model's folder alone are read, and only as themselves."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

from dlc.grammar.diagnostics import Diagnostic, Refusal
from dlc.runtime.infer import errors
from dlc.runtime.infer.session import Session


def with_weights_at(location: str, folder: Path, **entries: str) -> Path:
    """A model that adds weights from another file: float[4]."""
    weights = TensorProto(name="w", data_type=TensorProto.FLOAT, data_location=TensorProto.EXTERNAL)
    weights.dims.append(4)
    for key, value in {"location": location, **entries}.items():
        weights.external_data.add(key=key, value=value)
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [4]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Add", ["x", "w"], ["y"])], "sum", [x], [y], [weights])
    path = folder / "model.onnx"
    path.write_bytes(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10).SerializeToString()
    )
    return path


def refused(path: Path) -> Diagnostic:
    with pytest.raises(Refusal) as caught:
        Session(path)
    (only,) = caught.value.diagnostics
    return only


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A folder for a model, beside a file that is not its own."""
    (tmp_path / "secret.data").write_bytes(bytes(16))
    folder = tmp_path / "model"
    folder.mkdir()
    return folder


@pytest.mark.parametrize(
    "location",
    [
        "../secret.data",
        "sub/../../secret.data",
        "..\\secret.data",
        "/etc/hostname",
        "C:\\secret.data",
        "\\\\host\\secret.data",
        "link.data",
        "folder/secret.data",
        "hard.data",
        "pipe",
        "own",
        "",
    ],
)
def test_weights_are_not_read_from_elsewhere(secret: Path, location: str) -> None:
    (secret / "link.data").symlink_to("../secret.data")
    (secret / "folder").symlink_to("..")
    os.link(secret.parent / "secret.data", secret / "hard.data")
    os.mkfifo(secret / "pipe")
    (secret / "own").mkdir()
    assert type(refused(with_weights_at(location, secret))) is errors.UnsafeModel


def test_weights_are_not_read_from_a_device(secret: Path) -> None:
    found = refused(with_weights_at("/dev/zero", secret))
    assert type(found) is errors.UnsafeModel


def test_a_link_within_the_folder_is_a_link(secret: Path) -> None:
    (secret / "own.data").write_bytes(bytes(16))
    (secret / "again.data").symlink_to("own.data")
    assert type(refused(with_weights_at("again.data", secret))) is errors.UnsafeModel


@pytest.mark.parametrize(
    "entries",
    [
        {"offset": "4"},
        {"offset": "-4"},
        {"offset": "9" * 30},
        {"length": "12"},
        {"length": "20"},
        {"length": "x"},
    ],
)
def test_weights_that_are_not_all_there(secret: Path, entries: dict[str, str]) -> None:
    (secret / "own.data").write_bytes(bytes(16))
    assert type(refused(with_weights_at("own.data", secret, **entries))) is errors.UnreadableModel


def test_weights_beside_the_model_are_read(secret: Path) -> None:
    (secret / "own.data").write_bytes(bytes(4) + np.arange(4, dtype=np.float32).tobytes())
    with Session(with_weights_at("own.data", secret, offset="4", length="16")) as session:
        np.testing.assert_array_equal(session.run(x=np.ones(4, np.float32))["y"], [1, 2, 3, 4])
