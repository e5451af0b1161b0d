"""Recurrent networks."""

from __future__ import annotations

from collections import Counter
from math import log2

import numpy as np

from zoo.row import need, row
from zoo.workshop import Workshop


@row(
    "recurrent/rnn",
    what="a simple recurrent network, from its equation and built in",
    asked="equal to 1e-5 given the same weights; the echo is learned, error < 0.01 of a variance of 0.33",
    data="drawn",
    small={"count": 500},
    epochs=3,
)
def rnn(shop: Workshop) -> str:
    measured = shop.train().measure("valid")
    return need(measured["apart"] < 1e-5 and measured["mse"] < 0.01, _apart(measured, "error", "mse"))


@row(
    "recurrent/deep_rnn",
    what="three layers of recurrence, from their equation and built in",
    asked="equal to 1e-5 given the same weights; ≥ 0.99 of the differences of two bits",
    data="drawn",
    small={"count": 500},
    epochs=3,
)
def deep_rnn(shop: Workshop) -> str:
    measured = shop.train().measure("valid")
    return need(measured["apart"] < 1e-5 and measured["accuracy"] >= 0.99, _apart(measured, "accuracy", "accuracy"))


@row(
    "recurrent/irnn",
    what="rectifiers that start as the identity, from their equation and built in",
    asked="equal to 1e-5 given the same weights; reads digits pixel by pixel ≥ 0.9",
    data="digits",
    small={"settings.batch": 256},
)
def irnn(shop: Workshop) -> str:
    measured = shop.train().measure("test")
    return need(measured["apart"] < 1e-5 and measured["accuracy"] >= 0.9, _apart(measured, "accuracy", "accuracy"))


@row(
    "recurrent/gru",
    what="each gate written out, and a unit of one gate",
    asked="equal to the built-in one to 1e-5; both add two marked numbers, error < 0.01 of a variance of 0.17",
    data="drawn",
    small={"count": 400, "settings.batch": 100},
    epochs=3,
)
def gru(shop: Workshop) -> str:
    measured = shop.train().measure("valid")
    learned = max(measured["mse"], measured["one_gate"]) < 0.01
    return need(learned and measured["apart"] < 1e-5, _apart(measured, "error", "mse", "one_gate"))


@row(
    "recurrent/lstm",
    what="each gate written out, with and without peepholes",
    asked="equal to the built-in one to 1e-5; both add two marked numbers, error < 0.01 of a variance of 0.17",
    data="drawn",
    small={"count": 400, "settings.batch": 100},
    epochs=3,
)
def lstm(shop: Workshop) -> str:
    measured = shop.train().measure("valid")
    learned = max(measured["mse"], measured["peepholes"]) < 0.01
    return need(learned and measured["apart"] < 1e-5, _apart(measured, "error", "mse", "peepholes"))


@row(
    "recurrent/bilstm_tagger",
    what="reads in both directions and tags each token",
    asked="≥ 0.95 on the made tagging task",
    data="drawn",
    small={"count": 400},
)
def bilstm_tagger(shop: Workshop) -> str:
    accuracy = shop.train().measure("test")["accuracy"]
    return need(accuracy >= 0.95, f"{accuracy:.3f}")


@row(
    "recurrent/char_lm",
    what="a language model of characters: teacher forcing, clipping, `sample`",
    asked="bits per character below those of an interpolated 5-gram model of the same text",
    data="python_docs",
    small={"width": 16, "settings.batch": 200},
)
def char_lm(shop: Workshop) -> str:
    trained = shop.train()
    bits = trained.measure("valid")["bits"]
    counted = bits_of_grams(trained.fields("train")["tokens"].numpy(), trained.fields("valid")["tokens"].numpy())
    text = trained.call("sample", count=60)["output"].astype(np.uint8).tobytes().decode("ascii", "replace")
    return need(bits < counted, f"{bits:.2f} bits, the 5-gram {counted:.2f}; writes {' '.join(text.split())!r}")


@row(
    "recurrent/elmo",
    what="language models in both directions; a task learns the mix of their layers",
    asked="the mix beats the top layer",
    data="python_docs",
    small={"width": 16, "settings.batch": 200},
)
def elmo(shop: Workshop) -> str:
    trained = shop.train()
    measured = trained.measure("valid")
    share = trained.weights("mixed")["share"]
    shares = ", ".join(f"{each:.2f}" for each in np.exp(share) / np.exp(share).sum())
    reached = f"cross-entropy {measured['mix']:.4f} of the mix ({shares}), {measured['top']:.4f} of the top layer"
    return need(measured["mix"] < measured["top"], reached)


@row(
    "recurrent/filters",
    what="FIR, IIR, linear state space, Kalman",
    asked="= SciPy's `lfilter`, Kalman = the textbook recursion in NumPy to 1e-5 (tests); the IIR filter is identified",
    data="drawn",
    epochs=3,
)
def filters(shop: Workshop) -> str:
    trained = shop.train()
    measured = trained.measure("valid")
    due = np.array([-1.6 * np.cos(0.8), 0.64])
    far = np.abs(trained.weights("iir")["a"] - due).max()
    told = ", ".join(f"{name} {measured[name]:.0e}" for name in ("fir", "iir", "space"))
    return need(far < 0.01 and measured["space"] < 1e-4, f"errors {told}; coefficients {far:.0e} from the true ones")


def bits_of_grams(train: np.ndarray, held: np.ndarray, order: int = 5) -> float:
    """Bits per token of `held`, [windows, T], but for each window's first, by counts of n-grams up to `order` in
    `train`, whose windows overlap by a token. Orders are interpolated as Witten and Bell, 1991, do: an n-gram's share
    is its count's against the number of kinds that followed its context."""
    text = np.append(train[:, :-1].reshape(-1), train[-1, -1]).tolist()
    grams = [Counter(zip(*(text[k:] for k in range(n)), strict=False)) for n in range(1, order + 1)]
    kinds = [Counter(gram[:-1] for gram in counts) for counts in grams]
    totals = [Counter[tuple[int, ...]]() for _ in grams]
    for counts, total in zip(grams, totals, strict=True):
        for gram, count in counts.items():
            total[gram[:-1]] += count

    def share(context: tuple[int, ...], token: int) -> float:
        found = 1 / 256
        for n in range(min(order, len(context) + 1)):
            before = context[len(context) - n :]
            if seen := totals[n][before]:
                found = (grams[n][*before, token] + kinds[n][before] * found) / (seen + kinds[n][before])
        return found

    windows = held.tolist()
    logs = [log2(share(tuple(w[max(0, t - order + 1) : t]), w[t])) for w in windows for t in range(1, len(w))]
    return -sum(logs) / len(logs)


def _apart(measured: dict[str, float], told: str, *names: str) -> str:
    values = ", ".join(f"{measured[name]:.4f}" for name in names)
    return f"{told} {values}; {measured['apart']:.0e} from the built-in one"
