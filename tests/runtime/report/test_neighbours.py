"""Tables of words and those nearest to them, against scikit-learn's and against what stands in a text."""

from pathlib import Path

import numpy as np
from sklearn.neighbors import NearestNeighbors

import dlc
from dlc.runtime.report.neighbours import nearest, neighbours
from dlc.runtime.train.run import Run

SPEC = """
model Next(tokens: int[N, T] < 20) -> (logits: float[N, T, 20]):
    return embedding(tokens, 20, 8) -> linear(20)

data Docs:
    source = text("words.txt", tokenizer={tokenizer}, window=5, stride=4)
    tokens: int[5] < 20
    split = (train=1.0)

train Fit on Docs:
    net = Next()
    settings:
        batch = all
        epochs = 1
    step:
        minimize cross_entropy(net(tokens[:, :-1]), tokens[:, 1:])
"""


def test_nearest_are_scikit_learns() -> None:
    table = np.random.default_rng(0).normal(size=(40, 5)).astype(np.float32)
    asked = np.array([1, 7, 39])
    search = NearestNeighbors(n_neighbors=7, metric="cosine").fit(table[1:])
    due = search.kneighbors(table[asked], return_distance=False)[:, 1:] + 1
    assert nearest(table, asked) == due.tolist()


def test_a_report_tells_the_words_of_its_text(tmp_path: Path) -> None:
    words = [chr(ord("a") + place) * 2 for place in range(19)]
    text = " ".join(word for place, word in enumerate(words) for _ in range(40 - place))
    (tmp_path / "words.txt").write_text(text)
    (tmp_path / "net.dl").write_text(SPEC.format(tokenizer="words(20)"))
    dlc.train(tmp_path / "net.dl", output=tmp_path / "run")
    run = Run.open(tmp_path / "run")
    (path, rows), (output, _) = neighbours(run, run.spec)
    assert (path, output) == ("net.embedding.weight", "net.linear.weight")
    asked = [word for word, _ in rows]
    assert (asked[0], asked[-1]) == ("hh", "ss")
    assert asked == [word for word in words if word in asked]
    assert all(set(near.split(", ")) <= set(words) - {word} for word, near in rows)
    assert "<td>hh</td>" in (tmp_path / "run" / "report.html").read_text("utf-8")


def test_there_are_none_where_tokens_are_no_words(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("abcdefghijklmnopqrst" * 9)
    (tmp_path / "net.dl").write_text(SPEC.format(tokenizer="chars()"))
    dlc.train(tmp_path / "net.dl", output=tmp_path / "run")
    run = Run.open(tmp_path / "run")
    assert list(neighbours(run, run.spec)) == []
