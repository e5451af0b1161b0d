"""Networks that go on from what another has learned."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from zoo.row import need, row
from zoo.workshop import Trained, Workshop

if TYPE_CHECKING:
    Weights = Mapping[str, np.ndarray[Any, Any]]


def _changed(before: Weights, after: Weights) -> set[str]:
    """The weights that differ, by their paths."""
    if before.keys() != after.keys():
        raise ValueError("the weights of another network")
    return {path for path, value in before.items() if not np.array_equal(value, after[path])}


def _size(weights: Weights, paths: Iterable[str]) -> int:
    return sum(int(weights[path].size) for path in paths)


@row(
    "adapt/finetune",
    what="the first layer frozen, the next at a tenth of the rate, the last at all of it",
    asked="the frozen layer stays, all else changes; better than from scratch",
    data="digits, and whether 89 of them are odd",
)
def finetune(shop: Workshop) -> str:
    base, tuned, scratch = (shop.train(name) for name in ("Base", "Tune", "Scratch"))
    changed = _changed(base.weights(), tuned.weights())
    due = {path for path in base.weights() if not path.startswith("low.")}
    better, worse = (run.measure("test")["accuracy"] for run in (tuned, scratch))
    reached = (
        f"{_size(base.weights(), changed):,} of {_size(base.weights(), base.weights()):,} numbers changed, none of the "
        f"first layer; {better:.3f} right, from scratch {worse:.3f}"
    )
    return need(changed == due and better > worse, reached)


@row(
    "adapt/linear_probe_first",
    what="the last layer alone, then all",
    asked="probing changes the head alone, tuning all; both together are better than probing alone",
    data="digits, and whether 89 of them are odd",
)
def linear_probe_first(shop: Workshop) -> str:
    base, probe, tuned = (shop.train(name) for name in ("Base", "Probe", "Tune"))
    first, then = _changed(base.weights(), probe.weights()), _changed(probe.weights(), tuned.weights())
    accuracy = [run.measure("test")["accuracy"] for run in (probe, tuned)]
    reached = (
        f"probing changed {_size(base.weights(), first):,} of {_size(base.weights(), base.weights()):,} numbers, "
        f"tuning all; {accuracy[0]:.3f} right, then {accuracy[1]:.3f}"
    )
    named = first == {"head.weight", "head.bias"} and then == set(base.weights())
    return need(named and accuracy[1] > accuracy[0], reached)


def _beside(shop: Workshop, due: int) -> tuple[Trained, Trained, bool, str]:
    """Trains a base and what is learned beside it. Whether the base stays as it is, and what that is has so many
    numbers and makes more of the new task."""
    base, adapted = shop.train("Base"), shop.train("Adapt")
    kept = not _changed(base.weights("base"), adapted.weights("base"))
    count, size = (_size(weights, weights) for weights in (adapted.weights("net"), base.weights("base")))
    measured = adapted.measure("test")
    reached = (
        f"{count:,} numbers learned beside {size:,} that {'stayed' if kept else 'changed'}; "
        f"{measured['accuracy']:.3f} of the new task, before {measured['before']:.3f}"
    )
    return base, adapted, kept and count == due and measured["accuracy"] > measured["before"] + 0.1, reached


@row(
    "adapt/adapter",
    what="narrow networks behind the layers of a frozen one",
    asked="only they change, 2 · (32·8 + 8 + 8·32 + 32) = 1,104 numbers",
    data="digits, and in a mirror",
)
def adapter(shop: Workshop) -> str:
    _, _, held, reached = _beside(shop, 1104)
    return need(held, reached)


@row(
    "adapt/soft_prompt",
    what="learned vectors before what a frozen transformer reads",
    asked="only they change, 8·32 = 256 numbers",
    data="digits, and whether they are odd",
)
def soft_prompt(shop: Workshop) -> str:
    _, _, held, reached = _beside(shop, 256)
    return need(held, reached)


@row(
    "adapt/lora",
    what="products of thin matrices beside those of a frozen network",
    asked="only they change, 4 · (64+128 + 128+128 + 128+10) = 2,344 numbers; added to the matrices they give the same",
    data="digits, and in a mirror",
)
def lora(shop: Workshop) -> str:
    _, adapted, held, reached = _beside(shop, 4 * (64 + 128 + 128 + 128 + 128 + 10))
    frozen, low = adapted.weights("base"), adapted.weights("net")
    x = adapted.fields("test")["image"].numpy().reshape(-1, 64)
    h = x
    for place, name in enumerate(("LowRank", "LowRank_2", "LowRank_3")):
        matrix = frozen[f"layers.{place}.weight"].T + low[f"{name}.down"] @ low[f"{name}.up"]
        y = h @ matrix + frozen[f"layers.{place}.bias"]
        h = np.maximum(y, 0)
    due = adapted.call("classify", x=x)["output"]
    far = float(np.abs(y - due).max() / np.abs(due).max())
    return need(held and far < 1e-5, f"{reached}; {far:.0e} apart when added")
