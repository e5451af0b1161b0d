"""`text(path, tokenizer, window, stride=1)`: windows of the tokens of a file."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from dlc.compiler.program import Schema
from dlc.grammar.diagnostics import Refusal
from dlc.runtime.data.source import MOST, FileSource, Table
from dlc.runtime.data.tokenizers import Tokenizer
from dlc.runtime.data.windows import window_schema, window_table
from dlc.runtime.errors import UnreadableData

_EACH = 16  # bytes of memory for a byte of the file: the text, and a token of 8 bytes


@dataclass(frozen=True)
class Text(FileSource):
    """The column `tokens`: int[window] < the size of the tokenizer's vocabulary, which is made from the file.

    A window starts every `stride` tokens. A split keeps the text's order.
    """

    tokenizer: Tokenizer
    window: int
    stride: int = 1

    def schema(self) -> Schema:
        self.require_positive("window", "stride")
        size = self.tokenizer.size(None)
        if size is None:
            size = self.tokenizer.size(self._text())
        else:
            self.require_file()
        assert size is not None
        return window_schema(self.window, size)

    def load(self, columns: Collection[str]) -> Table:
        self.require_positive("window", "stride")
        return window_table(self._text(), self.path, self.tokenizer, self.window, self.stride, self.span)

    def _text(self) -> str:
        data = self.read(MOST // _EACH)
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            message = f"{self.path} is not text in UTF-8: line {line} holds the byte 0x{data[error.start]:02x}"
            raise Refusal(UnreadableData(message, self.span)) from error
        if not text:
            raise Refusal(UnreadableData(f"{self.path} is empty", self.span))
        return text
