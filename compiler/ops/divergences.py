"""How far one distribution lies from another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dlc.compiler.flow.reading import Flow, batched
from dlc.compiler.op import Example, Op
from dlc.compiler.ops.losses import Reduction, reduce, reduced, require_target
from dlc.compiler.torch.context import Code, TorchContext
from dlc.compiler.types import Tensor, require_axes, require_float

if TYPE_CHECKING:
    from dlc.compiler.onnx.context import OnnxContext, OnnxValue

_KL_GAUSSIAN = '''\
def gaussian_divergence(mu, logvar):
    """The divergence of N(mu, exp(logvar)) from N(0, 1), for each example."""
    return (mu.square() + logvar.exp() - 1 - logvar).reshape(len(mu), mu.shape[1:].numel()).sum(1) / 2'''


class KlDiv(Op):
    """The Kullback-Leibler divergence of the softmax of `logits` from that of `target_logits`, over the last axis.

    It is 0 where they agree; the target's logarithms are weighted by the target's probabilities.
    """

    noun = "divergence"
    reduction: Reduction = "mean"
    examples = (
        Example("N V", "N V", gives=""),
        Example("N V", "N V", reduction="sum", gives=""),
        Example("N T V", "N T V", gives=""),
        Example("N T V", "N T V", reduction="none", gives="N T"),
    )

    def infer(self, logits: Tensor, target_logits: Tensor) -> Tensor:
        require_float("logits", logits)
        require_float("target_logits", target_logits)
        require_axes("logits", logits, 1)
        require_target("target_logits", target_logits, "logits", logits)
        return reduced(Tensor(logits.dtype, logits.shape[:-1]), self.reduction)

    def flow(self, to: tuple[Tensor, ...], logits: Tensor, target_logits: Tensor) -> Flow | tuple[Flow, ...]:
        if self.reduction != "none":
            return super().flow(to, logits, target_logits)
        return batched(to[0], logits, target_logits, axes=logits.rank - 1)

    def torch(self, t: TorchContext, logits: Code, target_logits: Code) -> Code:
        pair = [t.call("F.log_softmax", each, dim=-1) for each in (logits, target_logits)]
        if self.reduction == "sum":
            return t.call("F.kl_div", *pair, reduction="sum", log_target=True)
        if self.reduction == "mean" and t.inputs[0].rank == 2:
            return t.call("F.kl_div", *pair, reduction="batchmean", log_target=True)
        each = t.method(t.call("F.kl_div", *pair, reduction="none", log_target=True), "sum", -1)
        return each if self.reduction == "none" else t.method(each, "mean")

    def onnx(self, g: OnnxContext, logits: OnnxValue, target_logits: OnnxValue) -> OnnxValue:
        guess, goal = (g.op("LogSoftmax", each, axis=-1) for each in (logits, target_logits))
        parts = g.op("Mul", g.op("Exp", goal), g.op("Sub", goal, guess))
        return reduce(g, g.op("ReduceSum", parts, g.ints([-1]), keepdims=0), self.reduction)


class KlGaussian(Op):
    """The Kullback-Leibler divergence of N(mu, exp(logvar)) from N(0, 1). Kingma and Welling, 2013.

    Of each example it is the sum over all axes but the first.
    """

    noun = "divergence"
    reduction: Reduction = "mean"
    examples = (
        Example("N D", "N D", gives=""),
        Example("N C T", "N C T", reduction="none", gives="N"),
        Example("N", "N", reduction="sum", gives=""),
    )

    def infer(self, mu: Tensor, logvar: Tensor) -> Tensor:
        require_float("mu", mu)
        require_float("logvar", logvar)
        require_axes("mu", mu, 1)
        require_target("logvar", logvar, "mu", mu)
        return reduced(Tensor(mu.dtype, mu.shape[:1]), self.reduction)

    def flow(self, to: tuple[Tensor, ...], mu: Tensor, logvar: Tensor) -> Flow | tuple[Flow, ...]:
        return super().flow(to, mu, logvar) if self.reduction != "none" else batched(to[0], mu, logvar)

    def torch(self, t: TorchContext, mu: Code, logvar: Code) -> Code:
        each = t.call(t.defining(_KL_GAUSSIAN), mu, logvar)
        return each if self.reduction == "none" else t.method(each, self.reduction)

    def onnx(self, g: OnnxContext, mu: OnnxValue, logvar: OnnxValue) -> OnnxValue:
        dtype, rank = g.inputs[0].dtype, g.inputs[0].rank
        moments = g.op("Add", g.op("Mul", mu, mu), g.op("Exp", logvar))
        parts = g.op("Sub", g.op("Sub", moments, g.constant(1.0, dtype)), logvar)
        each = g.op("Mul", parts, g.constant(0.5, dtype))
        if rank > 1:
            each = g.op("ReduceSum", each, g.ints(range(1, rank)), keepdims=0)
        return reduce(g, each, self.reduction)
