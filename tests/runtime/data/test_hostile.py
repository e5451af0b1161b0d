"""What a source is given that it cannot take: one clear error with file and place, in bounded time and memory."""

import io
import json
import os
import resource
import struct
import time
import zipfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from dlc.grammar.diagnostics import Diagnostic, Refusal
from dlc.runtime.data.load import load_data
from dlc.runtime.spec import read_checked

SECONDS, BYTES = 10, 2**30
FILES = {
    "csv": ("t.csv", 'csv("t.csv")', "x: int[] < 5"),
    "jsonl": ("t.jsonl", 'jsonl("t.jsonl")', "x: int[] < 5"),
    "parquet": ("t.parquet", 'parquet("t.parquet")', "x: int[] < 5"),
    "npz": ("t.npz", 'npz("t.npz")', "x: int[] < 5"),
    "idx": ("x.idx", 'idx("x.idx", "y.idx")', "images: int[] < 5"),
    "images": ("pets/cat/a.png", 'images("pets")', "image: int[3, 4, 4] < 256"),
    "text": ("t.txt", 'text("t.txt", tokenizer=bytes(), window=3)', "tokens: int[3]"),
    "file": ("tokenizer.json", 'text("t.txt", tokenizer=file("tokenizer.json"), window=3)', "tokens: int[3]"),
}
TOKENIZER = {
    "version": "1.0",
    "model": {"type": "WordLevel", "vocab": {"a": 0, "b": 1, "c": 2}, "unk_token": "a"},
    "pre_tokenizer": {"type": "Whitespace"},
}


def packed(write: Callable[[io.BytesIO], object]) -> bytes:
    buffer = io.BytesIO()
    write(buffer)
    return buffer.getvalue()


def parquet(column: object, name: str = "x", **options: object) -> bytes:
    return packed(lambda file: pq.write_table(pa.table({name: column}), file, **options))


def npz(**arrays: object) -> bytes:
    return packed(lambda file: np.savez_compressed(file, **arrays))  # pyright: ignore[reportArgumentType]


def npy_of(header: str, content: bytes = b"", *, twice: bool = False) -> bytes:
    """An archive with one array, whose header says that."""
    line = f"{header}\n".encode("latin-1")
    entry = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(line)) + line + content

    def write(file: io.BytesIO) -> None:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("x.npy", entry)

    return packed(write)


