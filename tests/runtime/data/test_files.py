"""`idx`, `images`, `jsonl` and `parquet`: what they read, and what they say of files that do not fit."""

import gzip
import json
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from dlc.runtime.data.source import DataSource

RANDOM = np.random.default_rng(0)

# --- idx --------------------------------------------------------------------------------------------------------


def idx(path: Path, array: np.ndarray, code: int = 8) -> None:
    data = bytes([0, 0, code, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


@pytest.mark.parametrize("name", ["images", "images.gz"])
def test_idx(opened, tmp_path: Path, name: str) -> None:
    images = RANDOM.integers(256, size=(5, 28, 28), dtype=np.uint8)
    labels = np.array([-1, 0, 1, 2, 300], ">i2")
    idx(tmp_path / name, images)
    idx(tmp_path / "labels", labels, 0x0B)
    source = opened("idx", name, "labels")
    assert {column: str(type) for column, type in source.schema().columns.items()} == {
        "images": "int[28, 28]",
        "labels": "int[]",
    }
    table = source.load(["images", "labels"])
    np.testing.assert_array_equal(table.columns["images"], images)
    np.testing.assert_array_equal(table.columns["labels"], labels)


def test_idx_of_floats(opened, tmp_path: Path) -> None:
    images = RANDOM.normal(size=(3, 2)).astype(">f4")
    idx(tmp_path / "x", images, 0x0D)
    idx(tmp_path / "y", np.zeros(3, np.uint8))
    source = opened("idx", "x", "y")
    assert str(source.schema().columns["images"]) == "float[2]"
    np.testing.assert_array_equal(source.load(["images"]).columns["images"], images)


CLAIMS_TOO_MUCH = bytes([0, 0, 8, 3]) + struct.pack(">3I", 2**31, 2**10, 2**10)


@pytest.mark.parametrize(
    ("content", "code", "message"),
    [
        (b"\x89PNG", "DL6004", "x is not in the format of MNIST"),
        (
            bytes([0, 0, 8, 1]) + struct.pack(">I", 3) + b"ab",
            "DL6004",
            "x holds 2 bytes of data, and its header tells of 3",
        ),
        (
            bytes([0, 0, 8, 1]) + struct.pack(">I", 3) + b"abcd",
            "DL6004",
            "x holds more bytes of data, and its header tells of 3",
        ),
        (bytes([0, 0, 8, 1]) + struct.pack(">I", 0), "DL6004", "x holds no examples"),
        (CLAIMS_TOO_MUCH, "DL6015", None),
        (gzip.compress(bytes([0, 0, 8, 1]) + struct.pack(">I", 3) + b"abc", mtime=0)[:-9], "DL6004", None),
    ],
)
def test_files_that_are_no_idx(opened, told, tmp_path: Path, content: bytes, code: str, message: str | None) -> None:
    (tmp_path / "x").write_bytes(content)
    idx(tmp_path / "y", np.zeros(3, np.uint8))
    if code == "DL6015":
        (tmp_path / "y").write_bytes(bytes([0, 0, 8, 1]) + struct.pack(">I", 2**31))
    source = opened("idx", "x", "y")
    diagnostic = told(lambda: source.load(["images"]))
    assert diagnostic.code == code
    assert message in (None, diagnostic.message)


# --- images -----------------------------------------------------------------------------------------------------


def pictures(folder: Path) -> dict[str, np.ndarray]:
    made: dict[str, np.ndarray] = {}
    for name in ("cat/a.png", "cat/b.bmp", "dog/a.png"):
        made[name] = RANDOM.integers(256, size=(6, 4, 3), dtype=np.uint8)
        (folder / "pets" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(made[name]).save(folder / "pets" / name)
    return made


def test_images_in_folders(opened, tmp_path: Path) -> None:
    made = pictures(tmp_path)
    source = opened("images", "pets")
    assert str(source.schema().columns["image"]) == "int[3, 6, 4] < 256"
    assert str(source.schema().columns["label"]) == "int[] < 2"
    table = source.load(["image", "label"])
    np.testing.assert_array_equal(table.columns["image"], np.stack(list(made.values())).transpose(0, 3, 1, 2))
    assert table.columns["label"].tolist() == [0, 0, 1]
    assert table.row(2) == "pets/dog/a.png"


def test_images_that_are_scaled_and_made_grey(opened, tmp_path: Path) -> None:
    pictures(tmp_path)
    Image.new("L", (9, 9), 7).save(tmp_path / "pets/dog/large.png")
    found = opened("images", "pets", height=3, width=2, channels=1).load(["image"]).columns["image"]
    assert found.shape == (4, 1, 3, 2)
    assert (found[3] == 7).all()
    with Image.open(tmp_path / "pets/cat/a.png") as image:
        due = np.asarray(image.convert("L").resize((2, 3), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(found[0, 0], due)


def test_folders_that_are_no_images(opened, told, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def message() -> str:
        return told(lambda: opened("images", "pets").load(["image"])).message

    assert message() == "there is no folder pets"
    (tmp_path / "pets").mkdir()
    assert message() == "pets has no folder for a class"
    pictures(tmp_path)
    monkeypatch.setattr("dlc.runtime.data.images._PIXELS", 20)
    assert message() == "pets/cat/a.png has more than 20 pixels"
    monkeypatch.undo()
    Image.new("RGB", (4, 4)).save(tmp_path / "pets/dog/b.png")
    assert message() == "pets/dog/b.png is 4 pixels wide and 4 high, and the first image 4 and 6"
    (tmp_path / "pets/dog/b.png").write_bytes((tmp_path / "pets/cat/a.png").read_bytes()[:60])
    assert message() == "pets/dog/b.png cannot be read"
    (tmp_path / "pets/dog/notes.txt").write_text("good dogs")
    assert message().startswith("pets/dog/notes.txt is none of the images that are read")


def test_a_format_that_is_not_listed_is_not_opened(opened, told, tmp_path: Path) -> None:
    pictures(tmp_path)
    Image.new("RGB", (4, 6)).save(tmp_path / "pets/dog/b.eps")
    (tmp_path / "pets/dog/b.eps").rename(tmp_path / "pets/dog/b.png")
    assert told(lambda: opened("images", "pets").load(["image"])).message == "pets/dog/b.png cannot be read"


# --- jsonl ------------------------------------------------------------------------------------------------------


def lines(folder: Path, *rows: object) -> None:
    (folder / "t.jsonl").write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows))


def test_jsonl(opened, tmp_path: Path) -> None:
    rows = [
        {"price": 1, "room count": 2, "at": [[1, 2.5]], "sold": True, "name": "a"},
        {"price": 2.5, "room count": 3, "at": [[3, 4]], "sold": False, "name": "b"},
    ]
    lines(tmp_path, rows[0], "", rows[1])
    source = opened("jsonl", "t.jsonl")
    assert {name: str(type) for name, type in source.schema().columns.items()} == {
        "price": "float[]",
        "room_count": "int[]",
        "at": "float[1, 2]",
        "sold": "bool[]",
    }
    table = source.load(["price", "room_count", "at", "sold"])
    assert {name: column.tolist() for name, column in table.columns.items()} == {
        "price": [1, 2.5],
        "room_count": [2, 3],
        "at": [[[1, 2.5]], [[3, 4]]],
        "sold": [True, False],
    }
    assert table.row(1) == "row 2 (line 3)"


@pytest.mark.parametrize(
    ("rows", "code", "message"),
    [
        ([{"a": 1}, {"b": 1}], "DL6007", "row 2 (line 2) of t.jsonl has no `a`, and each row before it does"),
        ([{"a": [1, 2]}] * 2 + [{"a": [1]}], "DL6007", None),
        ([{"a": 1}, "{"], "DL6004", "line 2 of t.jsonl is no JSON"),
        (["[" * 100_000], "DL6004", "line 1 of t.jsonl is no JSON"),
        (["[1]"], "DL6004", "line 1 of t.jsonl is no object"),
        ([], "DL6004", "t.jsonl holds no examples"),
        ([{"a b": 1, "a-b": 2}], "DL6005", "t.jsonl has `a b` and `a-b`, both read as `a_b`"),
        (["\udcff"], "DL6004", "line 1 of t.jsonl is no JSON"),
    ],
)
def test_files_that_are_no_jsonl(
    opened, told, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: list[object], code: str, message: str | None
) -> None:
    monkeypatch.setattr("dlc.runtime.data.jsonl._SURVEYED", 2)
    text = "\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows)
    (tmp_path / "t.jsonl").write_text(text, errors="surrogateescape")
    diagnostic = told(lambda: opened("jsonl", "t.jsonl").load(["a"]))
    assert diagnostic.code == code
    assert message in (None, diagnostic.message)


@pytest.mark.parametrize("value", ['"text"', "null", "NaN", "1e999", "123456789012345678901234567890", "true", "1.5"])
def test_values_that_are_no_whole_numbers(
    opened, told, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setattr("dlc.runtime.data.jsonl._SURVEYED", 1)
    lines(tmp_path, {"a": 1}, f'{{"a": {value}}}')
    diagnostic = told(lambda: opened("jsonl", "t.jsonl").load(["a"]))
    assert diagnostic.code == "DL6007"
    assert diagnostic.message.startswith("row 2 (line 2) of t.jsonl: `a` is ")


# --- parquet ----------------------------------------------------------------------------------------------------


def test_parquet(opened, tmp_path: Path) -> None:
    made = pa.table(
        {
            "price": pa.array([0.5, 1.5, 2.5], pa.float32()),
            "room count": pa.array([1, 2, 3], pa.uint8()),
            "at": pa.array([[[1, 2]], [[3, 4]], [[5, 6]]], pa.list_(pa.list_(pa.int16(), 2), 1)),
            "sold": pa.array([True, False, True]),
            "name": pa.array(["a", "b", "c"]),
        }
    )
    pq.write_table(made, tmp_path / "t.parquet", row_group_size=2)
    source = opened("parquet", "t.parquet")
    assert source.schema().count == 3
    assert {name: str(type) for name, type in source.schema().columns.items()} == {
        "price": "float[]",
        "room_count": "int[]",
        "at": "int[1, 2]",
        "sold": "bool[]",
    }
    table = source.load(["price", "room_count", "at", "sold"])
    for name, key in (("price", "price"), ("room_count", "room count"), ("at", "at"), ("sold", "sold")):
        assert table.columns[name].tolist() == made[key].to_pylist()


def test_parquet_with_gaps(opened, told, tmp_path: Path) -> None:
    lists = pa.array([[1, 2], [3, None]], pa.list_(pa.int16(), 2))
    pq.write_table(pa.table({"a": [1.0, None], "b": lists}), tmp_path / "t.parquet")
    source = opened("parquet", "t.parquet")
    for name in "ab":
        due = f"row 2, column `{name}` of t.parquet is empty, and a number is due"
        assert told(lambda name=name: source.load([name])).message == due


def test_parquet_with_lists_of_any_size(opened, told, tmp_path: Path) -> None:
    pairs, grids = [[1, 2], [3, 4], [5, 6]], [[[1.5], [2.5]]] * 3
    pq.write_table(pa.table({"pair": pairs, "grid": grids, "name": ["a", "b", "c"]}), tmp_path / "t.parquet")
    source = opened("parquet", "t.parquet")
    assert {name: str(type) for name, type in source.schema().columns.items()} == {
        "pair": "int[2]",
        "grid": "float[2, 1]",
    }
    table = source.load(["pair", "grid"])
    assert (table.columns["pair"].tolist(), table.columns["grid"].tolist()) == (pairs, grids)
    pq.write_table(pa.table({"pair": [[1, 2], [3, 4], [5]]}), tmp_path / "t.parquet")
    due = "row 3, column `pair` of t.parquet has a list of 1, and the first row one of 2"
    assert told(lambda: source.load(["pair"])).message == due
    for first in (None, []):
        pq.write_table(
            pa.table({"pair": pa.array([first, [1]], pa.list_(pa.int64())), "x": [1, 2]}), tmp_path / "t.parquet"
        )
        assert [*source.schema().columns] == ["x"]


def fill_up(monkeypatch: pytest.MonkeyPatch, spare: int) -> None:
    """Leaves so many bytes, in memory and on the disk alike."""
    monkeypatch.setenv("DLC_DATA_MEMORY", str(spare))
    monkeypatch.setattr("dlc.runtime.data.room._free", lambda folder: spare)


def test_files_that_are_no_parquet(opened, told, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "t.parquet").write_bytes(b"a,b\n1,2\n")
    assert told(opened("parquet", "t.parquet").schema).code == "DL6004"
    pq.write_table(pa.table({"a": pa.array([], pa.int64())}), tmp_path / "t.parquet")
    assert told(opened("parquet", "t.parquet").schema).message == "t.parquet holds no examples"
    pq.write_table(pa.table({"a": [0] * 10_000}), tmp_path / "t.parquet")
    fill_up(monkeypatch, 50_000)
    assert (tmp_path / "t.parquet").stat().st_size < 5000
    assert told(lambda: opened("parquet", "t.parquet").load(["a"])).code == "DL6015"


def test_an_archive_that_claims_too_much(opened, told, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez_compressed(tmp_path / "t.npz", x=np.zeros((1000, 100)))
    fill_up(monkeypatch, 100_000)
    assert told(lambda: opened("npz", "t.npz").load(["x"])).code == "DL6015"


# --- categories -------------------------------------------------------------------------------------------------

PORTS = ["S", "Q", "S", "C"]


@pytest.fixture(params=["jsonl", "parquet", "dictionary"])
def ports(opened, tmp_path: Path, request: pytest.FixtureRequest) -> Callable[..., DataSource]:
    """A source with a column of words, as each format has it."""
    if request.param == "jsonl":
        (tmp_path / "t.jsonl").write_text("\n".join(json.dumps({"port": port, "fare": 1.5}) for port in PORTS))
        return lambda **named: opened("jsonl", "t.jsonl", **named)
    words = pa.array(PORTS).dictionary_encode() if request.param == "dictionary" else pa.array(PORTS)
    pq.write_table(pa.table({"port": words, "fare": [1.5] * len(PORTS)}), tmp_path / "t.parquet")
    return lambda **named: opened("parquet", "t.parquet", **named)


def test_words_are_no_column_without_categories(ports) -> None:
    schema = ports().schema()
    assert list(schema.columns) == ["fare"]
    assert schema.texts == {"port": 'categories=(port=["C", "Q", "S"])'}


def test_categories_number_words(ports) -> None:
    source = ports(categories={"port": ["C", "Q", "S"]})
    assert str(source.schema().columns["port"]) == "int[] < 3"
    assert not source.schema().texts
    assert source.load(["port"]).columns["port"].tolist() == [2, 1, 2, 0]


def test_words_that_are_no_categories(ports, told) -> None:
    message = told(lambda: ports(categories={"port": ["S", "Queenstown"]}).load(["port"])).message
    assert message.startswith("row 2")
    assert message.endswith('one of "S", "Queenstown" is due')
    assert told(lambda: ports(categories={"fair": ["S"]}).schema()).code == "DL6002"
