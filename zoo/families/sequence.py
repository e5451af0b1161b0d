"""Sequences to sequences, language models, and what writes them."""

from __future__ import annotations

from math import log

import numpy as np

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


@row(
    "sequence/decoding",
    what="greedy, temperature, top-k, top-p, beam",
    asked="beam ≥ greedy in likelihood; with and without cache equal",
    data="python_docs",
    small={"settings.batch": 200},
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
