"""Sequences to sequences, language models, and what writes them."""

from __future__ import annotations

from math import log

import numpy as np

from zoo.published import published
from zoo.row import need, row
from zoo.workshop import Workshop

POSITIONS = ("rotary", "sinusoidal", "learned", "relative")


@row(
    "sequence/seq2seq",
    what="encoder and decoder, the source reversed",
    asked="dates to ISO ≥ 0.9 exact",
    data="drawn",
    small={"count": 300, "width": 16},
)
def seq2seq(shop: Workshop) -> str:
    exact = shop.train().measure("valid")["exact"]
    return need(exact >= 0.9, f"{exact:.3f} exact")


@row(
    "sequence/attention",
    what="additive and dot-product attention over the encoder; the weights as a picture",
    asked="dates to ISO ≥ 0.98 exact",
    data="drawn",
    small={"width": 16, "settings.batch": 1000},
)
def attention(shop: Workshop) -> str:
    measured = shop.train().measure("valid")
    reached = f"{measured['additive']:.3f} exact by additive attention, {measured['dot']:.3f} by products"
    return need(min(measured["additive"], measured["dot"]) >= 0.98, reached)


@row(
    "sequence/transformer",
    what="encoder and decoder; rotary, sinusoidal, learned and relative positions",
    asked="dates to ISO ≥ 0.98 exact; without positions, permuting the source permutes its states (proved)",
    data="drawn",
    small={"width": 16, "settings.batch": 1000},
)
def transformer(shop: Workshop) -> str:
    shop.load(positions="none")  # the proof: refused, were it not so
    exact = {positions: shop.train(positions=f'"{positions}"').measure("valid")["exact"] for positions in POSITIONS}
    told = ", ".join(f"{positions} {share:.3f}" for positions, share in exact.items())
    return need(min(exact.values()) >= 0.98, f"exact: {told}")


published(
    "sequence/bert",
    "BERT",
    109_482_240,
    "a transformer that reads in both directions",
    {"vocab": 40, "width": 16, "depth": 1, "heads": 2, "context": 12},
    {335_141_888: {"width": 1024, "depth": 24, "heads": 16}},
    compared={"depth": 2},
)
published(
    "sequence/gpt2",
    "GPT2",
    124_439_808,
    "a transformer that reads what stands before",
    {"vocab": 40, "width": 16, "depth": 1, "heads": 2, "context": 12},
    {354_823_168: {"width": 1024, "depth": 24, "heads": 16}},
    compared={"depth": 2},
)
published(
    "sequence/t5",
    "T5",
    60_506_624,
    "text in, text out; learned biases for distances",
    {"vocab": 40, "width": 16, "depth": 1, "heads": 2, "hidden": 32},
    compared={"depth": 2},
)


@row(
    "sequence/masked_words",
    what="a small BERT: masked words and next sentence",
    asked="hidden words are told better than by their shares, the order better than by a coin",
    data="python_docs",
    small={"width": 16, "known": 50, "settings.batch": 400},
)
def masked_words(shop: Workshop) -> str:
    trained = shop.train()
    known = int(trained.run.spec.data.fields["tokens"].type.below)
    words = trained.fields("valid")["tokens"].numpy()
    shares = np.bincount(trained.fields("train")["tokens"].numpy().reshape(-1), minlength=known) + 1
    chance = float(-np.log(shares / shares.sum())[words].mean())
    measured = trained.measure("valid")
    reached = (
        f"cross-entropy {measured['words']:.2f} of hidden words, {chance:.2f} by their shares; "
        f"{measured['order']:.2f} of the orders"
    )
    return need(measured["words"] < chance and measured["order"] > 0.55, reached)


