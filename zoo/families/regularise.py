"""Each means against overfitting, with and without it."""

from __future__ import annotations

from statistics import mean
from typing import Any

from zoo.row import need, row
from zoo.workshop import Workshop

_SEEDS = range(3)


def _measured(shop: Workshop, name: str, train: str | None = None, **overrides: Any) -> float:
    """A measure of the test part, the mean over a few seeds."""
    return mean(shop.train(train, **{**overrides, "settings.seed": seed}).measure("test")[name] for seed in _SEEDS)


@row("regularise/weight_decay", what="against none", asked="test error below that without", data="drawn")
def weight_decay(shop: Workshop) -> str:
    without, with_ = (_measured(shop, "loss", decay=decay) for decay in (0.0, 0.3))
    return need(with_ < without, f"test error {with_:.3f}, without {without:.3f}")


@row("regularise/early_stopping", what="against training to the end", asked="test error below that", data="drawn")
def early_stopping(shop: Workshop) -> str:
    stopped, through = (_measured(shop, "loss", name) for name in ("Stopped", "Through"))
    return need(stopped < through, f"test error {stopped:.3f}, at the end {through:.3f}")


@row(
    "regularise/drop_path",
    what="against none, some labels being wrong",
    asked="test accuracy above that without",
    data="digits",
)
def drop_path(shop: Workshop) -> str:
    without, with_ = (_measured(shop, "accuracy", drop=drop) for drop in (0.0, 0.5))
    return need(with_ > without, f"test accuracy {with_:.4f}, without {without:.4f}")


@row("regularise/augmentation", what="against none", asked="test accuracy above that without", data="digits, a tenth")
def augmentation(shop: Workshop) -> str:
    without, with_ = (_measured(shop, "accuracy", shift=shift) for shift in (0, 1))
    return need(with_ > without, f"test accuracy {with_:.4f}, without {without:.4f}")


@row(
    "regularise/label_smoothing",
    what="against none, some labels being wrong",
    asked="test accuracy above that without",
    data="digits",
)
def label_smoothing(shop: Workshop) -> str:
    without, with_ = (_measured(shop, "accuracy", smoothing=smoothing) for smoothing in (0.0, 0.2))
    return need(with_ > without, f"test accuracy {with_:.4f}, without {without:.4f}")
