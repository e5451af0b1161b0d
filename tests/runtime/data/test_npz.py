"""`npz(...)`: what it reads, and what it says of a file that does not fit."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dlc.compiler.program import SourceCall
from dlc.grammar.diagnostics import Diagnostic, Refusal
from dlc.grammar.source import Source, Span
from dlc.runtime.data.open import open_source
from dlc.runtime.data.source import DataSource

CALL = Span(Source("spec.dl", 'npz("t.npz")'), 0, 12)


def opened(folder: Path) -> DataSource:
    return open_source(SourceCall("npz", ("t.npz",), {}, CALL), folder)


def saved(folder: Path, **arrays: Any) -> DataSource:
    np.savez(folder / "t.npz", **arrays)
    return opened(folder)


def refused(source: DataSource) -> Diagnostic:
    with pytest.raises(Refusal) as caught:
        source.schema()
    (diagnostic,) = caught.value.diagnostics
    return diagnostic


def test_an_array_is_a_column(tmp_path: Path) -> None:
    image = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    source = saved(
        tmp_path, image=image, label=np.array([1, 0]), scale=np.array([0.5, 1]), seen=np.array([True, False])
    )
    schema = source.schema()
    assert schema.count == 2
    assert {name: str(type) for name, type in schema.columns.items()} == {
        "image": "int[3, 4]",
        "label": "int[]",
        "scale": "float[]",
        "seen": "bool[]",
    }
    table = source.load(["image", "scale"])
    assert set(table.columns) == {"image", "scale"}
    np.testing.assert_array_equal(table.columns["image"], image)


def test_the_schema_is_read_from_the_headers_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez_compressed(tmp_path / "t.npz", x=np.zeros((5, 2)))
    monkeypatch.delattr(np, "load")
    assert opened(tmp_path).schema().count == 5


class Bomb:
    """Something that would run code if it were unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (pytest.fail, ("a pickle was read",))


def test_objects_are_never_read(tmp_path: Path) -> None:
    source = saved(tmp_path, x=np.array([Bomb(), Bomb()], dtype=object))
    diagnostic = refused(source)
    assert diagnostic.code == "DL6008"
    assert diagnostic.message.startswith("`x` of t.npz holds objects, which are never read")
    with pytest.raises(Refusal):
        source.load(["x"])


@pytest.mark.parametrize(
    ("arrays", "code", "message"),
    [
        ({"x": np.zeros(3), "y": np.zeros(4)}, "DL6008", "`x` and `y` of t.npz have 3 and 4 entries"),
        ({"x": np.float64(1)}, "DL6008", "`x` of t.npz is a single number, and an entry for each example is due"),
        ({"x": np.array(["a"])}, "DL6008", "`x` of t.npz holds text; numbers or truth values are due"),
        ({"x": np.zeros(2, complex)}, "DL6008", "`x` of t.npz holds complex numbers; numbers or truth values are due"),
        ({"a b": np.zeros(2)}, "DL6008", "`a b` of t.npz is no name that a spec could use"),
        ({"x": np.zeros((0, 3))}, "DL6004", "the arrays of t.npz hold no examples"),
        ({}, "DL6004", "t.npz holds no arrays"),
    ],
)
def test_arrays_that_are_no_columns(tmp_path: Path, arrays: dict[str, Any], code: str, message: str) -> None:
    diagnostic = refused(saved(tmp_path, **arrays))
    assert (diagnostic.code, diagnostic.message) == (code, message)


@pytest.mark.parametrize("data", [b"", b"a,b\n1,2\n", pickle.dumps([1, 2])])
def test_files_that_are_no_archive(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "t.npz").write_bytes(data)
    diagnostic = refused(opened(tmp_path))
    assert (diagnostic.code, diagnostic.message) == ("DL6004", "t.npz is not an archive of arrays")


def test_an_archive_that_was_cut_off(tmp_path: Path) -> None:
    source = saved(tmp_path, x=np.zeros(1000))
    data = (tmp_path / "t.npz").read_bytes()
    (tmp_path / "t.npz").write_bytes(data[: len(data) // 2])
    assert refused(source).code == "DL6004"


def test_a_missing_file(tmp_path: Path) -> None:
    assert refused(opened(tmp_path)).code == "DL6003"


def test_numbers_too_large_for_an_int(tmp_path: Path) -> None:
    source = saved(tmp_path, x=np.array([2**63], np.uint64))
    with pytest.raises(Refusal, match="too large for an int"):
        source.load(["x"])
