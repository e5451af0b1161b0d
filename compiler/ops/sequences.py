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


_LSTM = '''\
def lstm_states(x, h, c, weight_x, weight_h, bias, peephole=None):
    """The states and the cells of long short-term memory over x [T, N, d], the first ones h and c, each as
    [T + 1, N, width].

    Rows of the weights: the input gate, the output gate, the forget gate, the candidate.
    """
    bias_x, bias_h = bias.chunk(2)
    return CellStates.apply(F.linear(x, weight_x, bias_x + bias_h), h, c, weight_h, peephole)


class CellStates(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, h, c, weight, peephole):
        gates = torch.empty_like(x)
        states, cells = x.new_empty(2, len(x) + 1, *h.shape)
        squashed = x.new_empty(len(x), *h.shape)  # cells, as the output gate lets them out
        states[0], cells[0] = h, c
        turns = zip(x, gates, states, cells, squashed, states[1:], cells[1:], strict=False)
        for x_t, gates_t, state, cell, out, after, new in turns:
            torch.addmm(x_t, state, weight.T, out=gates_t)
            i, o, f, g = gates_t.chunk(4, dim=1)
            if peephole is None:
                gates_t[:, : 3 * h.shape[1]].sigmoid_()
            else:
                see_i, see_o, see_f = peephole.chunk(3)
                i.addcmul_(see_i, cell).sigmoid_()
                f.addcmul_(see_f, cell).sigmoid_()
            torch.mul(f, cell, out=new).addcmul_(i, g.tanh_())
            if peephole is not None:
                o.addcmul_(see_o, new).sigmoid_()
            torch.mul(o, torch.tanh(new, out=out), out=after)
        ctx.save_for_backward(gates, states, cells, squashed, weight, peephole)
        return states, cells

    @staticmethod
    def backward(ctx, grad_states, grad_cells):
        if torch.is_grad_enabled():
            raise ValueError("a memory whose weights' gradients are gathered is differentiated once")
        gates, states, cells, squashed, weight, peephole = ctx.saved_tensors
        i, o, f, g = gates.chunk(4, dim=2)
        before = cells[:-1]
        to_i, to_g = g * i * (1 - i), i * (1 - g * g)
        to_f, to_o = before * f * (1 - f), squashed * o * (1 - o)
        to_c = o * (1 - squashed * squashed)
        grad_x = torch.empty_like(gates)
        dh, dc = grad_states[-1], grad_cells[-1]
        for t in range(len(gates) - 1, -1, -1):
            di, do, df, dg = grad_x[t].chunk(4, dim=1)
            torch.mul(dh, to_o[t], out=do)
            dc = torch.addcmul(dc, dh, to_c[t])
            if peephole is not None:
                see_i, see_o, see_f = peephole.chunk(3)
                dc.addcmul_(do, see_o)
            torch.mul(dc, to_i[t], out=di)
            torch.mul(dc, to_f[t], out=df)
            torch.mul(dc, to_g[t], out=dg)
            dh = torch.addmm(grad_states[t], grad_x[t], weight)
            dc = torch.addcmul(grad_cells[t], dc, f[t])
            if peephole is not None:
                dc.addcmul_(di, see_i).addcmul_(df, see_f)
        of_weight = grad_x.flatten(0, 1).T @ states[:-1].flatten(0, 1)
        if peephole is None:
            return grad_x, dh, dc, of_weight, None
        di, do, df, _ = grad_x.chunk(4, dim=2)
        seen = (di * before, do * cells[1:], df * before)
        return grad_x, dh, dc, of_weight, torch.cat([each.sum((0, 1)) for each in seen])'''


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


class LstmStates(Op):
    """All states and cells of long short-term memory, those before the first turn included.

    `peephole`: what the cell is multiplied with in the input, the output and the forget gate.
    """

    hidden = True
    no_onnx = "training alone runs a recurrence as one operation; an export has ONNX's own"
    examples = (
        Example("T N 3", "N 4", "N 4", "16 3", "16 4", "32", gives=("T+1 N 4", "T+1 N 4")),
        Example("T N 3", "N 4", "N 4", "16 3", "16 4", "32", "12", gives=("T+1 N 4", "T+1 N 4")),
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
        require_rank("x", x, 3)
        for name, operand in (("h", h), ("weight_x", weight_x), ("weight_h", weight_h)):
            require_rank(name, operand, 2)
        rows = h.shape[1] * 4
        if weight_x.shape != (rows, x.shape[2]) or weight_h.shape != (rows, h.shape[1]) or bias.shape != (rows * 2,):
            raise ShapeError("weight_x", f"the weights {weight_x}, {weight_h} and {bias} do not fit {x} and {h}")
        if c.shape != h.shape:
            raise ShapeError("c", f"the cell is {c}, and the state {h}")
        if peephole is not None and peephole.shape != (h.shape[1] * 3,):
            raise ShapeError("peephole", f"the peepholes {peephole} do not fit a cell {c}")
        each = h.reshaped((x.shape[0] + 1, *h.shape))
        return each, each

    def torch(self, t: TorchContext, *operands: Code) -> Code:
        return t.call(t.defining(_LSTM), *operands)

    def macs(self, x: Tensor, *operands: Tensor) -> Dim:
        weight_x, weight_h = operands[2:4]
        return x.shape[0] * x.shape[1] * (product(weight_x.shape) + product(weight_h.shape))
