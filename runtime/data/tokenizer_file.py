"""`file(path)`: a tokenizer as the `tokenizers` library writes it, a `tokenizer.json`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlc.grammar.diagnostics import Refusal
from dlc.grammar.source import Span
from dlc.runtime.data.tokenizers import Encoder, Tokenizer
from dlc.runtime.errors import MissingPackage, UnreadableData

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_MOST = 2**28  # bytes of the file
_PIECE = 2**20  # characters that are encoded at once, up to the end of a line


@dataclass(frozen=True)
class TokenizerFile(Tokenizer):
    """The tokens that the library gives for the text, no special ones put around it. The text is encoded in pieces of
    a million characters, each up to the end of a line.

    span: where the spec calls it. folder: where a relative path starts.
    """

    span: Span
    folder: Path
    path: str

    @property
    def known(self) -> int:
        ids: dict[str, int] = self._library.get_vocab(with_added_tokens=True)
        if not ids:
            raise Refusal(UnreadableData(f"{self.path} has an empty vocabulary", self.span))
        return max(ids.values()) + 1

    def learned(self, text: Iterable[str]) -> Encoder:
        return Encoder(self.known, self._encoded)

    @cached_property
    def _library(self) -> Any:
        """The library's own tokenizer, which neither cuts nor fills what it is given. Raises Refusal."""
        from dlc.runtime.data.text import NamedFile

        content = NamedFile(self.span, self.folder, self.path).content(_MOST)
        try:
            tokenizers = import_module("tokenizers")
        except ImportError as error:
            message = f"{self.path} needs tokenizers, which is not installed"
            raise Refusal(MissingPackage(message, self.span, help='pip install "dlc[data]"')) from error
        try:
            found: Any = tokenizers.Tokenizer.from_str(content.decode())
        except Exception as error:  # the library raises nothing more particular
            message = f"{self.path} is no tokenizer as the library `tokenizers` writes it"
            help = "`Tokenizer.save` and `save_pretrained` write a tokenizer.json"
            notes = tuple(str(error).splitlines()[:1])
            raise Refusal(UnreadableData(message, self.span, notes=notes, help=help)) from error
        found.no_truncation()
        found.no_padding()
        return found

    def _encoded(self, text: Iterable[str]) -> Iterator[NDArray[np.int64]]:
        import numpy as np

        for piece in _up_to_lines(text):
            yield np.array(self._library.encode(piece, add_special_tokens=False).ids, np.int64)


def _up_to_lines(text: Iterable[str]) -> Iterator[str]:
    """Pieces of a text of a million characters, each up to the last end of a line in it, if there is one."""
    rest = ""
    for piece in text:
        rest += piece
        while len(rest) >= _PIECE:
            end = rest.rfind("\n", 0, _PIECE) + 1 or _PIECE
            yield rest[:end]
            rest = rest[end:]
    if rest:
        yield rest
