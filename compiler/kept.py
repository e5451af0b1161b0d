"""What an operation keeps in memory for its gradients, in the words that it says it in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from dlc.compiler.types import Tensor


@dataclass(frozen=True, slots=True)
class Tape:
    """How a call is recorded. needs: which of its inputs a gradient is needed of. accelerator: whether it runs on one,
    where PyTorch has other kernels than on a processor."""

    needs: Sequence[bool]
    accelerator: bool = True


@dataclass(frozen=True, slots=True)
class Kept:
    """What is kept from a call until its gradients are computed.

    inputs, results: which of them. made: what is made besides, and seen by no one else. scratch: what is gone when the
    call ends. undone: what lies there while its gradients are computed, besides these. dense: whether inputs must lie
    in memory in the order of their axes, and are copied where they do not. laid: the axes of the first result in the
    order in which they lie in memory, the one that varies slowest first.
    """

    inputs: tuple[int, ...] = ()
    results: tuple[int, ...] = ()
    made: tuple[Tensor, ...] = ()
    scratch: tuple[Tensor, ...] = ()
    undone: tuple[Tensor, ...] = ()
    dense: bool = False
    laid: tuple[int, ...] | None = None


NOTHING = Kept()
INPUT = Kept(inputs=(0,))
RESULT = Kept(results=(0,))


class Casting(Enum):
    """What becomes of floats under mixed precision, as PyTorch's autocast has it: computed in the lower precision, in
    the full one, or in the widest of the inputs'."""

    LOWER = "lower"
    FULL = "full"
    WIDEST = "widest"


def factors(left: bool, right: bool) -> tuple[int, ...]:
    """The factors of a product that are kept, where these of them need gradients: each for that of the other."""
    return (*((0,) if right else ()), *((1,) if left else ()))