@row(
    "sequence/gpt",
    what="a small GPT-2: next token",
    asked="< 3 bits a byte; writes",
    data="python_docs",
    small={"width": 16, "settings.batch": 200, "write.count": 4},
)
def gpt(shop: Workshop) -> str:
    trained = shop.train()
    bits = trained.measure("valid")["bits"]
    start = trained.fields("valid")["tokens"].numpy()[:1, :64]
    text = trained.call("write", start=start, count=60)["output"].reshape(-1).astype(np.uint8).tobytes()
    return need(bits < 3, f"{bits:.2f} bits; writes {' '.join(text.decode('ascii', 'replace').split())!r}")


@row(
    "sequence/span_corruption",
    what="a small T5: spans that are left out",
    asked="bytes of the spans are told better than by their shares",
    data="python_docs",
    small={"width": 16, "settings.batch": 400},
)
def span_corruption(shop: Workshop) -> str:
    trained = shop.train()
    bits = trained.measure("valid")["bits"] * 10 / 8  # two of ten are marks, which stand where they always stand
    shares = np.bincount(trained.fields("train")["tokens"].numpy().reshape(-1), minlength=256) + 1
    alone = float(-np.log2(shares / shares.sum())[trained.fields("valid")["tokens"].numpy()].mean())
    return need(bits < alone, f"{bits:.2f} bits a byte, {alone:.2f} by its share")


@row(
    "sequence/multi_query",
    what="one key head for many",
    asked="a cache a quarter as large, the same interface; a loss within 5 %",
    data="python_docs",
    small={"width": 16, "settings.batch": 200},
)
def multi_query(shop: Workshop) -> str:
    trained = shop.train()
    measured = trained.measure("valid")
    return need(
        measured["single"] < 1.05 * measured["many"],
        f"{measured['single']:.2f} bits with one key head, {measured['many']:.2f} with 4",
    )


@row(
    "sequence/decoding",
    what="greedy, temperature, top-k, top-p, beam",
    asked="beam ≥ greedy in likelihood; with and without cache equal",
    data="python_docs",
    small={"settings.batch": 200} | {f"{way}.count": 4 for way in ("greedy", "recomputed", "sample", "beam")},
)
def decoding(shop: Workshop) -> str:
    trained = shop.train()
    starts = trained.fields("valid")["tokens"].numpy()[:20, :16]
    text, likely = trained.call("greedy", start=starts).values()
    same = np.array_equal(text, next(iter(trained.call("recomputed", start=starts).values())))
    beams = [list(trained.call("beam", start=start[None]).values())[1].item() for start in starts]
    better = float(np.mean(beams))
    cache = "equal" if same else "different"
    reached = f"log-likelihood of 32 bytes: beam {better:.2f}, greedy {likely.mean():.2f}; without cache {cache}"
    return need(same and better >= likely.mean(), reached)


@row(
    "sequence/wavenet",
    what="causal dilated convolutions",
    asked="provably causal and of reach 32; half the bits of a uniform guess; samples",
    data="drawn",
    small={"width": 8, "levels": 16},
)
def wavenet(shop: Workshop) -> str:
    trained = shop.train()
    bits = trained.measure("valid")["bits"]
    start = trained.fields("valid")["x"].numpy()[:2, :32]
    written = next(iter(trained.call("sample", start=start, count=50).values()))
    return need(bits < 3 and written.shape == (2, 50), f"{bits:.2f} bits of 6")


@row(
    "sequence/pixelcnn",
    what="convolutions that see what is above and to the left",
    asked="provably causal along rows; fewer bits than pixels by themselves; samples",
    data="digits",
    small={"width": 8, "depth": 1},
)
def pixelcnn(shop: Workshop) -> str:
    trained = shop.train()
    bits = trained.measure("valid")["bits"]
    lit = trained.fields("train")["image"].numpy().mean(0).clip(1e-3, 1 - 1e-3)
    held = trained.fields("valid")["image"].numpy()
    alone = float(-(held * np.log(lit) + (1 - held) * np.log(1 - lit)).mean() / log(2))
    share = next(iter(trained.call("sample", n=16).values())).mean()
    return need(bits < alone, f"{bits:.3f} bits a pixel, {alone:.3f} each by itself; {share:.0%} of samples lit")
