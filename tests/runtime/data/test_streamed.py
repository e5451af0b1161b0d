"""Data in files: the same examples, statistics and hashes as in memory, whatever the source."""

import gzip
import json
import os
import struct
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from dlc.grammar.diagnostics import Refusal
from dlc.runtime.data.examples import Held
from dlc.runtime.data.load import Dataset, load_data
from dlc.runtime.data.room import Room
from dlc.runtime.data.statistics import Moments, standard
from dlc.runtime.data.streamed import Stored, Streamed
from dlc.runtime.spec import read_checked
from dlc.runtime.train.feed import feed

ROWS = 5000  # more than are computed at once
RNG = np.random.default_rng(0)
WIDE, KINDS, PRICES = RNG.normal(size=(ROWS, 3)).astype(np.float32), RNG.integers(0, 5, ROWS), RNG.normal(size=ROWS)


def write_csv(folder: Path) -> None:
    lines = [
        f"{a!r},{kind},{price!r}" for a, kind, price in zip(WIDE[:, 0].tolist(), KINDS, PRICES.tolist(), strict=True)
    ]
    (folder / "t.csv").write_text("\n".join(["a,kind,price", *lines, ""]))


def write_jsonl(folder: Path) -> None:
    rows = zip(WIDE.tolist(), KINDS.tolist(), PRICES.tolist(), strict=True)
    lines = [json.dumps({"wide": a, "kind": k, "price": p, "cheap": p < 0}) for a, k, p in rows]
    (folder / "t.jsonl").write_text("\n".join(lines))


def write_parquet(folder: Path) -> None:
    wide = pa.FixedSizeListArray.from_arrays(pa.array(WIDE.reshape(-1)), 3)
    table = pa.table({"wide": wide, "kind": pa.array(KINDS, pa.int16()), "price": PRICES})
    pq.write_table(table, folder / "t.parquet", row_group_size=700)


def write_npz(folder: Path) -> None:
    save: Callable[..., None] = np.savez_compressed
    save(folder / "t.npz", wide=WIDE, kind=KINDS.astype(np.uint8), price=PRICES.astype(">f8"))


def write_idx(folder: Path) -> None:
    pixels = RNG.integers(0, 256, (ROWS, 4, 4)).astype(np.uint8)
    header = bytes([0, 0, 8, 3]) + struct.pack(">III", ROWS, 4, 4)
    (folder / "x.gz").write_bytes(gzip.compress(header + pixels.tobytes()))
    (folder / "y").write_bytes(bytes([0, 0, 0x0B, 1]) + struct.pack(">I", ROWS) + KINDS.astype(">i2").tobytes())


