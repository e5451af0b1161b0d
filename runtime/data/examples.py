"""Examples of which any can be asked for: what trains knows their numbers, and not where they are kept."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Rows = slice | NDArray[np.int64]

Batch = Mapping[str, Tensor]
"""Fields of some examples, each with one entry along axis 0 for each of them."""


class Examples(Mapping[str, Tensor]):
    """Examples with the same fields. As a mapping it gives each field of all of them, with an axis for the examples
    in front.

    held: whether they are in memory, so that there is nothing to gain by fetching them ahead.
    """

    held = True

    @property
    @abstractmethod
    def count(self) -> int:
        """How many there are."""

    @property
    @abstractmethod
    def device(self) -> torch.device:
        """In whose memory `fetch` leaves them."""

    @property
    @abstractmethod
    def size(self) -> int:
        """The bytes of one of them, as it is fetched."""

    @abstractmethod
    def fetch(self, rows: Rows) -> Batch:
        """The fields of the examples of these numbers, in their order. Raises Refusal where one cannot be read."""

    @abstractmethod
    def to(self, device: torch.device) -> Examples:
        """The same examples, fetched to a device."""

    @abstractmethod
    def arrays(self) -> Mapping[str, NDArray[Any]]:
        """The fields as arrays, of which no more than what is looked at is read."""


class Held(Examples):
    """Examples in memory, as a tensor a field."""

    def __init__(self, fields: Mapping[str, Tensor]) -> None:
        self._fields = dict(fields)

    def __getitem__(self, name: str) -> Tensor:
        return self._fields[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)

    @property
    def count(self) -> int:
        return next(iter(self._fields.values())).shape[0]

    @property
    def device(self) -> torch.device:
        return next(iter(self._fields.values())).device

    @property
    def size(self) -> int:
        return sum(field[0].nbytes for field in self._fields.values())

    def fetch(self, rows: Rows) -> Batch:
        if isinstance(rows, slice):
            return {name: field[rows] for name, field in self._fields.items()}
        chosen = torch.as_tensor(rows).to(self.device)
        return {name: field.index_select(0, chosen) for name, field in self._fields.items()}

    def to(self, device: torch.device) -> Held:
        return Held({name: field.to(device) for name, field in self._fields.items()})

    def arrays(self) -> Mapping[str, NDArray[Any]]:
        return {name: field.cpu().numpy() for name, field in self._fields.items()}


def examples_of(fields: Mapping[str, Tensor]) -> Examples:
    """Fields in memory as examples; what is examples already as it is."""
    return fields if isinstance(fields, Examples) else Held(fields)
