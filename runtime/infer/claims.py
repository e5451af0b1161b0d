"""What a stored tensor claims to hold, held against what is there."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod

from dlc.compiler.types import DType
from dlc.runtime.infer.external import External
from dlc.runtime.infer.wire import DamagedError

# Numbers of ONNX's element types: what the language calls them, and the bits of an element.
ELEMENTS = {
    1: DType.FLOAT,
    2: DType.UINT8,
    3: DType.INT8,
    6: DType.INT32,
    7: DType.INT,
    9: DType.BOOL,
    10: DType.FLOAT16,
    11: DType.FLOAT64,
    16: DType.BFLOAT16,
}
_STRING = 8
_COMPLEX = (14, 15)
_WIDTHS = {
    2: (25, 26),
    4: (21, 22, 23),
    8: (2, 3, 9, 17, 18, 19, 20, 24),
    16: (4, 5, 10, 16),
    32: (1, 6, 12),
    64: (7, 11, 13, 14),
    128: (15,),
}
_BITS = {number: bits for bits, numbers in _WIDTHS.items() for number in numbers}


@dataclass
class Claim:
    """A tensor as its file has it.

    raw: its bytes, if it has any that are so stored. count: its numbers that are stored one by one. entries: where it
    lies in another file. outside: it says that it does.
    """

    name: str = ""
    dims: list[int] = field(default_factory=list[int])
    type: int = 0
    raw: int | None = None
    count: int = 0
    entries: dict[str, str] = field(default_factory=dict[str, str])
    outside: bool = False

    def checked(self) -> External | None:
        """Where it lies, if that is elsewhere. Raises DamagedError where it claims another size than it has."""
        if any(size < 0 for size in self.dims):
            raise DamagedError(f"the tensor `{self.name}` has a negative size")
        elements = prod(self.dims)
        if self.type != _STRING and self.type not in _BITS:
            raise DamagedError(f"the tensor `{self.name}` has an element type that is not known, number {self.type}")
        bits = _BITS.get(self.type, 0)
        due = (elements * bits + 7) // 8
        if self.outside or self.entries:
            if self.raw is not None or self.count or "location" not in self.entries or self.type == _STRING:
                raise DamagedError(f"the tensor `{self.name}` is stored here and elsewhere, or nowhere")
            offset, length = self._place("offset"), self._place("length")
            return External(self.name, self.entries["location"], offset or 0, length, due)
        if self.raw is not None:
            if self.raw != due or self.count or self.type == _STRING:
                raise DamagedError(f"the tensor `{self.name}` claims {due:,} bytes, and holds {self.raw:,}")
            return None
        numbers = 2 * elements if self.type in _COMPLEX else -(-elements * bits // 8) if 0 < bits < 8 else elements
        if self.count != numbers:
            raise DamagedError(f"the tensor `{self.name}` claims {numbers:,} numbers, and holds {self.count:,}")
        return None

    def _place(self, key: str) -> int | None:
        text = self.entries.get(key)
        if text is None:
            return None
        if not text.isascii() or not text.isdigit() or len(text) > 18:
            raise DamagedError(f"the tensor `{self.name}` is at no place of its file: {text[:40]!r}")
        return int(text)