def idx(values: object, code: int = 8, dtype: str = "u1") -> bytes:
    array = np.asarray(values, dtype)
    return bytes([0, 0, code, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def png(width: int = 4, height: int = 4) -> bytes:
    return packed(lambda file: Image.new("RGB", (width, height)).save(file, "png"))


def png_claiming(width: int, height: int) -> bytes:
    """A picture of some bytes that claims a size."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(bytes(10**6))

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


GOOD = {
    "csv": b"x\n1\n2\n3\n",
    "jsonl": b'{"x": 1}\n{"x": 2}\n{"x": 3}\n',
    "parquet": parquet([1, 2, 3]),
    "npz": npz(x=np.array([1, 2, 3])),
    "idx": idx([1, 2, 3]),
    "images": png(),
    "text": b"abcdef",
    "file": json.dumps(TOKENIZER).encode(),
}
NOISE = np.random.default_rng(0).integers(0, 5, 20_000)

PLAIN = parquet(NOISE, compression="none")

# kind of source, what is wrong, the file's bytes, the code, and what is said.
WRONG: list[tuple[str, str, bytes, str, str]] = [
    ("csv", "empty", b"", "DL6004", "t.csv is empty"),
    ("csv", "no rows", b"x\n", "DL6004", "t.csv has a header and no rows"),
    ("csv", "ragged", b"x,y\n1,2\n3\n", "DL6006", "row 2 (line 3) of t.csv has 1 cell, and its header names 2"),
    ("csv", "type", b"x\n1\ncat\n", "DL6007", "row 2 (line 3), column `x` of t.csv holds `cat`"),
    ("csv", "range", b"x\n1\n7\n", "DL6011", "row 2 (line 3) of t.csv: `x` is 7, outside of the declared range"),
    ("csv", "cut", b'x\n1\n"2', "DL6004", "t.csv is no table"),
    ("csv", "zeros", b"x\n1\n\x00\n", "DL6007", "row 2 (line 3), column `x` of t.csv holds"),
    ("csv", "no text", b"x\n1\n\xff\xfe\n", "DL6004", "t.csv is not text in UTF-8"),
    ("csv", "one line", b"x" * 3_000_000, "DL6004", "t.csv is no table: field larger than field limit"),
    ("csv", "many digits", b"x\n1\n" + b"9" * 100_000, "DL6007", "row 2 (line 3), column `x` of t.csv holds"),
    ("jsonl", "empty", b"", "DL6004", "t.jsonl holds no examples"),
    ("jsonl", "ragged", b'{"x": 1}\n{"y": 2}\n', "DL6007", "row 2 (line 2) of t.jsonl has no `x`"),
    ("jsonl", "type", b'{"x": 1}\n{"x": "cat"}\n', "DL6007", 'row 2 (line 2) of t.jsonl: `x` is "cat"'),
    ("jsonl", "range", b'{"x": 1}\n{"x": 7}\n', "DL6011", "row 2 (line 2) of t.jsonl: `x` is 7"),
    ("jsonl", "cut", b'{"x": 1}\n{"x": ', "DL6004", "line 2 of t.jsonl is no JSON"),
    ("jsonl", "deep", b'{"x": 1}\n' + b'{"x": ' + b"[" * 200_000, "DL6004", "line 2 of t.jsonl is no JSON"),
    ("jsonl", "digits", b'{"x": 1}\n{"x": ' + b"9" * 100_000 + b"}", "DL6004", "line 2 of t.jsonl is no JSON"),
    ("jsonl", "no end", b'{"x": "' + b"a" * (2**26), "DL6004", "line 1 of t.jsonl has more than 67,108,864 bytes"),
    ("parquet", "empty", b"", "DL6004", "t.parquet is not a Parquet file"),
    ("parquet", "no rows", parquet(pa.array([], pa.int64())), "DL6004", "t.parquet holds no examples"),
    ("parquet", "gap", parquet([1, None, 3]), "DL6007", "row 2, column `x` of t.parquet is empty"),
    ("parquet", "ragged", parquet([[1, 2], [3]]), "DL65", ""),
    ("parquet", "type", parquet(["a", "b"]), "DL6502", "`x` holds words, and a column is of numbers"),
    ("parquet", "range", parquet([1, 2, 7]), "DL6011", "row 3 of t.parquet: `x` is 7"),
    ("parquet", "cut", parquet(NOISE)[:-9], "DL6004", "t.parquet is not a Parquet file"),
    ("parquet", "cut inside", PLAIN[:4] + PLAIN[3000:], "DL6004",
     "t.parquet is not a Parquet file"),
    ("parquet", "too large", parquet(pa.array([1, 2**63], pa.uint64())), "DL6008", "`x` of t.parquet holds"),
    ("npz", "empty", b"", "DL6004", "t.npz is not an archive of arrays"),
    ("npz", "no arrays", packed(lambda file: zipfile.ZipFile(file, "w").close()), "DL6004", "t.npz holds no arrays"),
    ("npz", "no rows", npz(x=np.array([], int)), "DL6004", "the arrays of t.npz hold no examples"),
    ("npz", "ragged", npz(x=np.arange(3), y=np.arange(4)), "DL6008", "`x` and `y` of t.npz have 3 and 4 entries"),
    ("npz", "objects", npz(x=np.array([{}, 1], object)), "DL6008", "`x` of t.npz holds objects"),
    ("npz", "type", npz(x=np.array(["a"])), "DL6008", "`x` of t.npz holds text"),
    ("npz", "range", npz(x=np.array([1, 7])), "DL6011", "example 2 of t.npz: `x` is 7"),
    ("npz", "cut", npz(x=NOISE)[:-30], "DL6004", "t.npz is not an archive of arrays"),
    ("npz", "cut inside", npy_of("{'descr': '<i8', 'fortran_order': False, 'shape': (9,)}", bytes(20)), "DL6004",
     "`x` of t.npz has 2 entries, and its header tells of 9"),
    ("npz", "4 TiB", npy_of("{'descr': '<i8', 'fortran_order': False, 'shape': (549755813888,)}"), "DL6015",
     "t.npz would take up 4.1e+03 GiB"),
    ("npz", "4 TiB, columns", npy_of("{'descr': '<i8', 'fortran_order': True, 'shape': (549755813888, 1)}"), "DL6015",
     ""),
    ("npz", "1 GiB, none", npy_of("{'descr': '<i8', 'fortran_order': False, 'shape': (134217728,)}"), "DL6004",
     "`x` of t.npz has 0 entries"),
    ("npz", "code", npy_of("__import__('os').abort()"), "DL6004", "t.npz is not an archive of arrays"),
    ("npz", "below zero", npy_of("{'descr': '<i8', 'fortran_order': False, 'shape': (-3,)}"), "DL6004", "t.npz"),
    ("idx", "empty", b"", "DL6004", "x.idx is not in the format of MNIST"),
    ("idx", "no rows", idx(np.zeros(0)), "DL6004", "x.idx holds no examples"),
    ("idx", "ragged", idx([1, 2]), "DL6008", "x.idx has 2 examples, and y.idx 3"),
    ("idx", "type", idx([1, 2, 3])[:2] + b"\x07" + idx([1, 2, 3])[3:], "DL6004", "x.idx is not in the format of MNIST"),
    ("idx", "range", idx([1, 2, 7]), "DL6011", "example 3 of x.idx: `images` is 7"),
    ("idx", "cut", idx([1, 2, 3])[:-1], "DL6004", "x.idx holds 2 bytes of data, and its header tells of 3"),
    ("idx", "4 TiB", bytes([0, 0, 8, 3]) + struct.pack(">III", 3, 2**20, 2**21), "DL65", ""),
    ("images", "empty", b"", "DL6016", "pets/cat/a.png cannot be read"),
    ("images", "ragged", png(4, 5), "DL65", ""),
    ("images", "type", b"GIF89a not a picture", "DL6016", "pets/cat/a.png cannot be read"),
    ("images", "cut", png()[:-30], "DL6016", "pets/cat/a.png cannot be read"),
    ("images", "bomb", png_claiming(60_000, 60_000), "DL6016", "pets/cat/a.png"),
    ("images", "small bomb", png_claiming(9000, 9000), "DL6016", "pets/cat/a.png has more than 67,108,864 pixels"),
    ("text", "empty", b"", "DL6004", "t.txt is empty"),
    ("text", "short", b"ab", "DL6004", "t.txt has 2 tokens, and a window takes 3"),
    ("text", "cut", "ab\nü".encode()[:-1], "DL6004", "t.txt is not text in UTF-8: line 2 holds the byte 0xc3"),
    ("file", "empty", b"", "DL6004", "tokenizer.json is no tokenizer as the library `tokenizers` writes it"),
    ("file", "type", b"[1, 2]", "DL6004", "tokenizer.json is no tokenizer"),
    ("file", "cut", GOOD["file"][:-3], "DL6004", "tokenizer.json is no tokenizer"),
    ("file", "bytes", b"\xff\xfe", "DL6004", "tokenizer.json is no tokenizer"),
]  # fmt: skip


def write(folder: Path, kind: str, content: bytes | None) -> Path:
    """A source's files, of which the first has that content, or is not made."""
    path = folder / FILES[kind][0]
    path.parent.mkdir(parents=True, exist_ok=True)
    if content is not None:
        path.write_bytes(content)
    if kind == "idx":
        (folder / "y.idx").write_bytes(GOOD["idx"])
    if kind == "images":
        (path.parent / "b.png").write_bytes(png())
    if kind == "file":
        (folder / "t.txt").write_bytes(b"a b c a b c")
    return path


def load(folder: Path, kind: str) -> None:
    _, source, field = FILES[kind]
    (folder / "spec.dl").write_text(f"data D:\n    source = {source}\n    {field}\n")
    (spec,) = read_checked(folder / "spec.dl").data.values()
    load_data(spec, folder, 0)


def told(folder: Path, kind: str) -> Diagnostic:
    """The only thing that is said, soon and with little memory."""
    load_before = time.monotonic()
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + BYTES, hard))
    try:
        with pytest.raises(Refusal) as caught:
            load(folder, kind)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    assert time.monotonic() - load_before < SECONDS
    (diagnostic,) = caught.value.diagnostics
    return diagnostic


