"""What tokens say, where the tokenizer of a spec's text tells it: bytes are text in UTF-8."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dlc.compiler.program import DataSpec, SourceCall
from dlc.compiler.types import DType, Tensor

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

_BYTES = 256


def texts(data: DataSpec, type: Tensor, array: Array) -> list[str]:
    """A text for each sequence of tokens int[T] or int[n, T]; none where these are no bytes of text.

    type: of the array, which promises its range. What is not UTF-8 becomes a question mark in a rhombus.
    """
    given = (*data.source.arguments, *data.source.named.values())
    of_bytes = any(isinstance(value, SourceCall) and value.kind == "bytes" for value in given)
    if not of_bytes or type.dtype is not DType.INT or type.below != _BYTES or array.ndim not in (1, 2):
        return []
    rows = array if array.ndim == 2 else array[None]
    return [bytes(row.tolist()).decode("utf-8", "replace") for row in rows]
