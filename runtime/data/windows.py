"""A text as examples: windows of its tokens, one behind the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dlc.compiler.dim import Dim
from dlc.compiler.program import Schema
from dlc.compiler.types import DType, Tensor
from dlc.grammar.diagnostics import Refusal
from dlc.grammar.source import Span
from dlc.runtime.data.source import Table
from dlc.runtime.data.tokenizers import Tokenizer
from dlc.runtime.errors import UnreadableData

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

TOKENS = "tokens"
"""The only column of a text: int[window] < vocabulary."""


def window_schema(window: int, vocabulary: int) -> Schema:
    """What windows of a text offer."""
    return Schema({TOKENS: Tensor(DType.INT, (Dim.of(window),), Dim.of(vocabulary))}, vocabulary=vocabulary)


def window_table(text: str, title: str, tokenizer: Tokenizer, window: int, stride: int, span: Span) -> Table:
    """The windows of a text, each `stride` tokens after the one before; they share the memory of what they share.

    Raises Refusal where the text has no whole window.
    """
    import numpy as np

    tokens = tokenizer.encode(text)
    if len(tokens) < window:
        message = f"{title} has {len(tokens)} tokens, and a window takes {window}"
        raise Refusal(UnreadableData(message, span))
    windows: NDArray[np.int64] = np.lib.stride_tricks.sliding_window_view(tokens, window, writeable=True)[::stride]

    def row(index: int) -> str:
        return f"the window from token {index * stride + 1}"

    return Table({TOKENS: windows}, len(windows), row, overlap=(window - 1) // stride)
