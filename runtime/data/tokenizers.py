"""From text to tokens: `bytes()`, `chars()`, `words(vocab)` and `file(path)`.

A text comes in pieces, of which no more than a few are in memory, and is gone through twice where it takes that to
know the vocabulary.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_WORD = re.compile(r"\w+(?:['\u2019]\w+)*")


@dataclass(frozen=True, slots=True)
class Encoder:
    """A tokenizer that knows its vocabulary. encode: the tokens of a text in pieces, int64[tokens] each."""

    size: int
    encode: Callable[[Iterable[str]], Iterator[NDArray[np.int64]]]


class Tokenizer(ABC):
    """How a text becomes whole numbers from 0 up to the size of a vocabulary. Fields are the parameters of its call."""

    @property
    @abstractmethod
    def known(self) -> int | None:
        """The size of the vocabulary; if it takes the text to know it, none."""

    @abstractmethod
    def learned(self, text: Iterable[str]) -> Encoder:
        """What encodes the text of these pieces, which may be gone through again."""

    def size(self, text: str) -> int:
        """The size of the vocabulary for a text."""
        return self.learned([text]).size

    def encode(self, text: str) -> NDArray[np.int64]:
        """The tokens of the text that the vocabulary is made from: int64[tokens]."""
        import numpy as np

        pieces = [*self.learned([text]).encode([text])]
        return np.concatenate(pieces) if pieces else np.empty(0, np.int64)


@dataclass(frozen=True)
class Bytes(Tokenizer):
    """The bytes of the text in UTF-8, each a token."""

    @property
    def known(self) -> int:
        return 256

    def learned(self, text: Iterable[str]) -> Encoder:
        return Encoder(256, _bytes)


def _bytes(text: Iterable[str]) -> Iterator[NDArray[np.int64]]:
    import numpy as np

    for piece in text:
        yield np.frombuffer(piece.encode(), np.uint8).astype(np.int64)


@dataclass(frozen=True)
class Chars(Tokenizer):
    """The characters of the text, numbered in the order of their code points."""

    @property
    def known(self) -> None:
        return None

    def learned(self, text: Iterable[str]) -> Encoder:
        import numpy as np

        found: set[str] = set()
        for piece in text:
            found.update(piece)
        points = np.array(sorted(map(ord, found)), np.uint32)

        def encode(text: Iterable[str]) -> Iterator[NDArray[np.int64]]:
            for piece in text:
                yield np.searchsorted(points, np.frombuffer(piece.encode("utf-32-le"), np.uint32)).astype(np.int64)

        return Encoder(len(points), encode)


@dataclass(frozen=True)
class Words(Tokenizer):
    """The words of the text in lower case: the `vocab` - 1 most frequent, from 1 on, and 0 for every other.

    Of two words that are as frequent, the first in the order of code points has the smaller number. What is between
    words is left out.
    """

    vocab: int

    @property
    def known(self) -> int:
        return self.vocab

    def learned(self, text: Iterable[str]) -> Encoder:
        numbers = self._numbers(text)

        def encode(text: Iterable[str]) -> Iterator[NDArray[np.int64]]:
            import numpy as np

            for words in _words(text):
                yield np.fromiter((numbers.get(word, 0) for word in words), np.int64, len(words))

        return Encoder(self.vocab, encode)

    def numbers(self, text: str) -> dict[str, int]:
        """The words of the text that are known, the most frequent first, each with its number."""
        return self._numbers([text])

    def names(self, text: Iterable[str]) -> list[str]:
        """What each token stands for in the text of these pieces; 0, which is every other word, for nothing."""
        return ["", *self._numbers(text)]

    def _numbers(self, text: Iterable[str]) -> dict[str, int]:
        counts: Counter[str] = Counter()
        for words in _words(text):
            counts.update(words)
        frequent = sorted(counts, key=lambda word: (-counts[word], word))[: self.vocab - 1]
        return {word: number for number, word in enumerate(frequent, 1)}


def _words(text: Iterable[str]) -> Iterator[list[str]]:
    """The words of each piece; one that goes on in the next is left to that."""
    rest = ""
    for piece in text:
        whole = rest + piece
        end = len(whole)
        while end and (whole[end - 1].isalnum() or whole[end - 1] in "_'\u2019"):
            end -= 1
        yield _WORD.findall(whole[:end].lower())
        rest = whole[end:]
    yield _WORD.findall(rest.lower())
