"""Vectors of words, and what follows them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import product
from typing import Any

import numpy as np

from zoo.row import need, row
from zoo.workshop import Trained, Workshop

Array = np.ndarray[Any, Any]

# Words of Python's reference that are used alike or together, and how near they must be.
_PAIRS = (
    ("true", "false"),
    ("try", "except"),
    ("keys", "values"),
    ("left", "right"),
    ("local", "global"),
    ("positional", "keyword"),
    ("if", "else"),
    ("for", "while"),
    ("list", "tuple"),
    ("int", "float"),
    ("str", "bytes"),
    ("import", "module"),
    ("raise", "exception"),
    ("class", "instance"),
    ("step", "start"),
)
_NEAREST = 10
_SHOWN = ("true", "float", "dictionary")


@row(
    "words/skipgram",
    what="a word predicts those around it; negative sampling, subsampling",
    asked="of 15 pairs of related words half are among each other's 10 nearest of 1,000; loss below the unigram's",
    data="Python's reference",
    small={"vocab": 50, "width": 4, "settings.batch": 4096},
    epochs=2,
)
def skipgram(shop: Workshop) -> str:
    return _vectors(shop)


@row(
    "words/cbow",
    what="the words around a word predict it; negative sampling, subsampling",
    asked="of 15 pairs of related words half are among each other's 10 nearest of 1,000; loss below the unigram's",
    data="Python's reference",
    small={"vocab": 50, "width": 4, "settings.batch": 4096},
    epochs=2,
)
def cbow(shop: Workshop) -> str:
    return _vectors(shop)


def _vectors(shop: Workshop) -> str:
    trained = shop.train()
    measured = trained.measure("valid")
    near, told = _neighbours(trained)
    reached = f"loss {measured['loss']:.3f}, the unigram's {measured['unigram']:.3f}; {told}"
    return need(measured["loss"] < measured["unigram"] and near >= len(_PAIRS) / 2, reached)


@row(
    "words/glove",
    what="weighted logarithms of co-occurrence, biases",
    asked="the cost falls; of 15 pairs of related words half are among each other's 10 nearest of 1,000",
    data="Python's reference",
    small={"vocab": 50, "width": 4, "reach": 2},
    epochs=3,
)
def glove(shop: Workshop) -> str:
    trained = shop.train()
    costs = [line["train"]["loss"] for line in trained.history()]
    near, told = _neighbours(trained)
    return need(
        costs[-1] < 0.1 * costs[0] and near >= len(_PAIRS) / 2,
        f"cost from {costs[0]:.2f} to {costs[-1]:.3f}; {told}",
    )


@row(
    "words/ngram",
    what="counts, add-k, interpolation; trained by assignment",
    asked="= counting in Python to 1e-6",
    data="Python's reference",
    small={"vocab": 30},
    epochs=1,
)
def ngram(shop: Workshop) -> str:
    trained = shop.train()
    seen, asked = (trained.fields(part)["tokens"].tolist() for part in ("train", "valid"))
    vocab, k, shares = 200, 0.01, (0.1, 0.4, 0.5)
    due = _counted(seen, asked, vocab, k) @ np.array(shares)
    import torch

    with torch.no_grad():
        rows = torch.tensor(asked)
        found = trained.module()(rows[:, :2]).gather(1, rows[:, 2:]).squeeze(1).double().numpy()
    far = float(np.abs(found - due).max())
    perplexity, told = float(np.exp(-np.log(due).mean())), trained.measure("valid")["perplexity"]
    reached = f"{far:.0e} from counting in Python; perplexity {told:.2f}, counted {perplexity:.2f}"
    return need(far < 1e-6 and abs(told - perplexity) < 1e-3 * perplexity, reached)


@row(
    "words/bengio",
    what="a neural language model",
    asked="perplexity below that of the best interpolated trigram",
    data="Python's reference",
    small={"vocab": 50, "width": 8, "hidden": 16, "settings.batch": 4096},
)
def bengio(shop: Workshop) -> str:
    trained = shop.train()
    perplexity = trained.measure("valid")["perplexity"]
    seen, asked = (trained.fields(part)["tokens"][:, -3:].tolist() for part in ("train", "valid"))
    vocab = trained.weights()["embed.weight"].shape[0]
    trigram = min(_best_mixture(_counted(seen, asked, vocab, k)) for k in (0.1, 0.01, 0.001))
    return need(perplexity < trigram, f"perplexity {perplexity:.1f}, the trigram's {trigram:.1f}")


def _counted(seen: Sequence[Sequence[int]], asked: Iterable[Sequence[int]], vocab: int, k: float) -> Array:
    """The probability of the third of three words by none, one and two words before it, from counts with k added, as
    counting gives it: [asked, 3]."""
    counts = [Counter(tuple(words[start:]) for words in seen) for start in (2, 1, 0)]
    before = [Counter(tuple(words[start:2]) for words in seen) for start in (2, 1, 0)]
    return np.array(
        [
            [
                (counts[size][tuple(words[2 - size :])] + k) / (before[size][tuple(words[2 - size : 2])] + k * vocab)
                for size in range(3)
            ]
            for words in asked
        ]
    )


def _best_mixture(probabilities: Array) -> float:
    """The least perplexity of a mixture of unigram, bigram and trigram, its shares in steps of a twentieth."""
    steps = np.arange(0.05, 0.95, 0.05)
    shares = [(one, two, 1 - one - two) for one, two in product(steps, steps) if one + two < 1]
    return float(np.exp(-np.log(probabilities @ np.array(shares).T).mean(0)).min())


def _neighbours(trained: Trained) -> tuple[int, str]:
    """How many of the pairs are near each other in one of the two directions, and the nearest of some words."""
    from pydoc_data.topics import topics

    from dlc.runtime.data.tokenizers import Words

    numbers = Words(1000).numbers("\n".join(topics[name] for name in sorted(topics)))
    names = {number: word for word, number in numbers.items()}

    def nearest(words: Sequence[str]) -> list[list[str]]:
        asked = np.array([numbers[word] for word in words])
        found = trained.call("neighbours", word=asked, count=_NEAREST + 1)["output_1"]
        return [[names.get(int(number), "?") for number in near[1:]] for near in found]

    left, right = zip(*_PAIRS, strict=True)
    ways = zip(_PAIRS, nearest(left), nearest(right), strict=True)
    near = sum(b in from_a or a in from_b for (a, b), from_a, from_b in ways)
    shown = "; ".join(f"{word}: {', '.join(found[:4])}" for word, found in zip(_SHOWN, nearest(_SHOWN), strict=True))
    return near, f"{near} of {len(_PAIRS)} pairs near; {shown}"
