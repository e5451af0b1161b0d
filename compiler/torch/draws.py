"""Random draws of a step that several processes share, each with a part of the batch: those of the whole batch."""

from __future__ import annotations

from dlc.compiler.dim import Symbol
from dlc.compiler.graph import Node
from dlc.compiler.op import Op
from dlc.compiler.ops.drawing import Drawing
from dlc.compiler.torch.context import Code
from dlc.compiler.torch.inline import FileParts
from dlc.compiler.types import Tensor

OF_BATCH = "of_batch"
"""The function of an emitted file that draws; whoever runs it in several processes puts another in its place."""

_OF_BATCH = '''def of_batch(draw: Callable[[], Tensor], axis: int) -> Tensor:
    """A draw for the examples along an axis: of those of all processes the ones of this."""
    return draw()'''


def shared(files: FileParts, node: Node, op: Op, code: Code) -> Code:
    """The expression of an operation, drawing for the whole batch where it draws for examples."""
    axis = _axis(files.batch, node, op)
    if axis is None:
        return code
    files.functions[OF_BATCH] = _OF_BATCH
    return Code(f"{OF_BATCH}(lambda: {code}, {axis})")


def _axis(batch: frozenset[Symbol], node: Node, op: Op) -> int | None:
    """The axis of what is drawn along which the examples lie; none where nothing is drawn, or the same for all."""
    dropping = op.stateful and type(op).flow_in_training is Op.flow_in_training
    if not op.random and not dropping:
        return None
    drawn: list[Tensor] = [output.type for output in node.outputs]
    if isinstance(op, Drawing):
        drawn.insert(0, op.noise(*node.operand_types).type)
    for type_ in drawn:
        for axis, size in enumerate(type_.shape):
            if batch & size.symbols():
                return axis
    return None
