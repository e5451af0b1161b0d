"""What sources and tokenizers read is what the libraries themselves read, of real small files."""

import csv
import json
import sys
from collections.abc import Callable
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from sklearn.datasets import load_iris, load_sample_image, load_wine
from sklearn.feature_extraction.text import CountVectorizer
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from dlc.runtime.data.room import Room
from dlc.runtime.data.tokenizer_file import TokenizerFile
from dlc.runtime.data.tokenizers import Words

TEXT = "\n".join(topics[name] for name in sorted(topics))[:300_000] + "\nÜnïcode, 漢字, naïve 🙂!\n"


@pytest.fixture(params=[2**30, 0], ids=["held", "streamed"])
def room(request: pytest.FixtureRequest) -> Room:
    return Room(request.param)


def test_csv_as_the_module_reads_it(opened, room: Room, tmp_path: Path) -> None:
    iris = load_iris()
    names = [name.replace(" (cm)", "") for name in iris.feature_names]
    with open(tmp_path / "iris.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*names, "kind"])
        writer.writerows([*row, kind] for row, kind in zip(iris.data.tolist(), iris.target.tolist(), strict=True))
    with open(tmp_path / "iris.csv", newline="") as file:
        due = [*csv.DictReader(file)]
    source = opened("csv", "iris.csv")
    table = source.load([*source.schema().columns], room)
    for name in (*names, "kind"):
        assert table.columns[name.replace(" ", "_")].tolist() == [float(row[name]) for row in due]
    np.testing.assert_array_equal(np.stack([table.columns[n.replace(" ", "_")] for n in names], 1), iris.data)


def test_jsonl_as_the_module_reads_it(opened, room: Room, tmp_path: Path) -> None:
    wine = load_wine()
    lines = [json.dumps({"x": x.tolist(), "kind": int(kind)}) for x, kind in zip(wine.data, wine.target, strict=True)]
    (tmp_path / "wine.jsonl").write_text("\n".join(lines))
    table = opened("jsonl", "wine.jsonl").load(["x", "kind"], room)
    due = [json.loads(line) for line in lines]
    assert table.columns["x"].tolist() == [row["x"] for row in due]
    assert table.columns["kind"].tolist() == [row["kind"] for row in due]


@pytest.mark.parametrize("options", [{}, {"compression": "zstd", "row_group_size": 50}, {"version": "1.0"}])
def test_parquet_as_pyarrow_reads_it(opened, room: Room, tmp_path: Path, options: dict[str, Any]) -> None:
    wine = load_wine()
    kinds = {"a": pa.float64(), "b": pa.float32(), "c": pa.int64(), "d": pa.int8(), "e": pa.bool_()}
    columns = {name: pa.array((wine.data[:, 0] * 7).astype(int) % 100).cast(kind) for name, kind in kinds.items()}
    table = pa.table({**columns, "lists": wine.data.tolist()})
    pq.write_table(table, tmp_path / "wine.parquet", **options)
    found = opened("parquet", "wine.parquet").load([*columns, "lists"], room)
    due = pq.read_table(tmp_path / "wine.parquet")
    for name in (*columns, "lists"):
        assert found.columns[name].tolist() == due.column(name).to_pylist()
    for name in columns:
        assert found.columns[name].dtype == due.column(name).to_numpy().dtype


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".gif", ".webp"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_pictures_as_pillow_reads_them(opened, room: Room, tmp_path: Path, suffix: str, channels: int) -> None:
    for place, name in enumerate(("china.jpg", "flower.jpg", "china.jpg")):
        folder = tmp_path / "photos" / name.partition(".")[0]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(load_sample_image(name)[place * 50 :][:60, :80]).save(folder / f"{place}{suffix}")
    mode = {1: "L", 3: "RGB", 4: "RGBA"}[channels]
    files = sorted((tmp_path / "photos").glob(f"*/*{suffix}"))

    def pixels(size: tuple[int, int] | None) -> np.ndarray:
        found: list[np.ndarray] = []
        for file in files:
            with Image.open(file) as picture:
                whole = picture.convert(mode)
            scaled = whole.resize(size, Image.Resampling.BILINEAR) if size else whole
            found.append(np.asarray(scaled).reshape(scaled.height, scaled.width, -1))
        return np.stack(found)

    for given, size in (({}, None), ({"height": 20, "width": 31}, (31, 20))):
        table = opened("images", "photos", channels=channels, **given).load(["image", "label"], room)
        np.testing.assert_array_equal(table.columns["image"], pixels(size).transpose(0, 3, 1, 2))
        assert table.columns["label"].tolist() == [0, 0, 1]


def test_words_as_scikit_learn_counts_them_piece_by_piece() -> None:
    pieces = [TEXT[start : start + 997] for start in range(0, len(TEXT), 997)]
    found = np.concatenate([*Words(300).learned(pieces).encode(pieces)])
    np.testing.assert_array_equal(found, Words(300).encode(TEXT))
    counter = CountVectorizer(token_pattern=r"\w+(?:['\u2019]\w+)*")
    counts = np.asarray(counter.fit_transform([TEXT]).sum(axis=0)).ravel()
    assert len(found) == counts.sum()
    assert sorted(np.bincount(found, minlength=300)[1:], reverse=True) == sorted(counts, reverse=True)[:299]


# --- tokenizers -------------------------------------------------------------------------------------------------


def byte_level() -> Tokenizer:
    made: Any = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.train_from_iterator([TEXT], trainers.BpeTrainer(vocab_size=600, special_tokens=["<end>"], show_progress=False))
    return made


def word_piece() -> Tokenizer:
    made: Any = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer()
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[UNK]", "[CLS]", "[SEP]"]
    made.train_from_iterator(
        [TEXT], trainers.WordPieceTrainer(vocab_size=500, special_tokens=special, show_progress=False)
    )
    made.post_processor = processors.BertProcessing(("[SEP]", 2), ("[CLS]", 1))
    made.enable_truncation(16)
    made.enable_padding(length=32)
    return made


def unigram() -> Tokenizer:
    made: Any = Tokenizer(models.Unigram())
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    made.train_from_iterator(
        [TEXT],
        trainers.UnigramTrainer(vocab_size=400, unk_token="<unk>", special_tokens=["<unk>"], show_progress=False),
    )
    return made


@pytest.mark.parametrize("make", [byte_level, word_piece, unigram])
def test_a_tokenizer_json_gives_what_the_library_gives(
    opened, tokenizer, room: Room, tmp_path: Path, make: Callable[[], Any]
) -> None:
    made = make()
    made.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "t.txt").write_text(TEXT)
    source = opened("text", "t.txt", tokenizer=tokenizer("file", "tokenizer.json"), window=8, stride=8)
    assert str(source.schema().columns["tokens"]) == f"int[8] < {made.get_vocab_size()}"
    library: Any = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))  # whose numbers are those of the file
    library.no_truncation()
    library.no_padding()
    due = library.encode(TEXT, add_special_tokens=False).ids
    found = source.load(["tokens"], room).columns["tokens"].reshape(-1).tolist()
    assert found == due[: len(due) // 8 * 8]
    assert len(found) > 10_000


def test_a_long_text_is_encoded_up_to_the_ends_of_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: Any = byte_level()
    made.save(str(tmp_path / "tokenizer.json"))
    monkeypatch.setattr("dlc.runtime.data.tokenizer_file._PIECE", 5000)
    lines = [f"{line}\n" for line in TEXT.splitlines() if line.strip() and not line[0].isspace()]
    ours = TokenizerFile(None, tmp_path, "tokenizer.json")  # pyright: ignore[reportArgumentType]
    assert ours.encode("".join(lines)).tolist() == made.encode("".join(lines)).ids


def test_ids_with_gaps(tmp_path: Path) -> None:
    made: Any = Tokenizer(models.WordLevel({"a": 0, "b": 9}, unk_token="a"))
    made.save(str(tmp_path / "tokenizer.json"))
    assert TokenizerFile(None, tmp_path, "tokenizer.json").known == 10  # pyright: ignore[reportArgumentType]


def test_without_the_library(opened, tokenizer, told, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "t.txt").write_text(TEXT)
    (tmp_path / "tokenizer.json").write_text("{}")
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    source = opened("text", "t.txt", tokenizer=tokenizer("file", "tokenizer.json"), window=8)
    diagnostic = told(source.schema)
    assert diagnostic.message == "tokenizer.json needs tokenizers, which is not installed"
    assert diagnostic.help == 'pip install "dlc[data]"'
