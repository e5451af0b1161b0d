"""Whole runs of standard recurrences, with gradients of the weights as one product of all turns."""

from __future__ import annotations

from dlc.compiler.dim import Dim
from dlc.compiler.op import Example, Op
from dlc.compiler.torch.context import Code, TorchContext
from dlc.compiler.types import ShapeError, Tensor, product, require_rank

_GRU = '''\
def gru_states(x, h, weight_x, weight_h, bias, reset_after):
    """The states of a gated recurrent unit over x [T, N, d], the first one h, as [T + 1, N, width].

    Rows of the weights: the update gate, the reset gate, the candidate.
    """
    bias_x, bias_h = bias.chunk(2)
    if reset_after:
        return GatedStates.apply(F.linear(x, weight_x, bias_x), h, weight_h, bias_h)
    return GatedStates.apply(F.linear(x, weight_x, bias_x + bias_h), h, weight_h, None)


class GatedStates(torch.autograd.Function):
    """With a bias the reset gate acts behind the candidate's matrix, else before it."""

    @staticmethod
    def forward(ctx, x, h, weight, bias):
        width = h.shape[1]
        gates = torch.empty_like(x)
        seen = x.new_empty(len(x), *h.shape)  # what the candidate sees of a state
        states = x.new_empty(len(x) + 1, *h.shape)
        states[0] = h
        both, last = weight[: 2 * width].T, weight[2 * width :].T
        turns = zip(x, gates, seen, states, states[1:], strict=False)
        for x_t, gates_t, seen_t, state, after in turns:
            zr, n = gates_t[:, : 2 * width], gates_t[:, 2 * width :]
            torch.addmm(x_t[:, : 2 * width], state, both, out=zr)
            if bias is not None:
                zr += bias[: 2 * width]
            z, r = zr.sigmoid_().chunk(2, dim=1)
            if bias is None:
                torch.mul(r, state, out=seen_t)
                torch.addmm(x_t[:, 2 * width :], seen_t, last, out=n)
            else:
                torch.addmm(bias[2 * width :], state, last, out=seen_t)
                torch.addcmul(x_t[:, 2 * width :], r, seen_t, out=n)
            torch.lerp(n.tanh_(), state, z, out=after)
        ctx.save_for_backward(gates, seen, states, weight, bias)
        return states

    @staticmethod
    def backward(ctx, grad):
        if torch.is_grad_enabled():
            raise ValueError("a gated unit whose weights' gradients are gathered is differentiated once")
        gates, seen, states, weight, bias = ctx.saved_tensors
        width = states.shape[2]
        before = states[:-1]
        z, r, n = gates.chunk(3, dim=2)
        to_n = (1 - z) * (1 - n * n)
        to_z = (before - n) * z * (1 - z)
        to_r = (before if bias is None else seen) * r * (1 - r)
        grad_x = torch.empty_like(gates)  # of what comes from x
        grad_h = grad_x if bias is None else torch.empty_like(gates)  # of what comes from states
        both, last = weight[: 2 * width], weight[2 * width :]
        d = grad[-1]
        for t in range(len(gates) - 1, -1, -1):
            dx, dh = grad_x[t], grad_h[t]
            dn = torch.mul(d, to_n[t], out=dx[:, 2 * width :])
            torch.mul(d, to_z[t], out=dx[:, :width])
            if bias is None:
                back = dn @ last
                torch.mul(back, to_r[t], out=dx[:, width : 2 * width])
                d = torch.addcmul(grad[t], d, z[t]).addcmul_(back, r[t])
                d.addmm_(dx[:, : 2 * width], both)
            else:
                torch.mul(dn, to_r[t], out=dx[:, width : 2 * width])
                dh[:, : 2 * width] = dx[:, : 2 * width]
                torch.mul(dn, r[t], out=dh[:, 2 * width :])
                d = torch.addcmul(grad[t], d, z[t]).addmm_(dh, weight)
        rows, columns = grad_h.flatten(0, 1), before.flatten(0, 1)
        if bias is not None:
            return grad_x, d, rows.T @ columns, rows.sum(0)
        of_both = rows[:, : 2 * width].T @ columns
        of_last = rows[:, 2 * width :].T @ seen.flatten(0, 1)
        return grad_x, d, torch.cat([of_both, of_last]), None'''


class GruStates(Op):
    """All states of a gated recurrent unit, that before the first turn included.

    `reset_after` tells whether the reset gate acts behind the candidate's matrix or before it.
    """

    hidden = True
    no_onnx = "training alone runs a recurrence as one operation; an export has ONNX's own"
    reset_after: bool = False
    examples = (
        Example("T N 3", "N 4", "12 3", "12 4", "24", gives="T+1 N 4"),
        Example("T N 3", "N 4", "12 3", "12 4", "24", reset_after=True, gives="T+1 N 4"),
    )

    def infer(self, x: Tensor, h: Tensor, weight_x: Tensor, weight_h: Tensor, bias: Tensor) -> Tensor:
        require_rank("x", x, 3)
        for name, operand in (("h", h), ("weight_x", weight_x), ("weight_h", weight_h)):
            require_rank(name, operand, 2)
        rows = h.shape[1] * 3
        if weight_x.shape != (rows, x.shape[2]) or weight_h.shape != (rows, h.shape[1]) or bias.shape != (rows * 2,):
            raise ShapeError("weight_x", f"the weights {weight_x}, {weight_h} and {bias} do not fit {x} and {h}")
        return h.reshaped((x.shape[0] + 1, *h.shape))

    def torch(self, t: TorchContext, *operands: Code) -> Code:
        return t.call(t.defining(_GRU), *operands, self.reset_after)

    def macs(self, x: Tensor, h: Tensor, weight_x: Tensor, weight_h: Tensor, bias: Tensor) -> Dim:
        return x.shape[0] * x.shape[1] * (product(weight_x.shape) + product(weight_h.shape))
