"""One turn of a standard recurrence, with weights that are given: what a loop's body is recognised as."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

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

_RNN = '''\
def rnn_sum(x, h, weight_x, weight_h, bias):
    """What a simple recurrent network applies its activation to."""
    bias_x, bias_h = bias.chunk(2)
    return F.linear(x, weight_x, bias_x) + F.linear(h, weight_h, bias_h)'''

_LSTM = '''\
def lstm_step(x, h, c, weight_x, weight_h, bias, peephole=None):
    """One turn of long short-term memory. Rows of the weights: the input gate, the output gate, the forget gate, the
    candidate; of the peepholes: the input, the output, the forget gate."""
    bias_x, bias_h = bias.chunk(2)
    i, o, f, g = (F.linear(x, weight_x, bias_x) + F.linear(h, weight_h, bias_h)).chunk(4, dim=1)
    pi, po, pf = (0, 0, 0) if peephole is None else peephole.chunk(3)
    cell = torch.sigmoid(f + pf * c) * c + torch.sigmoid(i + pi * c) * torch.tanh(g)
    return torch.sigmoid(o + po * cell) * torch.tanh(cell), cell'''


class Step(Op, abstract=True):
    """The next states from a part of a sequence, the states before, and weights that are given as ONNX has them."""

    hidden = True
    kind: ClassVar[str]  # the standard's operator over a whole sequence
    gates: ClassVar[int]
    states: ClassVar[int] = 1

    def fit(self, x: Tensor, states: Sequence[Tensor], weight_x: Tensor, weight_h: Tensor, bias: Tensor) -> None:
        for name, operand in (("x", x), ("h", states[0]), ("weight_x", weight_x), ("weight_h", weight_h)):
            require_rank(name, operand, 2)
        h = states[0]
        rows = h.shape[1] * self.gates
        if weight_x.shape != (rows, x.shape[1]) or weight_h.shape != (rows, h.shape[1]) or bias.shape != (rows * 2,):
            raise ShapeError("weight_x", f"the weights {weight_x}, {weight_h} and {bias} do not fit {x} and {h}")
        if any(state.shape != h.shape for state in states):
            raise ShapeError("c", f"the cell is {states[-1]}, and the state {h}")

    def attributes(self) -> Mapping[str, Any]:
        """What the standard's operator is told besides the width."""
        return {}

    def macs(self, x: Tensor, *operands: Tensor) -> Dim:
        weight_x, weight_h = operands[self.states : self.states + 2]
        return x.shape[0] * (product(weight_x.shape) + product(weight_h.shape))


class RnnStep(Step):
    """The next state of a simple recurrent network: an activation of W x + b + U h + c."""

    activation: Literal["tanh", "relu"] = "tanh"
    kind = "RNN"
    gates = 1
    examples = (
        Example("N 3", "N 4", "4 3", "4 4", "8", gives="N 4"),
        Example("N 3", "N 4", "4 3", "4 4", "8", activation="relu", gives="N 4"),
    )

    def infer(self, x: Tensor, h: Tensor, weight_x: Tensor, weight_h: Tensor, bias: Tensor) -> Tensor:
        self.fit(x, [h], weight_x, weight_h, bias)
        return h

    def attributes(self) -> Mapping[str, Any]:
        return {"activations": [self.activation.capitalize()]}

    def torch(self, t: TorchContext, *operands: Code) -> Code:
        return t.call(f"torch.{self.activation}", t.call(t.defining(_RNN), *operands))

    def onnx(
        self, g: OnnxContext, x: OnnxValue, h: OnnxValue, weight_x: OnnxValue, weight_h: OnnxValue, bias: OnnxValue
    ) -> OnnxValue:
        sum_ = _sums(g, x, h, weight_x, weight_h, bias)
        return g.op(self.activation.capitalize(), sum_)


class GruStep(Step):
    """The next state of a gated recurrent unit, as ONNX defines it: update gate, reset gate, candidate.

    `reset_after` tells whether the reset gate acts behind the candidate's matrix or before it.
    """

    reset_after: bool = False
    kind = "GRU"
    gates = 3
    examples = (
        Example("N 3", "N 4", "12 3", "12 4", "24", gives="N 4"),
        Example("N 3", "N 4", "12 3", "12 4", "24", reset_after=True, gives="N 4"),
    )

    def infer(self, x: Tensor, h: Tensor, weight_x: Tensor, weight_h: Tensor, bias: Tensor) -> Tensor:
        self.fit(x, [h], weight_x, weight_h, bias)
        return h

    def attributes(self) -> Mapping[str, Any]:
        return {"linear_before_reset": int(self.reset_after)}

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


class LstmStep(Step):
    """The next state and cell of long short-term memory, as ONNX defines it.

    Rows of the weights: input gate, output gate, forget gate, candidate. `peephole` has what the cell is multiplied
    with in the first three: the cell before in the input and the forget gate, the new one in the output gate. Gers,
    Schraudolph and Schmidhuber, 2002.
    """

    kind = "LSTM"
    gates = 4
    states = 2
    examples = (
        Example("N 3", "N 4", "N 4", "16 3", "16 4", "32", gives=("N 4", "N 4")),
        Example("N 3", "N 4", "N 4", "16 3", "16 4", "32", "12", gives=("N 4", "N 4")),
    )

    def infer(
        self,
        x: Tensor,
        h: Tensor,
        c: Tensor,
        weight_x: Tensor,
        weight_h: Tensor,
        bias: Tensor,
        peephole: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        self.fit(x, [h, c], weight_x, weight_h, bias)
        if peephole is not None and peephole.shape != (h.shape[1] * 3,):
            raise ShapeError("peephole", f"the peepholes {peephole} do not fit a cell {c}")
        return h, c

    def torch(self, t: TorchContext, *operands: Code) -> Code:
        return t.call(t.defining(_LSTM), *operands)

    def onnx(
        self,
        g: OnnxContext,
        x: OnnxValue,
        h: OnnxValue,
        c: OnnxValue,
        weight_x: OnnxValue,
        weight_h: OnnxValue,
        bias: OnnxValue,
        peephole: OnnxValue | None = None,
    ) -> tuple[OnnxValue, OnnxValue]:
        sums = _sums(g, x, h, weight_x, weight_h, bias)
        i, o, f, new = g.multi("Split", sums, results=4, axis=1, num_outputs=4)
        peeks = (None,) * 3 if peephole is None else g.multi("Split", peephole, results=3, axis=0, num_outputs=3)

        def gate(value: OnnxValue, peek: OnnxValue | None, cell: OnnxValue) -> OnnxValue:
            return g.op("Sigmoid", value if peek is None else g.op("Add", value, g.op("Mul", peek, cell)))

        kept = g.op("Mul", gate(f, peeks[2], c), c)
        cell = g.op("Add", kept, g.op("Mul", gate(i, peeks[0], c), g.op("Tanh", new)))
        return g.op("Mul", gate(o, peeks[1], cell), g.op("Tanh", cell)), cell


def _sums(
    g: OnnxContext, x: OnnxValue, h: OnnxValue, weight_x: OnnxValue, weight_h: OnnxValue, bias: OnnxValue
) -> OnnxValue:
    """The products of the input and of the state, with both halves of the bias."""
    bias_x, bias_h = g.multi("Split", bias, results=2, axis=0, num_outputs=2)
    products = g.op("Gemm", x, weight_x, bias_x, transB=1), g.op("Gemm", h, weight_h, bias_h, transB=1)
    return g.op("Add", *products)
