"""What is known of memory: blocks of it, the tensors that lie in them, and what a call keeps and makes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from dlc.compiler.dim import Dim
from dlc.compiler.graph import Node
from dlc.compiler.memory.layout import Layout
from dlc.compiler.types import DType, Tensor, product

WIDTHS = {
    DType.FLOAT: 4, DType.FLOAT64: 8, DType.FLOAT16: 2, DType.BFLOAT16: 2,
    DType.INT: 8, DType.INT32: 4, DType.INT8: 1, DType.UINT8: 1, DType.BOOL: 1,
}  # fmt: skip
NONE, ONE = Dim.of(0), Dim.of(1)


def size_of(type: Tensor, width: int | None = None) -> Dim:
    """The bytes of a tensor. width: those of an element, where it is not that of its type."""
    return product(type.shape) * (width or WIDTHS[type.dtype])


@dataclass(eq=False, slots=True)
class Block:
    """A stretch of memory, in bytes. made: the number of the call that makes it, -1 for what is given: the inputs,
    and weights, which are counted for themselves. times: how many there are of it if they are kept, one for each turn
    of the loops that it is made in."""

    size: Dim
    made: int
    times: Dim = ONE

    @property
    def kept(self) -> Dim:
        """The bytes of all of them."""
        return self.size * self.times


@dataclass(eq=False, slots=True)
class Held:
    """A tensor in memory. width: the bytes of a float element. needs: whether a gradient goes through it. name: what
    the graph at the top calls it, which holds it to the end of a step."""

    type: Tensor
    block: Block
    layout: Layout
    needs: bool
    width: int
    name: str | None = None


@dataclass(eq=False, slots=True)
class Record:
    """One call. trail: the nodes that lead to it, that of the graph at the top first. kept: what it keeps for
    gradients. scratch: bytes that are gone when it ends. undone: such bytes of its gradients. weights: the bytes of
    the gradients of the weights it reads, by path. passes: whether its inputs' gradients are its result's."""

    trail: tuple[Node, ...]
    reads: tuple[Held, ...]
    gives: tuple[Held, ...]
    kept: tuple[Block, ...] = ()
    made: tuple[Block, ...] = ()
    scratch: Dim = NONE
    undone: Dim = NONE
    weights: Mapping[str, Dim] = field(default_factory=dict[str, Dim])
    passes: bool = False

    @property
    def needs(self) -> bool:
        """Whether gradients go through it."""
        return any(held.needs for held in self.gives)


@dataclass(frozen=True, slots=True)
class Setting:
    """How a step is run. half: under autocast, with 2 bytes a float where that is enough. recompute: the block whose
    calls keep what they are given alone, and are done again for gradients."""

    training: bool = True
    accelerator: bool = True
    half: bool = False
    recompute: str | None = None
