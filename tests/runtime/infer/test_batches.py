"""Inputs in batches: what is read from each kind of file, in how much memory."""

from __future__ import annotations

import resource
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from dlc.compiler.dim import Dim
from dlc.compiler.onnx.emit import build_model, save_model
from dlc.compiler.program import Model
from dlc.compiler.types import DType
from dlc.compiler.weights import draw_weights
from dlc.grammar.diagnostics import Refusal
from dlc.runtime.infer.batches import in_batches, pieces
from dlc.runtime.infer.description import Port
from dlc.runtime.infer.session import Session

Read = Callable[..., Model]

N = Dim.symbol("N")
TABLE = Port("x", DType.FLOAT, (N, Dim.of(3)))
VECTOR = Port("x", DType.INT, (N,))


@pytest.fixture
def session(model: Read, tmp_path: Path) -> Iterator[Callable[[str], Session]]:
    opened: list[Session] = []

    def read(text: str) -> Session:
        spec = model(text)
        path = tmp_path / "model.onnx"
        save_model(build_model(spec.graph, draw_weights(spec.graph.weights(), 0)), path)
        opened.append(Session(path, threads=1, trusted=True))
        return opened[-1]

    yield read
    for each in opened:
        each.close()


@pytest.mark.parametrize("batch", [1, 4, 10, 11])
@pytest.mark.parametrize("ending", ["npy", "npz", "csv", "txt"])
def test_batches_of_a_file_are_the_file(tmp_path: Path, ending: str, batch: int) -> None:
    whole = np.arange(30, dtype=np.float32).reshape(10, 3) / 4
    path = tmp_path / f"x.{ending}"
    match ending:
        case "npy":
            np.save(path, whole)
        case "npz":
            np.savez_compressed(path, x=whole, other=whole[:2])
        case "csv":
            path.write_text("a,b,c\n" + "\n".join(",".join(map(str, row)) for row in whole.tolist()))
        case _:
            np.savetxt(path, whole)
    found = list(pieces(str(path), TABLE, batch))
    assert [len(piece) for piece in found[:-1]] == [batch] * (len(found) - 1)
    assert {piece.dtype for piece in found} == {np.dtype(np.float32)}
    np.testing.assert_array_equal(np.concatenate(found), whole)


def test_numbers_and_vectors_come_in_batches_too(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("1\n2\n3\n")
    for text in ("[1, 2, 3]", str(tmp_path / "x.csv")):
        assert [piece.tolist() for piece in pieces(text, VECTOR, 2)] == [[1, 2], [3]]


def test_a_folder_of_images_in_the_order_of_names(tmp_path: Path) -> None:
    pillow = pytest.importorskip("PIL.Image")
    for name, grey in (("b", 51), ("a", 0), ("c", 255)):
        pillow.fromarray(np.full((4, 5), grey, np.uint8)).save(tmp_path / f"{name}.png")
    port = Port("x", DType.FLOAT, (N, Dim.of(1), Dim.symbol("H"), Dim.symbol("W")))
    found = list(pieces(str(tmp_path), port, 2))
    assert [piece.shape for piece in found] == [(2, 1, 4, 5), (1, 1, 4, 5)]
    np.testing.assert_allclose(np.concatenate(found)[:, 0, 0, 0], [0, 0.2, 1])
    pillow.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / "d.png")
    with pytest.raises(Refusal) as caught:
        list(pieces(str(tmp_path), port, 9))
    assert caught.value.diagnostics[0].notes == ("d.png is 4 wide and 4 high, and a.png is 5 and 4",)
    (tmp_path / "notes.md").write_text("none")
    with pytest.raises(Refusal, match="cannot be read"):
        list(pieces(str(tmp_path), port, 9))


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("x.csv", b"a,b,c\n1,2,3\n4,5\n", "row 3 has 2 columns"),
        ("x.csv", b"1e39,2,3\n", "1e+39 is beyond what float32 can hold"),
        ("x.txt", b"1 2 3\n1 2\n", "line 2 has 2 numbers"),
        ("x.npy", b"nothing", "magic string"),
        ("x.npy", b"\x93NUMPY\x01\x00", "EOF"),
        ("x.npz", b"nothing", "not a zip file"),
    ],
)
def test_a_file_that_is_wrong_is_told(tmp_path: Path, name: str, data: bytes, words: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(Refusal) as caught:
        list(pieces(str(tmp_path / name), TABLE, 2))
    (found,) = caught.value.diagnostics
    assert words in " ".join((found.message, *found.notes))


def test_outputs_are_those_of_all_at_once(session: Callable[[str], Session]) -> None:
    net = session("model M(x: float[N, 4], k: int[N] < 3) -> (y: float[N, 2]):\n    return linear(x, 2)\n")
    x = np.random.default_rng(0).normal(size=(11, 4)).astype(np.float32)
    k = np.arange(11) % 3
    found = [*in_batches(net, {"x": iter(np.array_split(x, 3)), "k": iter(np.array_split(k, 3))})]
    assert [len(each["y"]) for each in found] == [4, 4, 3]
    np.testing.assert_allclose(np.concatenate([each["y"] for each in found]), net.run(x=x, k=k)["y"], rtol=1e-6)


def test_inputs_of_different_lengths_are_refused(session: Callable[[str], Session]) -> None:
    net = session("model M(x: float[N, 4], z: float[N, 4]) -> (y: float[N, 4]):\n    return x + z\n")
    one, two = np.ones((1, 4), np.float32), np.ones((2, 4), np.float32)
    with pytest.raises(Refusal) as caught:
        list(in_batches(net, {"x": iter([two, two]), "z": iter([two, one])}))
    assert caught.value.diagnostics[0].notes == ("x: 4, z: 3",)
    with pytest.raises(Refusal, match="no examples"):
        list(in_batches(net, {"x": iter(()), "z": iter(())}))


@pytest.mark.parametrize(
    "text",
    [
        "model M(x: float[N, 4]) -> (y: float[]):\n    return sum(x)\n",
        "model M(x: float[N, 4], z: float[T, 4]) -> (y: float[N, T]):\n    return x @ z.T\n",
        "model M(x: float[4]) -> (y: float[4]):\n    return relu(x)\n",
    ],
)
def test_a_model_without_an_axis_for_examples_is_refused(session: Callable[[str], Session], text: str) -> None:
    with pytest.raises(Refusal, match="no first axis for the examples"):
        list(in_batches(session(text), {}))


def test_a_file_larger_than_the_memory_it_takes(session: Callable[[str], Session], tmp_path: Path) -> None:
    net = session("model M(x: float[N, 1024]) -> (y: float[N]):\n    return mean(x, axes=[1])\n")
    _sparse(tmp_path / "x.npy", 60_000)
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.write(tmp_path / "x.npy", "x.npy")
    (port,) = net.inputs
    for name in ("x.npy", "x.npz"):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        total = sum(float(each["y"].sum()) for each in in_batches(net, {"x": pieces(str(tmp_path / name), port, 256)}))
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before
        assert total == 60
        assert grown < 60 * 2**20


def _sparse(path: Path, count: int) -> None:
    """float32[count, 1024] of zeros, but for ones in every thousandth row; holes of a file take up no space."""
    with path.open("wb") as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": (count, 1024)}
        np.lib.format.write_array_header_1_0(file, header)
        start = file.tell()
        for row in range(0, count, 1000):
            file.seek(start + row * 4096)
            file.write(np.ones(1024, np.float32).tobytes())
        file.truncate(start + count * 4096)
