"""An ONNX model in memory while it is being written; `wire` gives its bytes.

Its parts are those of the standard's messages, under the standard's names. It is our own since importing a library for
it takes longer than writing a model, and since weights are to be read only when they are written.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from io import FileIO
from math import prod
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from dlc.compiler.graph import Instance
from dlc.compiler.onnx.elements import item_size
from dlc.compiler.types import DType

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class Source:
    """Where the numbers of a tensor lie in an open file, as they do in a model: without gaps, little end first."""

    file: FileIO
    offset: int


@runtime_checkable
class Stored(Protocol):
    """A mapping of weights that can say where each lies."""

    def source(self, path: str) -> Source: ...


@dataclass(eq=False, slots=True)
class Tensor:
    """Numbers that are stored with a model. load: gives them, each time that they are asked for. source: where they
    can be copied from."""

    dtype: DType
    shape: tuple[int, ...]
    load: Callable[[], Array]
    source: Source | None = None

    @staticmethod
    def of(array: Array, dtype: DType) -> Tensor:
        """The numbers of an array, which is referred to and not copied."""
        return Tensor(dtype, array.shape, lambda: array)

    @property
    def nbytes(self) -> int:
        return prod(self.shape) * item_size(self.dtype)


@dataclass(eq=False, slots=True)
class Value:
    """What flows between nodes. dtype, shape: none where they are not known. node: what makes it; none for an input
    or an initialiser, which has a tensor."""

    name: str | None = None
    dtype: DType | None = None
    shape: tuple[int | str, ...] | None = None
    node: Node | None = None
    tensor: Tensor | None = None


class AttributeType(IntEnum):
    """The kinds of attributes, by their numbers in the standard."""

    FLOAT = 1
    INT = 2
    STRING = 3
    TENSOR = 4
    GRAPH = 5
    FLOATS = 6
    INTS = 7
    STRINGS = 8


@dataclass(eq=False, slots=True)
class Attribute:
    """value: a float, an int, a str, a Tensor or a Graph, or a sequence of one of the first three."""

    type: AttributeType
    value: Any


@dataclass(eq=False, slots=True)
class Node:
    """One operator, or the call of a function. inputs: none where an optional one is absent. scope: the instances of
    blocks that it lies in, outermost first. size: whether it computes a size from the shapes of inputs alone."""

    domain: str
    op_type: str
    inputs: list[Value | None]
    attributes: dict[str, Attribute]
    outputs: list[Value]
    name: str | None = None
    metadata: dict[str, str] = field(default_factory=dict[str, str])
    scope: tuple[Instance, ...] = ()
    size: bool = False

    @property
    def graphs(self) -> list[Graph]:
        """The graphs within the node: the body of a loop, the branches of a choice."""
        return [each.value for each in self.attributes.values() if each.type is AttributeType.GRAPH]


@dataclass(eq=False, slots=True)
class Graph:
    """Nodes in topological order, between inputs and outputs."""

    name: str
    inputs: Sequence[Value]
    outputs: Sequence[Value]
    nodes: list[Node]
    initializers: Sequence[Value] = ()
    doc: str = ""


@dataclass(eq=False, slots=True)
class Function:
    """A part of a model that nodes call by `domain` and `name`."""

    domain: str
    name: str
    inputs: Sequence[Value]
    outputs: Sequence[Value]
    nodes: list[Node]
    opsets: dict[str, int]
    metadata: dict[str, str] = field(default_factory=dict[str, str])


@dataclass(eq=False, slots=True)
class Model:
    """A whole model. opsets: the version of each domain's operators."""

    graph: Graph
    ir_version: int
    opsets: dict[str, int]
    producer: str = ""
    producer_version: str = ""
    metadata: dict[str, str] = field(default_factory=dict[str, str])
    functions: list[Function] = field(default_factory=list[Function])
