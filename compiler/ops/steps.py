"""One turn of a standard recurrence, with weights that are given: what a loop's body is recognised as."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dlc.compiler.dim import Dim
from dlc.compiler.op import Example, Op
from dlc.compiler.torch.context import Code, TorchContext
from dlc.compiler.types import ShapeError, Tensor, product, require_rank

if TYPE_CHECKING:
    from dlc.compiler.onnx.context import OnnxContext, OnnxValue

_GRU = '''\
def gru_step(x, h, weight_x, weight_h, bias, reset_after):
    """One turn of a gated recurrent unit. Rows of the weights: the update gate, the reset gate, the candidate."""
    bias_x, bias_h = bias.chunk(2)
    zx, rx, nx = F.linear(x, weight_x, bias_x).chunk(3, dim=1)
    wz, wr, wn = weight_h.chunk(3)
    bz, br, bn = bias_h.chunk(3)
    z, r = torch.sigmoid(zx + F.linear(h, wz, bz)), torch.sigmoid(rx + F.linear(h, wr, br))
    n = torch.tanh(nx + (r * F.linear(h, wn, bn) if reset_after else F.linear(r * h, wn, bn)))
    return (1 - z) * n + z * h'''


class GruStep(Op):
    """The next state of a gated recurrent unit, as ONNX defines it: update gate, reset gate, candidate.

    `reset_after` tells whether the reset gate acts behind the candidate's matrix or before it.
    """

    hidden = True
    reset_after: bool = False
    examples = (
        Example("N 3", "N 4", "12 3", "12 4", "24", gives="N 4"),
        Example("N 3", "N 4", "12 3", "12 4", "24", reset_after=True, gives="N 4"),
    )

    def infer(self, x: Tensor, h: Tensor, weight_x: Tensor, weight_h: Tensor, bias: Tensor) -> Tensor:
        for name, operand in (("x", x), ("h", h), ("weight_x", weight_x), ("weight_h", weight_h)):
            require_rank(name, operand, 2)
        rows = h.shape[1] * 3
        if weight_x.shape != (rows, x.shape[1]) or weight_h.shape != (rows, h.shape[1]) or bias.shape != (rows * 2,):
            raise ShapeError("weight_x", f"the weights {weight_x}, {weight_h} and {bias} do not fit {x} and {h}")
        return h

    def torch(self, t: TorchContext, *operands: Code) -> Code:
        return t.call(t.defining(_GRU), *operands, self.reset_after)

    def onnx(
        self,
        g: OnnxContext,
        x: OnnxValue,
        h: OnnxValue,
        weight_x: OnnxValue,
        weight_h: OnnxValue,
        bias: OnnxValue,
    ) -> OnnxValue:
        def thirds(value: OnnxValue, axis: int) -> tuple[OnnxValue, ...]:
            return g.multi("Split", value, results=3, axis=axis, num_outputs=3)

        bias_x, bias_h = g.multi("Split", bias, results=2, axis=0, num_outputs=2)
        zx, rx, nx = thirds(g.op("Gemm", x, weight_x, bias_x, transB=1), 1)
        (wz, wr, wn), (bz, br, bn) = thirds(weight_h, 0), thirds(bias_h, 0)
        z = g.op("Sigmoid", g.op("Add", zx, g.op("Gemm", h, wz, bz, transB=1)))
        r = g.op("Sigmoid", g.op("Add", rx, g.op("Gemm", h, wr, br, transB=1)))
        if self.reset_after:
            n = g.op("Mul", r, g.op("Gemm", h, wn, bn, transB=1))
        else:
            n = g.op("Gemm", g.op("Mul", r, h), wn, bn, transB=1)
        n = g.op("Tanh", g.op("Add", nx, n))
        return g.op("Add", n, g.op("Mul", z, g.op("Sub", h, n)))

    def macs(self, x: Tensor, h: Tensor, weight_x: Tensor, weight_h: Tensor, bias: Tensor) -> Dim:
        return x.shape[0] * (product(weight_x.shape) + product(weight_h.shape))