def write_images(folder: Path) -> None:
    for place in range(40):
        (folder / "pets" / f"kind{place % 3}").mkdir(parents=True, exist_ok=True)
        pixels = RNG.integers(0, 256, (5, 4, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / "pets" / f"kind{place % 3}" / f"{place}.png")


def write_text(folder: Path) -> None:
    (folder / "t.txt").write_text("Ünïcode and the cat's dog; " * 3000)


SPLIT = "    split = (train=0.7, valid=0.2, test=0.1)\n"
SOURCES = {
    "csv": (write_csv, 'csv("t.csv")', ("x: float[] = standardize(price * a)", "kind: int[] < 5", "price: float[]")),
    "jsonl": (write_jsonl, 'jsonl("t.jsonl")', ("x: float[3] = standardize(wide)", "kind: int[]", "cheap: bool[]")),
    "parquet": (
        write_parquet,
        'parquet("t.parquet")',
        ("wide: float[3]", "y: float[] = standardize(price)", "kind: int[]"),
    ),
    "npz": (write_npz, 'npz("t.npz")', ("wide: float[3]", "kind: int[] < 5", "z: float[2] = wide[:2] * price")),
    "idx": (write_idx, 'idx("x.gz", "y")', ("x: float[1, 4, 4] = images / 255", "labels: int[] < 5")),
    "images": (
        write_images,
        'images("pets")',
        ("image: int[3, 5, 4] < 256", "x: float[3, 5, 4] = image / 255", "label: int[]"),
    ),
    "bytes": (
        write_text,
        'text("t.txt", tokenizer=bytes(), window=9)',
        ("tokens: int[9]", "next: int[8] = tokens[1:]"),
    ),
    "chars": (write_text, 'text("t.txt", tokenizer=chars(), window=9, stride=4)', ("tokens: int[9]",)),
    "words": (write_text, 'text("t.txt", tokenizer=words(4), window=9, stride=2)', ("tokens: int[9]",)),
    "generate": (
        lambda folder: None,
        "generate(9000)",
        ("x: float[2] = normal([2])", "y: float[] = sum(x) + normal([])"),
    ),
}


def load(folder: Path, source: str, fields: Sequence[str], memory: str, monkeypatch: pytest.MonkeyPatch) -> Dataset:
    monkeypatch.setenv("DLC_DATA_MEMORY", memory)
    lines = "".join(f"    {field}\n" for field in fields)
    (folder / "spec.dl").write_text(f"data D:\n    source = {source}\n{lines}{SPLIT}")
    (spec,) = read_checked(folder / "spec.dl").data.values()
    return load_data(spec, folder, 3)


@pytest.mark.parametrize("kind", SOURCES)
def test_in_files_as_in_memory(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write, source, fields = SOURCES[kind]
    write(tmp_path)
    held = load(tmp_path, source, fields, "1GiB", monkeypatch)
    streamed = load(tmp_path, source, fields, "1K", monkeypatch)
    assert held.fingerprint == streamed.fingerprint
    assert held.statistics.keys() == streamed.statistics.keys()
    assert all(torch.equal(value, streamed.statistics[name]) for name, value in held.statistics.items())
    if held.frequencies is not None:
        assert streamed.frequencies is not None
        assert torch.equal(held.frequencies, streamed.frequencies)
    for part, examples in held.parts.items():
        other = streamed.parts[part]
        assert isinstance(examples, Held)
        assert isinstance(other, Streamed)
        assert (examples.count, examples.size, [*examples]) == (other.count, other.size, [*other])
        rows = [np.random.default_rng(1).permutation(examples.count)[:40], slice(2, 7), slice(3, 10**6)]
        for chosen in rows:
            for name, value in examples.fetch(chosen).items():
                got = other.fetch(chosen)[name]
                assert got.dtype is value.dtype
                assert torch.equal(got, value)
        with feed(other, rows) as ahead:
            for fetched, chosen in zip(ahead, rows, strict=True):
                assert all(map(torch.equal, fetched, examples.fetch(chosen).values()))
        for name, value in examples.items():
            assert torch.equal(other[name], value)
            np.testing.assert_array_equal(other.arrays()[name][1:4], value[1:4].numpy())
            assert len(other.arrays()[name]) == examples.count


def test_wrong_values_are_told_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.zeros(ROWS, np.int64)
    values[4500:] = 7
    for source, fields in (('npz("t.npz")', ["x: int[] < 5"]), ('npz("t.npz")', ["x: int[] < 5 = x + 0"])):
        np.savez(tmp_path / "t.npz", x=values)
        told: list[str] = []
        for memory in ("1GiB", "1K"):
            with pytest.raises(Refusal) as caught:
                load(tmp_path, source, fields, memory, monkeypatch)
            told.append(caught.value.diagnostics[0].message)
        assert told[0] == told[1]
        assert told[0].startswith("example 4501 of t.npz: `x`")


def test_reduced_precision_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez(tmp_path / "t.npz", x=WIDE)
    fields = ['x: bfloat16[3] = cast(x, "bfloat16")', 'y: float16[3] = cast(x * 2, "float16")']
    held, streamed = (load(tmp_path, 'npz("t.npz")', fields, memory, monkeypatch) for memory in ("1GiB", "1K"))
    for name, value in held.parts["train"].items():
        assert value.dtype in (torch.bfloat16, torch.float16)
        assert torch.equal(streamed.parts["train"][name], value)


def test_moments_of_pieces_are_those_of_the_whole() -> None:
    values = torch.from_numpy(PRICES * 1e3 + 1e6)
    moments = Moments()
    for piece in (values[:1], values[1:1], values[1:4000], values[4000:]):
        moments.add(piece)
    mean, deviation = moments.standard(torch.float64)
    whole = standard(values)
    torch.testing.assert_close(mean, whole[0], rtol=1e-14, atol=0)
    torch.testing.assert_close(deviation, torch.from_numpy(np.asarray(values.numpy().std())), rtol=1e-11, atol=0)


# --- room -------------------------------------------------------------------------------------------------------


def test_room_moves_to_files_where_it_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    room = Room(1000)
    small, large = room.column(np.float64), room.column(np.float64, (2,))
    small.extend(np.arange(4.0))
    large.extend(np.ones((10, 2)))
    assert not room.spilled
    large.extend(np.full((50, 2), 2.0))
    small.extend(np.arange(4.0, 6.0))
    assert small.done().tolist() == [0, 1, 2, 3, 4, 5]
    assert room.spilled
    assert large.done().sum() == 220


def test_what_was_looked_at_is_given_back() -> None:
    def mapped() -> int:
        """Of files, in bytes."""
        status = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
        return int(status["RssFile"].split()[0]) * 1024

    room = Room(0)
    column = room.column(np.float32, (1024,))
    for _ in range(80):
        column.extend(np.ones((2048, 1024), np.float32))
    stored = Stored(torch.as_tensor(column.done()), torch.float32)
    examples = Streamed({"x": stored}, slice(0, 80 * 2048), room)
    before = mapped()
    rows, largest = np.random.default_rng(0).permutation(examples.count), 0
    for start in range(0, examples.count, 1024):
        examples.fetch(rows[start : start + 1024])
        largest = max(largest, mapped() - before)
    for start in range(0, examples.count, 1024):
        assert examples.arrays()["x"][start : start + 1024].sum() == 1024 * 1024
        largest = max(largest, mapped() - before)
    assert largest < 400 * 2**20


def test_files_have_no_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    room = Room(0)
    column = room.column(np.int64)
    column.extend(np.arange(10))
    found = column.done()
    assert room.folder == tmp_path
    assert not any(tmp_path.iterdir())
    room.release()
    assert found.tolist() == list(range(10))


def test_a_disk_that_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    room = Room(0)
    monkeypatch.setattr(Room, "new_file", lambda self: os.fdopen(os.open("/dev/full", os.O_RDWR), "r+b", 0))
    with pytest.raises(Refusal) as caught:
        room.column(np.int64).extend(np.arange(10**5))
    assert caught.value.diagnostics[0].code == "DL6015"
    assert "no space left" in caught.value.diagnostics[0].message


def test_a_disk_is_not_filled_to_the_last_byte(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dlc.runtime.data.room._LOOKS", 1000)
    monkeypatch.setattr("dlc.runtime.data.room._free", lambda folder: 0)
    room = Room(0)
    column = room.column(np.int64)
    column.extend(np.arange(100))
    with pytest.raises(Refusal, match="cannot take what is read: no space left"):
        column.extend(np.arange(100))


def test_a_field_that_nothing_has_room_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dlc.runtime.data.room._free", lambda folder: 10**6)
    np.savez(tmp_path / "t.npz", x=WIDE)
    with pytest.raises(Refusal, match=r"`big` of .* would take up"):
        load(tmp_path, 'npz("t.npz")', ["big: float[3, 100] = expand(reshape(x, [3, 1]), [3, 100])"], "1K", monkeypatch)


def test_what_a_user_gives_data(monkeypatch: pytest.MonkeyPatch) -> None:
    from dlc.runtime.data.room import MEMORY, memory_bound

    monkeypatch.delenv("DLC_DATA_MEMORY", raising=False)
    assert memory_bound() == MEMORY
    for told, due in (("8GiB", 8 * 2**30), ("512M", 2**29), ("0", 0), ("1.5 GB", 3 * 2**29)):
        monkeypatch.setenv("DLC_DATA_MEMORY", told)
        assert memory_bound() == due
    monkeypatch.setenv("DLC_DATA_MEMORY", "much")
    with pytest.raises(Refusal):
        memory_bound()
