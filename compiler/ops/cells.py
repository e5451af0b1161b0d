"""One turn of the recurrent layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from dlc.compiler.dim import Dim
from dlc.compiler.flow.reading import Flow, batched
from dlc.compiler.init import FanUniform
from dlc.compiler.kept import Kept, Tape
from dlc.compiler.op import Example, Op, Size, Weight
from dlc.compiler.ops.recurrent import require_both, require_start
from dlc.compiler.torch.context import Code, TorchContext
from dlc.compiler.types import DType, Tensor, product, require_positive, require_rank, require_weight_type

if TYPE_CHECKING:
    from dlc.compiler.onnx.context import OnnxContext, OnnxValue


class Cell(Op, abstract=True):
    """The next state from an input [N, d] and the state before, [N, width], which is 0 if it is not given."""

    width: Size
    gates: ClassVar[int]
    kept_gates: ClassVar[int] = 5  # numbers kept for gradients for each of the state, besides the result
    module: ClassVar[str]

    def infer(self, x: Tensor, state: Tensor | None = None) -> Any:
        require_weight_type("x", x)
        require_rank("x", x, 2)
        require_positive("width", self.width)
        result = x.reshaped((x.shape[0], self.width))
        if state is not None:
            require_start("state", state, result)
        return result

    def flow(self, to: tuple[Tensor, ...], *inputs: Tensor | None) -> Flow:
        return batched(to[0], *inputs)

    def weights(self, x: Tensor, *_: Any) -> dict[str, Weight]:
        start, rows = FanUniform(fan=self.width), self.width * self.gates
        return {
            "weight_ih": Weight((rows, x.shape[1]), start),
            "weight_hh": Weight((rows, self.width), start),
            "bias_ih": Weight((rows,), start),
            "bias_hh": Weight((rows,), start),
        }

    def torch_module(self, t: TorchContext, *_: Any) -> Code:
        return t.call(self.module, t.inputs[0].shape[1], self.width)

    def keeps(self, tape: Tape, to: tuple[Tensor, ...], x: Tensor, *states: Tensor | None) -> Kept:
        made = x.reshaped((x.shape[0], self.width * self.kept_gates))
        return Kept(tuple(range(1 + len(states))), (0,), made=(made,) if self.kept_gates else ())

    def macs(self, x: Tensor, *_: Any) -> Dim:
        return x.shape[0] * sum((product(weight.shape) for weight in list(self.weights(x).values())[:2]), Dim.of(0))

    def products(self, g: OnnxContext, x: OnnxValue, state: OnnxValue) -> tuple[list[OnnxValue], list[OnnxValue]]:
        """What each gate gets from the input and from the state."""
        both = ((x, "weight_ih", "bias_ih"), (state, "weight_hh", "bias_hh"))
        first, second = (g.op("Gemm", value, g.weight(w), g.weight(b), transB=1) for value, w, b in both)
        return self._split(g, first), self._split(g, second)

    def _split(self, g: OnnxContext, value: OnnxValue) -> list[OnnxValue]:
        if self.gates == 1:
            return [value]
        return list(g.multi("Split", value, results=self.gates, axis=1, num_outputs=self.gates))

    def blank(self, g: OnnxContext) -> OnnxValue:
        """The state that it starts at unless one is given."""
        return g.op("Expand", g.constant(0.0, DType.FLOAT), g.sizes((g.inputs[0].shape[0], self.width)))


class RnnCell(Cell):
    """One turn of `rnn`: the next state from an input [N, d] and the state before, [N, width] (0 if not given)."""

    activation: Literal["tanh", "relu"] = "tanh"
    gates = 1
    kept_gates = 0
    module = "nn.RNNCell"
    examples = (
        Example("N 3", "N 4", width=4, gives="N 4"),
        Example("N 3", width=4, activation="relu", gives="N 4"),
    )

    def torch_module(self, t: TorchContext, *_: Any) -> Code:
        kind = {} if self.activation == "tanh" else {"nonlinearity": self.activation}
        return t.call(self.module, t.inputs[0].shape[1], self.width, **kind)

    def onnx(self, g: OnnxContext, x: OnnxValue, state: OnnxValue | None = None) -> OnnxValue:
        (a,), (b,) = self.products(g, x, self.blank(g) if state is None else state)
        return g.op(self.activation.capitalize(), g.op("Add", a, b))


class GruCell(Cell):
    """One turn of `gru`: the next state from an input [N, d] and the state before, [N, width] (0 if not given)."""

    gates = 3
    module = "nn.GRUCell"
    examples = (Example("N 3", "N 4", width=4, gives="N 4"), Example("N 3", width=4, gives="N 4"))

    def onnx(self, g: OnnxContext, x: OnnxValue, state: OnnxValue | None = None) -> OnnxValue:
        state = self.blank(g) if state is None else state
        a, b = self.products(g, x, state)
        reset, update = (g.op("Sigmoid", g.op("Add", a[i], b[i])) for i in (0, 1))
        fresh = g.op("Tanh", g.op("Add", a[2], g.op("Mul", reset, b[2])))
        return g.op("Add", fresh, g.op("Mul", update, g.op("Sub", state, fresh)))


class LstmCell(Cell):
    """One turn of `lstm`: state and cell, [N, width] each, from an input [N, d] and those before (0 if not given)."""

    gates = 4
    module = "nn.LSTMCell"
    examples = (
        Example("N 3", "N 4", "N 4", width=4, gives=("N 4", "N 4")),
        Example("N 3", width=4, gives=("N 4", "N 4")),
    )

    def infer(self, x: Tensor, state: Tensor | None = None, cell: Tensor | None = None) -> tuple[Tensor, Tensor]:
        result = super().infer(x, state)
        if cell is not None:
            require_start("cell", cell, result)
        require_both(state, cell)
        return result, result

    def torch(self, t: TorchContext, x: Code, state: Code | None = None, cell: Code | None = None) -> Code:
        return t.call(t.module, x) if state is None else t.call(t.module, x, Code(f"({state}, {cell})"))

    def onnx(
        self, g: OnnxContext, x: OnnxValue, state: OnnxValue | None = None, cell: OnnxValue | None = None
    ) -> tuple[OnnxValue, OnnxValue]:
        a, b = self.products(g, x, self.blank(g) if state is None else state)
        read, forget, fresh, write = (g.op("Add", p, q) for p, q in zip(a, b, strict=True))
        kept = g.op("Mul", g.op("Sigmoid", forget), self.blank(g) if cell is None else cell)
        cell = g.op("Add", kept, g.op("Mul", g.op("Sigmoid", read), g.op("Tanh", fresh)))
        return g.op("Mul", g.op("Sigmoid", write), g.op("Tanh", cell)), cell
