"""Rows for networks whose size was published."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zoo.row import Measure, need, row
from zoo.workshop import Workshop


def published(
    spec: str,
    model: str,
    count: int,
    what: str,
    small: Mapping[str, Any],
    others: Mapping[int, Mapping[str, Any]] | None = None,
    *,
    compared: Mapping[str, Any] | None = None,
) -> Measure:
    """A row for a network of so many numbers. others: sizes of its relatives, and what makes it one of them.

    compared: what makes it as small as it is when its export is compared; by default it is whole.
    """
    sizes = {count: {}, **(others or {})}

    def measure(shop: Workshop) -> str:
        shop.compared = compared or {}
        told = f"; compared with {', '.join(f'{name} {value}' for name, value in shop.compared.items())}"
        found = {due: learned(shop, model, **given) for due, given in sizes.items()}
        counts = ", ".join(f"{size:,}" for size in found.values())
        return need(all(due == size for due, size in found.items()), counts + (told if compared else ""))

    return row(spec, what=what, asked=" and ".join(f"{due:,}" for due in sizes), data="none", small=small)(measure)


def learned(shop: Workshop, model: str, **given: Any) -> int:
    """How many numbers a model learns."""
    from dlc.compiler.types import product

    weights = shop.load(**given).program.models[model].graph.weights().values()
    return sum(int(product(weight.shape)) for weight in weights if weight.trainable)
