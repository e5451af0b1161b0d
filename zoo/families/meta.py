"""Networks that learn to learn."""

from __future__ import annotations

from zoo.row import need, row
from zoo.workshop import Workshop

_ASKED = "after one step on sinusoids below half the pre-trained net's error"


def _adapted(shop: Workshop) -> str:
    """The error after one step on ten points, beside that of a network pre-trained on all tasks."""
    meta, pretrained = (shop.train(name).measure("test") for name in ("Meta", "Pretrained"))
    reached = (
        f"error {meta['after']:.2f} after a step, pre-trained {pretrained['after']:.2f} "
        f"(before it {meta['before']:.2f} and {pretrained['before']:.2f})"
    )
    return need(meta["after"] < 0.5 * pretrained["after"], reached)


row("meta/maml", what="gradient through an inner step", asked=_ASKED, data="drawn", small={"tasks": 100})(_adapted)
row("meta/anil", what="only the head adapts", asked=_ASKED, data="drawn", small={"tasks": 100})(_adapted)


@row("meta/r2d2", what="ridge regression as head", asked=_ASKED, data="drawn", small={"tasks": 500})
def r2d2(shop: Workshop) -> str:
    meta, pretrained = (shop.train(name).measure("test") for name in ("Meta", "Pretrained"))
    reached = f"error {meta['loss']:.2f}, that of a step of the pre-trained {pretrained['after']:.2f}"
    return need(meta["loss"] < 0.5 * pretrained["after"], reached)
