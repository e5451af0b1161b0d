"""Texts as windows of tokens, and the tokenizers."""

from pathlib import Path
from pydoc_data.topics import topics

import numpy as np
import pytest
import torch
from sklearn.feature_extraction.text import CountVectorizer

from dlc.runtime.data.load import load_data
from dlc.runtime.data.tokenizers import Bytes, Chars, Words
from dlc.runtime.spec import read_checked

TEXT = "The cat saw the dog; the dog didn't see the Cat. Ünïcode!"


def test_bytes() -> None:
    assert Bytes().encode(TEXT).tolist() == list(TEXT.encode())


def test_chars_are_numbered_by_code_point() -> None:
    known = sorted(set(TEXT))
    assert Chars().encode(TEXT).tolist() == [known.index(char) for char in TEXT]
    assert Chars().size(TEXT) == len(known)


def test_words_are_numbered_by_frequency() -> None:
    # the: 4, cat, dog: 2, each other word 1, in the order of code points
    assert Words(5).encode(TEXT).tolist() == [1, 2, 0, 1, 3, 1, 3, 4, 0, 1, 2, 0]


def test_words_are_counted_as_scikit_learn_counts_them() -> None:
    text = " ".join(topics[name] for name in sorted(topics))
    counter = CountVectorizer(token_pattern=r"\w+(?:['\u2019]\w+)*")
    counts = np.asarray(counter.fit_transform([text]).sum(axis=0)).ravel()
    numbers = np.bincount(Words(200).encode(text), minlength=200)
    assert sorted(numbers[1:], reverse=True) == sorted(counts, reverse=True)[:199]
    assert numbers.sum() == counts.sum()


def test_windows_of_a_file(opened, tokenizer, tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text("abcdefgh")
    source = opened("text", "t.txt", tokenizer=tokenizer("chars"), window=3, stride=2)
    assert str(source.schema().columns["tokens"]) == "int[3] < 8"
    table = source.load(["tokens"])
    assert table.columns["tokens"].tolist() == [[0, 1, 2], [2, 3, 4], [4, 5, 6]]
    assert (table.overlap, table.row(1)) == (1, "the window from token 3")


def test_windows_share_their_memory(opened, tokenizer, tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text("x" * 100_000)
    (tmp_path / "spec.dl").write_text(
        'data D:\n    source = text("t.txt", tokenizer=bytes(), window=5000)\n    tokens: int[5000] < 256\n'
    )
    (spec,) = read_checked(tmp_path / "spec.dl").data.values()
    tokens = load_data(spec, tmp_path, 0).parts["train"]["tokens"]
    assert tokens.shape == (95_001, 5000)
    assert tokens.untyped_storage().nbytes() == 800_000


@pytest.mark.parametrize(
    ("content", "window", "stride", "message"),
    [
        (b"abc", 4, 1, "t.txt has 3 tokens, and a window takes 4"),
        (b"", 4, 1, "t.txt is empty"),
        (b"a\nb\n\xff", 4, 1, "t.txt is not text in UTF-8: line 3 holds the byte 0xff"),
        (b"abc", 0, 1, "`window` is at least 1, and this is 0"),
        (b"abc", 2, -1, "`stride` is at least 1, and this is -1"),
    ],
)
def test_texts_that_make_no_windows(
    opened, tokenizer, told, tmp_path: Path, content: bytes, window: int, stride: int, message: str
) -> None:
    (tmp_path / "t.txt").write_bytes(content)
    source = opened("text", "t.txt", tokenizer=tokenizer("bytes"), window=window, stride=stride)
    assert told(lambda: source.load(["tokens"])).message == message


def test_a_text_that_is_too_large(opened, tokenizer, told, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DLC_DATA_MEMORY", "1K")
    monkeypatch.setattr("dlc.runtime.data.room._free", lambda folder: 2**10)
    (tmp_path / "t.txt").write_bytes(b"x" * 1025)
    source = opened("text", "t.txt", tokenizer=tokenizer("bytes"), window=2)
    assert told(lambda: source.load(["tokens"])).code == "DL6015"


def test_mistakes_in_tokenizers(opened, tokenizer, told) -> None:
    def message(given: object) -> str:
        return told(lambda: opened("text", "t.txt", tokenizer=given, window=2)).message

    assert message(tokenizer("word", 10)) == "there is no tokenizer `word`"
    assert message(tokenizer("words")) == "`words` needs `vocab`, a whole number"
    assert message(tokenizer("words", 1)).startswith("`words` takes 2 tokens at least")
    assert message(tokenizer("chars", 1)) == "`chars` takes no arguments, and 1 are given"
    assert message("words") == '`text` takes a tokenizer as `tokenizer`, and this is the string "words"'


# --- built in ---------------------------------------------------------------------------------------------------

DOCS = """let vocab = 500

data Windows:
    source = builtin("python_docs", tokenizer=words(vocab), window=5)
    tokens: int[5] < vocab
    split = (train=0.9, valid=0.1)
"""


def test_python_docs_and_the_shares_of_their_words(tmp_path: Path) -> None:
    (tmp_path / "spec.dl").write_text(DOCS)
    (spec,) = read_checked(tmp_path / "spec.dl").data.values()
    data = load_data(spec, tmp_path, 0)
    train, valid = data.parts["train"]["tokens"], data.parts["valid"]["tokens"]
    encoded = Words(500).encode("\n".join(topics[name] for name in sorted(topics)))
    windows = torch.as_tensor(encoded).unfold(0, 5, 1)
    assert torch.equal(train, windows[: len(train)])
    assert torch.equal(valid, windows[-len(valid) :])
    assert len(train) + len(valid) + 4 == len(windows)
    assert data.frequencies is not None
    due = torch.bincount(train.flatten(), minlength=500) / train.numel()
    torch.testing.assert_close(data.frequencies, due)


def test_karate_club(opened) -> None:
    import networkx

    source = opened("builtin", "karate_club")
    table = source.load(list(source.schema().columns))
    for name, type in source.schema().columns.items():
        assert table.columns[name].shape == (1, *(int(size) for size in type.shape))
    graph = networkx.karate_club_graph()
    made = np.zeros((34, 34))
    made[tuple(table.columns["edges"][0])] = table.columns["weight"][0]
    np.testing.assert_array_equal(made, networkx.to_numpy_array(graph))
    officer = [node for node, data in graph.nodes(data=True) if data["club"] == "Officer"]
    assert np.flatnonzero(table.columns["label"][0]).tolist() == officer


def test_mistakes_in_what_is_built_in(opened, tokenizer, told) -> None:
    assert told(opened("builtin", "karate_clb").schema).help == 'did you mean "karate_club"?'
    assert told(opened("builtin", "python_docs").schema).message == '"python_docs" is a text, and needs a tokenizer'
    assert told(opened("builtin", "karate_club", window=3).schema).code == "DL6002"
