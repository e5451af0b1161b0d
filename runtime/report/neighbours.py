"""Which words a network takes to be alike: the nearest rows of its tables of words, where it reads words."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from dlc.compiler.program import TrainSpec
from dlc.runtime.data.builtin import Builtin
from dlc.runtime.data.open import open_source
from dlc.runtime.data.text import Text
from dlc.runtime.data.tokenizers import Words
from dlc.runtime.train.run import Run, weights_of_run

Array = np.ndarray[Any, Any]

_WORDS = 12  # that are asked for
_NEAREST = 6
_TABLES = 3
_LARGEST = 2**26  # bytes of a text that are gone through again for its words


def neighbours(run: Run, spec: TrainSpec) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """For the first tables of word vectors, float[words, d] with d below words, the path and the rows of a table: some
    words from frequent to rare, each with those whose vectors point most nearly where its own does. Raises Refusal."""
    names = _names(run, spec)
    if not names:
        return
    asked = sorted({round(place) for place in np.geomspace(min(8, len(names) - 1), len(names) - 1, _WORDS)})
    shown = 0
    for instance in spec.instances:
        for path, entry in weights_of_run(run, instance).items():
            if entry.ndim == 2 and len(entry) == len(names) > entry.shape[1] and shown < _TABLES:
                shown += 1
                near = nearest(entry.astype(np.float32), np.array(asked))
                yield (
                    f"{instance}.{path}",
                    [
                        (names[word], ", ".join(names[each] for each in row))
                        for word, row in zip(asked, near, strict=True)
                    ],
                )


def _names(run: Run, spec: TrainSpec) -> list[str]:
    """The words of the text by their numbers; none where it is no text of words, or too long to be read again."""
    match open_source(spec.data.source, Path(run.config.data_folder)):
        case Builtin(tokenizer=Words() as words) as source:
            return words.names(source.pieces())
        case Text(tokenizer=Words() as words) as source if source.require_file().stat().st_size <= _LARGEST:
            return words.names(source.pieces())
        case _:
            return []


def nearest(table: Array, asked: Array) -> list[list[int]]:
    """The rows whose angle to each of the asked ones is least, but for row 0, every unknown word's, and itself."""
    units = table / (np.linalg.norm(table, axis=1, keepdims=True) + 1e-12)
    cosine = units[asked] @ units.T
    cosine[:, 0] = -np.inf
    cosine[np.arange(len(asked)), asked] = -np.inf
    return np.argsort(-cosine, axis=1)[:, :_NEAREST].tolist()
