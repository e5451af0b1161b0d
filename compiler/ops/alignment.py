"""Losses of sequences that are not aligned with their labels."""

from __future__ import annotations

from typing import Any

from dlc.compiler.dim import Dim
from dlc.compiler.flow.reading import Flow, batched
from dlc.compiler.op import Example, NonNegative, Op
from dlc.compiler.ops.losses import Reduction, reduced, require_classes, unless_mean
from dlc.compiler.torch.context import Code, TorchContext
from dlc.compiler.types import (
    DType,
    ShapeError,
    Tensor,
    agree,
    require_filled,
    require_float,
    require_int,
    require_rank,
)


class Ctc(Op):
    """Connectionist temporal classification. Graves et al., 2006.

    It is the negative log-probability of a sequence of labels, over all ways to align it with the logits.
    logits: [N, T, C]. target: ints [N, S] without blanks. Lengths, where sequences are shorter: ints [N]. The mean
    is one over examples, each divided by its number of labels. `zero_infinity` counts impossible alignments as 0.
    """

    blank: NonNegative = 0
    zero_infinity: bool = False
    reduction: Reduction = "mean"
    no_onnx = "the sum over all alignments is a loop over time that ONNX has no operator for"
    examples = (
        Example("N 12 V", "int N S < V", gives="", smooth=False),
        Example("N 12 V", "int N S < V", reduction="none", zero_infinity=True, gives="N", smooth=False),
    )

    def infer(
        self, logits: Tensor, target: Tensor, lengths: Tensor | None = None, target_lengths: Tensor | None = None
    ) -> Tensor:
        require_float("logits", logits)
        require_rank("logits", logits, 3)
        require_filled("logits", logits, [1])
        require_classes(target, logits.shape[2])
        require_rank("target", target, 2)
        if logits.shape[2].at_most(self.blank):
            raise ShapeError("blank", f"there is no class {self.blank} among {logits.shape[2]}", against="logits")
        given = {"target": target, "lengths": lengths, "target_lengths": target_lengths}
        for name, operand in given.items():
            if operand is None:
                continue
            require_int(name, operand)
            if name != "target":
                require_rank(name, operand, 1)
            if not agree(operand.shape[0], logits.shape[0]):
                raise ShapeError(
                    name,
                    f"{name} has {operand.shape[0]} examples, and logits have {logits.shape[0]}",
                    against="logits",
                    sizes=(operand.shape[0], logits.shape[0]),
                )
        return reduced(Tensor(logits.dtype, logits.shape[:1]), self.reduction)

    def flow(self, to: tuple[Tensor, ...], *inputs: Tensor | None) -> Flow | tuple[Flow, ...]:
        return super().flow(to, *inputs) if self.reduction != "none" else batched(to[0], *inputs)

    def torch(
        self,
        t: TorchContext,
        logits: Code,
        target: Code,
        lengths: Code | None = None,
        target_lengths: Code | None = None,
    ) -> Code:
        type, goal = t.inputs[:2]

        def full(given: Code | None, size: Dim) -> Code:
            return t.factory("torch.full", type.shape[:1], size, dtype=DType.INT) if given is None else given

        named: dict[str, Any] = {"blank": self.blank} if self.blank else {}
        named |= {"zero_infinity": True} if self.zero_infinity else {}
        return t.call(
            "F.ctc_loss",
            t.method(t.call("F.log_softmax", logits, dim=-1), "transpose", 0, 1),
            target,
            full(lengths, type.shape[1]),
            full(target_lengths, goal.shape[1]),
            **named,
            **unless_mean(self.reduction),
        )
