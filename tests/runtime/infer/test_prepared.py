"""Prepared models: they give the same, and none is used where it does not hold."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dlc.compiler.onnx.emit import build_model, save_model
from dlc.compiler.program import Model
from dlc.compiler.weights import draw_weights
from dlc.grammar.diagnostics import Refusal
from dlc.runtime.errors import CannotWrite
from dlc.runtime.infer.session import Session

SPEC = """
model Net(x: float[N, 3, 8, 8]) -> (y: float[N, 40]):
    return x -> conv(16, 3) -> relu -> rearrange("n c h w -> n (c h w)") -> linear(40)
"""
X = np.random.default_rng(0).normal(size=(2, 3, 8, 8)).astype(np.float32)


@pytest.fixture
def path(model: Callable[..., Model], tmp_path: Path) -> Path:
    spec = model(SPEC)
    path = tmp_path / "net.onnx"
    save_model(build_model(spec.graph, draw_weights(spec.graph.weights(), 0)), path)
    return path


def made(path: Path) -> int:
    """When the prepared form was made."""
    return (path.with_name("net.onnx.prepared") / "stamp.json").stat().st_mtime_ns


@pytest.mark.parametrize("trusted", [False, True])
def test_a_prepared_model_gives_the_same(path: Path, trusted: bool) -> None:
    with Session(path, threads=1) as session:
        expected = session.run(x=X)["y"]
    times: set[int] = set()
    for _ in range(3):
        with Session(path, threads=1, prepared=True, trusted=trusted) as session:
            np.testing.assert_allclose(session.run(x=X)["y"], expected, rtol=1e-5, atol=1e-6)
            assert [str(port) for port in session.inputs] == ["float[N, 3, 8, 8]"]
        times.add(made(path))
    assert len(times) == 1
    assert sorted(file.name for file in path.parent.glob("*net*")) == ["net.onnx", "net.onnx.prepared"]


def test_it_is_what_is_opened(path: Path) -> None:
    Session(path, prepared=True).close()
    weights = path.with_name("net.onnx.prepared") / "weights"
    weights.write_bytes(bytes(weights.stat().st_size))
    with Session(path, threads=1, prepared=True) as changed, Session(path, threads=1) as session:
        assert not np.allclose(changed.run(x=X)["y"], session.run(x=X)["y"])


@pytest.mark.parametrize("what", ["onnxruntime", "processor", "provider", "files"])
def test_of_another_version_or_processor_it_is_made_anew(path: Path, what: str) -> None:
    Session(path, prepared=True).close()
    stamp = path.with_name("net.onnx.prepared") / "stamp.json"
    told = json.loads(stamp.read_text())
    stamp.write_text(json.dumps({**told, what: "another"}))
    (stamp.parent / "weights").write_bytes(b"")
    with Session(path, threads=1, prepared=True) as session:
        assert session.run(x=X)["y"].shape == (2, 40)
    assert json.loads(stamp.read_text()) == told


def test_of_a_changed_model_it_is_made_anew(path: Path, model: Callable[..., Model]) -> None:
    Session(path, prepared=True).close()
    spec = model(SPEC)
    save_model(build_model(spec.graph, draw_weights(spec.graph.weights(), 1)), path)
    with Session(path, threads=1, prepared=True) as prepared, Session(path, threads=1) as session:
        np.testing.assert_allclose(prepared.run(x=X)["y"], session.run(x=X)["y"], rtol=1e-5, atol=1e-6)


def test_weights_of_a_prepared_model_behind_a_link_are_refused(path: Path) -> None:
    Session(path, prepared=True).close()
    weights = path.with_name("net.onnx.prepared") / "weights"
    weights.rename(path.parent / "elsewhere")
    weights.symlink_to(path.parent / "elsewhere")
    with pytest.raises(Refusal, match="behind a link"):
        Session(path, prepared=True)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_to(path: Path) -> None:
    path.parent.chmod(0o500)
    try:
        with pytest.raises(Refusal) as caught:
            Session(path, prepared=True)
    finally:
        path.parent.chmod(0o700)
    assert [type(each) for each in caught.value.diagnostics] == [CannotWrite]
