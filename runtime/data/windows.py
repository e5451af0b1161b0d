"""A text as examples: windows of its tokens, one behind the other."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from dlc.compiler.dim import Dim
from dlc.compiler.program import Schema
from dlc.compiler.types import DType, Tensor
from dlc.grammar.diagnostics import Refusal
from dlc.grammar.source import Span
from dlc.runtime.data.room import Room
from dlc.runtime.data.source import Table
from dlc.runtime.data.tokenizers import Tokenizer
from dlc.runtime.errors import UnreadableData

if TYPE_CHECKING:
    from numpy.typing import NDArray

# What tokens are kept as in a file, by the size of their vocabulary.
_TYPES = {"u1": 2**8, "i2": 2**15, "i4": 2**31, "i8": 2**63}

TOKENS = "tokens"
"""The only column of a text: int[window] < vocabulary."""


def window_schema(window: int, vocabulary: int) -> Schema:
    """What windows of a text offer."""
    return Schema({TOKENS: Tensor(DType.INT, (Dim.of(window),), Dim.of(vocabulary))}, vocabulary=vocabulary)


def window_table(
    text: Iterable[str], title: str, tokenizer: Tokenizer, window: int, stride: int, room: Room, span: Span
) -> Table:
    """The windows of a text, each `stride` tokens after the one before; they share the memory of what they share.

    text: its pieces, which are gone through twice. Raises Refusal where the text has no whole window.
    """
    import numpy as np

    encoder = tokenizer.learned(text)
    narrow = next(dtype for dtype, most in _TYPES.items() if encoder.size <= most)
    made = room.column(np.int64, stored=narrow)
    for piece in encoder.encode(text):
        made.extend(piece)
    if made.count < window:
        message = f"{title} has {made.count} tokens, and a window takes {window}"
        raise Refusal(UnreadableData(message, span))
    tokens = made.done()
    windows: NDArray[Any] = np.lib.stride_tricks.sliding_window_view(tokens, window, writeable=True)[::stride]

    def row(index: int) -> str:
        return f"the window from token {index * stride + 1}"

    return Table({TOKENS: windows}, len(windows), row, overlap=(window - 1) // stride, hashed="<i8")
