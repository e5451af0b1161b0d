"""What an operation sees while it is lowered to ONNX: nodes, constants, sizes, its weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from dlc.compiler.dim import Dim
    from dlc.compiler.onnx.model import Value as OnnxValue
    from dlc.compiler.types import DType, Scalar, Tensor


class OnnxContext(Protocol):
    """Handed to `Op.onnx`, whose inputs are values, static numbers (`Scalar`), or none where an operand is absent.

    inputs, outputs: the types of the node's operands and results. A model among the operands (`l2(net)`) is given as
    the tuple of its learned weights.
    newest: the newest opset whose operators may be used; see `dlc.compiler.onnx.opset`.
    """

    inputs: tuple[Any, ...]
    outputs: tuple[Tensor, ...]
    newest: int

    def op(self, kind: str, *inputs: OnnxValue | None, domain: str = "", **attributes: Any) -> OnnxValue:
        """Adds a node with one result.

        Attributes are numbers, strings, sequences of them, NumPy arrays and element types (`to=DType.INT`); one that
        is none is left out.
        """
        ...

    def multi(
        self, kind: str, *inputs: OnnxValue | None, results: int, domain: str = "", **attributes: Any
    ) -> tuple[OnnxValue, ...]:
        """Adds a node with several results."""
        ...

    def loop(
        self, turns: Dim, first: Sequence[OnnxValue], turn: Callable[..., Sequence[OnnxValue]]
    ) -> tuple[OnnxValue, ...]:
        """Adds a loop that carries values from turn to turn, and gives those after the last.

        first: the values that it starts with. turn: writes one turn; it is called once, with the turn's number from
        0 on and the carried values, and gives these values for the next turn, of the same types.
        """
        ...

    def choose(
        self,
        condition: OnnxValue,
        some: Callable[[], OnnxValue],
        other: Callable[[], OnnxValue],
        type: Tensor,
    ) -> OnnxValue:
        """What `some` writes where the condition holds when the model runs, else what `other` writes, of this type."""
        ...

    def once(self, name: str, write: Callable[[], OnnxValue]) -> OnnxValue:
        """What `write` computes from sizes and constants alone, in the model once however often this name is asked for.

        It stands outside of the loops and the branches that read it.
        """
        ...

    def weight(self, name: str) -> OnnxValue:
        """The initialiser that holds this weight of the node's module."""
        ...

    def tensor(self, operand: OnnxValue | Scalar, dtype: DType) -> OnnxValue:
        """The operand as a tensor of this element type: a static number as a constant, a tensor cast if need be."""
        ...

    def constant(self, value: Any, dtype: DType) -> OnnxValue:
        """A constant tensor from a number, nested lists or a NumPy array."""
        ...

    def ints(self, values: Sequence[int]) -> OnnxValue:
        """A constant int64 vector, as axes, pads and shapes are given."""
        ...

    def size(self, dim: Dim) -> OnnxValue:
        """A size as an int64 scalar, computed at run time where it is symbolic."""
        ...

    def sizes(self, dims: Sequence[Dim]) -> OnnxValue:
        """Sizes as an int64 vector, computed at run time where they are symbolic."""
        ...

    def cast(self, value: OnnxValue, dtype: DType) -> OnnxValue:
        """The value in another element type (itself, if it has that type already)."""
        ...
