"""From text to tokens: `bytes()`, `chars()` and `words(vocab)`."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_WORD = re.compile(r"\w+(?:['\u2019]\w+)*")


class Tokenizer(ABC):
    """How a text becomes whole numbers from 0 up to the size of a vocabulary. Fields are the parameters of its call."""

    @abstractmethod
    def size(self, text: str | None) -> int | None:
        """The size of the vocabulary; without the text, if it takes that to know it, none."""

    @abstractmethod
    def encode(self, text: str) -> NDArray[np.int64]:
        """The tokens of the text that the vocabulary is made from: int64[tokens]."""


@dataclass(frozen=True)
class Bytes(Tokenizer):
    """The bytes of the text in UTF-8, each a token."""

    def size(self, text: str | None) -> int:
        return 256

    def encode(self, text: str) -> NDArray[np.int64]:
        import numpy as np

        return np.frombuffer(text.encode(), np.uint8).astype(np.int64)


@dataclass(frozen=True)
class Chars(Tokenizer):
    """The characters of the text, numbered in the order of their code points."""

    def size(self, text: str | None) -> int | None:
        return None if text is None else len(set(text))

    def encode(self, text: str) -> NDArray[np.int64]:
        import numpy as np

        points = np.frombuffer(text.encode("utf-32-le"), np.uint32)
        return np.unique(points, return_inverse=True)[1].astype(np.int64)


@dataclass(frozen=True)
class Words(Tokenizer):
    """The words of the text in lower case: the `vocab` - 1 most frequent, from 1 on, and 0 for every other.

    Of two words that are as frequent, the first in the order of code points has the smaller number. What is between
    words is left out.
    """

    vocab: int

    def size(self, text: str | None) -> int:
        return self.vocab

    def encode(self, text: str) -> NDArray[np.int64]:
        import numpy as np

        words = _WORD.findall(text.lower())
        numbers = self.numbers(text)
        return np.fromiter((numbers.get(word, 0) for word in words), np.int64, len(words))

    def numbers(self, text: str) -> dict[str, int]:
        """The words of the text that are known, the most frequent first, each with its number."""
        counts = Counter(_WORD.findall(text.lower()))
        frequent = sorted(counts, key=lambda word: (-counts[word], word))[: self.vocab - 1]
        return {word: number for number, word in enumerate(frequent, 1)}


TOKENIZERS: dict[str, type[Tokenizer]] = {"bytes": Bytes, "chars": Chars, "words": Words}