@pytest.fixture(autouse=True, params=["1GiB", "0"], ids=["held", "streamed"])
def memory(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DLC_DATA_MEMORY", request.param)


@pytest.mark.parametrize("kind", FILES)
def test_what_is_right_is_taken(kind: str, tmp_path: Path) -> None:
    write(tmp_path, kind, GOOD[kind])
    load(tmp_path, kind)


@pytest.mark.parametrize(("kind", "wrong", "content", "code", "message"), WRONG, ids=[f"{w[0]}-{w[1]}" for w in WRONG])
def test_what_is_wrong_is_told(kind: str, wrong: str, content: bytes, code: str, message: str, tmp_path: Path) -> None:
    write(tmp_path, kind, content)
    diagnostic = told(tmp_path, kind)
    assert diagnostic.code.startswith(code), diagnostic.message
    assert diagnostic.message.startswith(message)
    assert diagnostic.span is not None


# --- what is no file --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", FILES)
def test_a_pipe(kind: str, tmp_path: Path) -> None:
    os.mkfifo(write(tmp_path, kind, None))
    diagnostic = told(tmp_path, kind)
    assert FILES[kind][0] in diagnostic.message
    assert diagnostic.code == ("DL6016" if kind == "images" else "DL6003")


@pytest.mark.parametrize("kind", FILES)
def test_a_link_that_leaves_the_folder(kind: str, tmp_path: Path) -> None:
    outside, inside = tmp_path / "outside", tmp_path / "inside"
    outside.mkdir()
    inside.mkdir()
    target = write(outside, kind, GOOD[kind])
    write(inside, kind, None).symlink_to(target)
    diagnostic = told(inside, kind)
    assert diagnostic.code == "DL6003"
    assert diagnostic.message == f"{FILES[kind][0]} is a link to {target}, outside of the folder of the spec"


@pytest.mark.parametrize("kind", FILES)
def test_a_link_that_stays(kind: str, tmp_path: Path) -> None:
    name = Path(FILES[kind][0]).with_stem("real").name
    path = write(tmp_path, kind, None)
    (tmp_path / name).write_bytes(GOOD[kind])
    path.symlink_to(tmp_path / name)
    load(tmp_path, kind)


@pytest.mark.parametrize("kind", FILES)
def test_a_link_to_nowhere(kind: str, tmp_path: Path) -> None:
    write(tmp_path, kind, None).symlink_to(tmp_path / "nowhere")
    assert FILES[kind][0] in told(tmp_path, kind).message


@pytest.mark.parametrize("kind", FILES)
def test_a_folder(kind: str, tmp_path: Path) -> None:
    write(tmp_path, kind, None).mkdir()
    assert FILES[kind][0] in told(tmp_path, kind).message


@pytest.mark.parametrize("kind", FILES)
def test_what_is_cut_at_any_byte(kind: str, tmp_path: Path) -> None:
    """Whatever is left of a file, it is read or refused."""
    for length in range(0, len(GOOD[kind]), max(1, len(GOOD[kind]) // 40)):
        write(tmp_path, kind, GOOD[kind][:length])
        with suppress(Refusal):
            load(tmp_path, kind)
