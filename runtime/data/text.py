"""`text(path, tokenizer, window, stride=1)`: windows of the tokens of a file."""

from __future__ import annotations

import codecs
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from dlc.compiler.program import Schema
from dlc.grammar.diagnostics import Refusal
from dlc.runtime.data.room import Room
from dlc.runtime.data.source import FileSource, Table
from dlc.runtime.data.tokenizers import Tokenizer
from dlc.runtime.data.windows import window_schema, window_table
from dlc.runtime.errors import TooMuchData, UnreadableData

_BYTES = 2**20  # of the file that are read at a time


@dataclass(frozen=True)
class NamedFile(FileSource):
    """A file without columns."""

    def schema(self) -> Schema:
        return Schema({})

    def load(self, columns: Collection[str], room: Room | None = None) -> Table:
        return Table({}, 0, str)

    def content(self, most: int) -> bytes:
        """The whole file, if it has no more bytes than that. Raises Refusal."""
        try:
            with open(self.require_file(), "rb") as file:
                data = file.read(most + 1)
        except OSError as error:
            raise self.cannot_open(error) from error
        if len(data) > most:
            raise Refusal(TooMuchData(f"{self.path} has more than {most:,} bytes", self.span))
        return data


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
        size = self.tokenizer.known
        if size is None:
            size = self.tokenizer.learned(_Pieces(self)).size
        else:
            self.require_file()
        return window_schema(self.window, size)

    def load(self, columns: Collection[str], room: Room | None = None) -> Table:
        self.require_positive("window", "stride")
        own = room or self.room()
        own.require(self.require_file().stat().st_size, self.path)
        return window_table(_Pieces(self), self.path, self.tokenizer, self.window, self.stride, own, self.span)

    def pieces(self) -> Iterable[str]:
        """The text, which can be gone through again. Raises Refusal."""
        return _Pieces(self)


@dataclass(frozen=True, slots=True)
class _Pieces:
    """The text of a file, which can be gone through again. Raises Refusal."""

    source: Text

    def __iter__(self) -> Iterator[str]:
        source = self.source
        decoder = codecs.getincrementaldecoder("utf-8-sig")()
        lines, some = 1, False
        try:
            with open(source.require_file(), "rb") as file:
                while data := file.read(_BYTES):
                    piece = decoder.decode(data)
                    lines, some = lines + data.count(b"\n"), some or bool(piece)
                    if piece:
                        yield piece
                decoder.decode(b"", True)
        except OSError as error:
            raise source.cannot_open(error) from error
        except UnicodeDecodeError as error:
            line = lines + error.object.count(b"\n", 0, error.start)
            message = (
                f"{source.path} is not text in UTF-8: line {line} holds the byte 0x{error.object[error.start]:02x}"
            )
            raise Refusal(UnreadableData(message, source.span)) from error
        if not some:
            raise Refusal(UnreadableData(f"{source.path} is empty", source.span))
