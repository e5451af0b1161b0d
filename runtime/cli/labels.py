"""Names of classes, for the scores that a model gives them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

_LONGEST = 1_000_000


def read_labels(place: str) -> list[str]:
    """The names of the classes in order: the lines of a text, or the sub-folders of a folder, as `images` numbers them.

    UsageError where there are none.
    """
    path = Path(place)
    try:
        if path.is_dir():
            names = sorted(entry.name for entry in path.iterdir() if entry.is_dir() and not entry.name.startswith("."))
        else:
            with path.open(encoding="utf-8") as file:
                names = [line.strip() for line in file.read(_LONGEST).splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise click.UsageError(f"{place} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if not names:
        raise click.UsageError(f"{place} holds no names")
    return names


def labelled(batches: Iterator[Mapping[str, Array]], names: list[str]) -> Iterator[dict[str, Array]]:
    """The outputs, and for each that scores as many classes as there are names, float[n, classes], the name of the
    class with the highest score, as `NAME_label`. UsageError where there is no such output."""
    import numpy as np

    known = np.array(names)
    for results in batches:
        scores = {
            name: array
            for name, array in results.items()
            if array.ndim == 2 and array.shape[1] == len(names) and array.dtype.kind == "f"
        }
        if not scores:
            told = ", ".join(f"{name}: {array.dtype}{list(array.shape)}" for name, array in results.items())
            raise click.UsageError(f"no output scores {len(names)} classes, as there are labels; there is {told}")
        yield {**results, **{f"{name}_label": known[array.argmax(axis=1)] for name, array in scores.items()}}
