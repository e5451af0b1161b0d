"""Recurrent layers over [N, T, d], with the weights and the equations of PyTorch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from dlc.compiler.dim import Dim
from dlc.compiler.flow.reading import WHOLE, Flow, Near, Read, flow
from dlc.compiler.init import FanUniform, Init
from dlc.compiler.kept import Kept, Tape
from dlc.compiler.op import Example, Op, Positive, Probability, Size, Weight
from dlc.compiler.ops.conv import unlike
from dlc.compiler.torch.context import Code, TorchContext
from dlc.compiler.types import DType, ShapeError, Tensor, agree, product, require_positive, require_rank
from dlc.compiler.types import require_weight_type as require_weight

if TYPE_CHECKING:
    from dlc.compiler.onnx.context import OnnxContext, OnnxValue

_RUN = '''\
def run_recurrent(layer, x, *state):
    """Runs a recurrent layer and gives its states and the last one, both directions in the last axis."""
    depth, ways = layer.num_layers, 2 if layer.bidirectional else 1
    start = [each.reshape(depth, len(x), ways, each.shape[-1] // ways) for each in state]
    start = [each.transpose(1, 2).flatten(0, 1).contiguous() for each in start]
    states, last = layer(x, (tuple(start) if len(start) > 1 else start[0]) if start else None)
    last = last if isinstance(last, tuple) else (last,)
    last = [each.unflatten(0, (depth, ways)).transpose(1, 2).flatten(2) for each in last]
    return states, *(each[0] if depth == 1 else each for each in last)'''


class Recurrent(Op, abstract=True):
    """A layer whose state at each time depends on the state before.

    Gives the states of the top layer, [N, T, width], and the last state, [N, width], or, of several layers,
    [depth, N, width]. Both directions stand side by side in the last axis. `state`, shaped like the last one, is where
    it starts; otherwise it starts at 0. `dropout` acts between the layers, in training.
    """

    width: Size
    depth: Positive = 1
    bidirectional: bool = False
    dropout: Probability = 0.0
    module: ClassVar[str]
    gates: ClassVar[int]
    kept_a_step: ClassVar[int]  # on processors, in numbers for each of the state
    at_once: ClassVar[int]  # the same, of what is gone when the layer has run
    order: ClassVar[Sequence[int]]  # of PyTorch's gates, as ONNX has them

    @property
    def ways(self) -> int:
        return 2 if self.bidirectional else 1

    @property
    def out(self) -> Dim:
        """The width of one direction's states."""
        return self.width

    def last(self, x: Tensor, width: Dim) -> Tensor:
        """The type of the last state, or of the first."""
        layers = () if self.depth == 1 else (Dim.of(self.depth),)
        return Tensor(DType.FLOAT, (*layers, x.shape[0], width * self.ways))

    def check(self, x: Tensor, starts: dict[str, tuple[Tensor | None, Dim]]) -> None:
        require_weight("x", x)
        require_rank("x", x, 3)
        require_positive("width", self.width)
        if x.shape[1] == 0:
            raise ShapeError("x", "the sequences have no steps", label=str(x))
        if self.dropout and self.depth == 1:
            raise ShapeError("dropout", "dropout acts between layers, and there is one layer", against="depth")
        for name, (start, width) in starts.items():
            if start is not None:
                require_start(name, start, self.last(x, width))

    def infer(self, x: Tensor, state: Tensor | None = None) -> tuple[Tensor, ...]:
        self.check(x, {"state": (state, self.out)})
        return self.states(x), self.last(x, self.out)

    def flow(self, to: tuple[Tensor, ...], x: Tensor, *starts: Tensor | None) -> tuple[Flow, ...]:
        batch = self.depth > 1
        states, *lasts = to
        time: Read = WHOLE if self.bidirectional else Near(1, None, 0)
        first = [None if start is None else _start(0, start) for start in starts]
        last = [None if start is None else _start(int(batch), start) for start in starts]
        flows = [flow(states, [(0,), time, WHOLE], *first, fixed=(2,))]
        for each in lasts:
            fixed = [axis for axis in range(each.rank) if axis != int(batch)]
            flows.append(flow(each, [(int(batch),), WHOLE, WHOLE], *last, fixed=fixed))
        return tuple(flows)

    def keeps(self, tape: Tape, to: tuple[Tensor, ...], x: Tensor, *starts: Tensor | None) -> Kept:
        """The input turned to steps first, what each layer and direction remembers, and the states between layers."""
        steps = x.shape[0] * x.shape[1]
        made = [x]
        for layer, _ in self.parts():
            width = x.shape[2] if layer == 0 else self.out * self.ways
            made.append(Tensor(DType.FLOAT, (self.remembered(tape, x, width),)))
        between = steps * self.out * self.ways
        made += [Tensor(DType.FLOAT, (between,))] * (self.depth - 1 + self.bidirectional * self.depth)
        if self.dropout:
            made += [Tensor(DType.FLOAT, (between,)), Tensor(DType.BOOL, (between * (1 if tape.accelerator else 4),))]
        scratch = Tensor(DType.FLOAT, (steps * self.width * self.at_once,))
        undone = (scratch, x) if self.gates == 4 else ()
        return Kept(tuple(range(1, 1 + len(starts))), (0,), tuple(made), scratch=(scratch,), undone=undone)

    def remembered(self, tape: Tape, x: Tensor, width: Dim) -> Dim:
        """The numbers that one layer keeps in one direction, for inputs [N, T, width], besides its states.

        On accelerators its gates; on processors what PyTorch's code for them was measured to keep.
        """
        return x.shape[0] * x.shape[1] * self.width * (self.gates if tape.accelerator else self.kept_a_step)

    def states(self, x: Tensor) -> Tensor:
        return x.reshaped((*x.shape[:2], self.out * self.ways))

    def weights(self, x: Tensor, *_: Any) -> dict[str, Weight]:
        start = FanUniform(fan=self.width)
        rows = self.width * self.gates
        weights: dict[str, Weight] = {}
        for layer, suffix in self.parts():
            width = x.shape[2] if layer == 0 else self.out * self.ways
            weights[f"weight_ih{suffix}"] = Weight((rows, width), start)
            weights[f"weight_hh{suffix}"] = Weight((rows, self.out), start)
            weights[f"bias_ih{suffix}"] = weights[f"bias_hh{suffix}"] = Weight((rows,), start)
        return weights

    def parts(self) -> Iterator[tuple[int, str]]:
        """Each layer and direction, as the names of its weights end."""
        for layer in range(self.depth):
            yield layer, f"_l{layer}"
            if self.bidirectional:
                yield layer, f"_l{layer}_reverse"

    def options(self) -> dict[str, Any]:
        named = {"num_layers": self.depth, "dropout": self.dropout, "bidirectional": self.bidirectional}
        return unlike(named, {"num_layers": 1, "dropout": 0.0, "bidirectional": False})

    def torch_module(self, t: TorchContext, *_: Any) -> Code:
        return t.call(self.module, t.inputs[0].shape[2], self.width, batch_first=True, **self.options())

    def torch(self, t: TorchContext, x: Code, *state: Code) -> Code:
        return t.call(t.defining(_RUN), t.module, x, *state)

    def steps(self, x: Tensor, *_: Any) -> Dim:
        return x.shape[1] * self.depth

    def macs(self, x: Tensor, *_: Any) -> Dim:
        matrices = [weight for weight in self.weights(x).values() if len(weight.shape) == 2]
        return product(x.shape[:2]) * sum((product(weight.shape) for weight in matrices), Dim.of(0))

    def onnx(self, g: OnnxContext, x: OnnxValue, *state: OnnxValue) -> tuple[OnnxValue, ...]:
        x = g.op("Transpose", x, perm=[1, 0, 2])
        ends: list[list[OnnxValue]] = []
        for layer in range(self.depth):
            starts = [self._start(g, each, layer) for each in state]
            y, *last = self._layer(g, x, layer, starts)
            x = self._side_by_side(g, y, 1)
            ends.append([self._side_by_side(g, each, 0) for each in last])
        stacked = (
            each[0] if self.depth == 1 else g.op("Concat", *(g.op("Unsqueeze", e, g.ints([0])) for e in each), axis=0)
            for each in zip(*ends, strict=True)
        )
        return g.op("Transpose", x, perm=[1, 0, 2]), *stacked

    def _side_by_side(self, g: OnnxContext, states: OnnxValue, axis: int) -> OnnxValue:
        """States with the directions, which ONNX has on an axis of their own, side by side in the last one."""
        if self.ways == 1:
            return g.op("Squeeze", states, g.ints([axis]))
        order = [*range(axis), axis + 1, axis, axis + 2]
        return g.op("Reshape", g.op("Transpose", states, perm=order), g.ints([*[0] * (axis + 1), -1]))

    def _start(self, g: OnnxContext, state: OnnxValue, layer: int) -> OnnxValue:
        """The first state of one layer as [directions, N, width]."""
        if self.depth > 1:
            state = g.op("Gather", state, g.constant(layer, DType.INT), axis=0)
        if self.ways == 1:
            return g.op("Unsqueeze", state, g.ints([0]))
        return g.op("Transpose", g.op("Reshape", state, g.ints([0, self.ways, -1])), perm=[1, 0, 2])

    def _layer(self, g: OnnxContext, x: OnnxValue, layer: int, starts: list[OnnxValue]) -> tuple[OnnxValue, ...]:
        suffixes = [suffix for place, suffix in self.parts() if place == layer]

        def stacked(*names: str) -> OnnxValue:
            ways = [[_reordered(g, g.weight(name + suffix), self.order) for name in names] for suffix in suffixes]
            joined = [parts[0] if len(parts) == 1 else g.op("Concat", *parts, axis=0) for parts in ways]
            lifted = [g.op("Unsqueeze", each, g.ints([0])) for each in joined]
            return lifted[0] if len(lifted) == 1 else g.op("Concat", *lifted, axis=0)

        return g.multi(
            self.module.removeprefix("nn."),
            x,
            stacked("weight_ih"),
            stacked("weight_hh"),
            stacked("bias_ih", "bias_hh"),
            None,
            *starts,
            results=3 if self.module == "nn.LSTM" else 2,
            hidden_size=int(self.width),
            direction="bidirectional" if self.bidirectional else "forward",
            **self.onnx_options(),
        )

    def onnx_options(self) -> dict[str, Any]:
        return {}


class Rnn(Recurrent):
    """h = tanh(W x + b + U h' + c), where h' is the state before. Elman, 1990.

    It gives the states of the top layer, [N, T, width], and the last state, [N, width], or, of several layers,
    [depth, N, width]. Both directions stand side by side in the last axis. `state`, shaped like the last one, is where
    it starts; otherwise it starts at 0. `dropout` acts between the layers, in training. `init` starts U.
    """

    activation: Literal["tanh", "relu"] = "tanh"
    init: Init | None = None
    module = "nn.RNN"
    gates = 1
    kept_a_step = 1
    at_once = 1
    order = (0,)
    examples = (
        Example("N T 3", width=4, gives=("N T 4", "N 4")),
        Example("N T 3", "2 N 8", width=4, depth=2, bidirectional=True, gives=("N T 8", "2 N 8")),
        Example("N T 3", width=4, activation="relu", bidirectional=True, gives=("N T 8", "N 8")),
    )

    def weights(self, x: Tensor, *_: Any) -> dict[str, Weight]:
        own = {name: Weight((self.width, self.width), init) for name, init in self.initialised().items()}
        return super().weights(x) | own

    def initialised(self) -> dict[str, Init]:
        return {} if self.init is None else {f"weight_hh{suffix}": self.init for _, suffix in self.parts()}

    def options(self) -> dict[str, Any]:
        return super().options() | ({} if self.activation == "tanh" else {"nonlinearity": self.activation})

    def onnx_options(self) -> dict[str, Any]:
        return {"activations": [self.activation.capitalize()] * self.ways}


class Gru(Recurrent):
    """The gated recurrent unit. Cho et al., 2014.

    It gives the states of the top layer, [N, T, width], and the last state, [N, width], or, of several layers,
    [depth, N, width]. Both directions stand side by side in the last axis. `state`, shaped like the last one, is where
    it starts; otherwise it starts at 0. `dropout` acts between the layers, in training.
    """

    module = "nn.GRU"
    gates = 3
    kept_a_step = 7
    at_once = 3
    order = (1, 0, 2)
    examples = (
        Example("N T 3", width=4, gives=("N T 4", "N 4")),
        Example("N T 3", "N 4", width=4, gives=("N T 4", "N 4")),
        Example("N T 3", "N 8", width=4, bidirectional=True, gives=("N T 8", "N 8")),
        Example("N T 3", width=4, depth=2, dropout=0.5, gives=("N T 4", "2 N 4")),
    )

    def onnx_options(self) -> dict[str, Any]:
        return {"linear_before_reset": 1}


class Lstm(Recurrent):
    """Long short-term memory. Hochreiter and Schmidhuber, 1997.

    It gives the states of the top layer, [N, T, width], the last state, [N, width], and the last cell, or, of several
    layers, [depth, N, width]. Both directions stand side by side in the last axis. `state` and `cell`, shaped like
    the last ones, are where it starts; otherwise it starts at 0. `dropout` acts between the layers, in training.
    `proj`, unless it is 0, is the width that states, not cells, are projected to.
    """

    proj: Size = Dim.of(0)
    module = "nn.LSTM"
    gates = 4
    at_once = 4
    order = (0, 3, 1, 2)
    examples = (
        Example("N T 3", width=4, gives=("N T 4", "N 4", "N 4")),
        Example("N T 3", "N 4", "N 4", width=4, gives=("N T 4", "N 4", "N 4")),
        Example("N T 3", "2 N 8", "2 N 8", width=4, depth=2, bidirectional=True, gives=("N T 8", "2 N 8", "2 N 8")),
    )

    def remembered(self, tape: Tape, x: Tensor, width: Dim) -> Dim:
        """On accelerators gates and cells; on processors the workspace of oneDNN, whose rows are padded to cache lines:
        gates, six arrays of states or inputs and four of cells for each step and one more, and one of outputs."""
        if tape.accelerator:
            return x.shape[0] * x.shape[1] * self.width * 5
        own, wide = _row(self.width), _row(Dim.maximum(self.width, width))
        each = x.shape[1] * (_row(self.width * 4) + self.width) + (x.shape[1] + 1) * (6 * wide + 4 * own)
        return x.shape[0] * each

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        if self.proj != 0:
            object.__setattr__(self, "no_onnx", "ONNX's LSTM does not project its states (proj)")

    @property
    def out(self) -> Dim:
        return self.width if self.proj == 0 else self.proj

    def infer(self, x: Tensor, state: Tensor | None = None, cell: Tensor | None = None) -> tuple[Tensor, ...]:
        self.check(x, {"state": (state, self.out), "cell": (cell, self.width)})
        require_both(state, cell)
        if self.proj != 0:
            require_positive("proj", self.proj)
            if self.proj.less(self.width) is False:
                raise ShapeError("proj", f"proj is {self.proj}, and must be less than the width, {self.width}")
        return self.states(x), self.last(x, self.out), self.last(x, self.width)

    def weights(self, x: Tensor, *_: Any) -> dict[str, Weight]:
        weights = super().weights(x)
        if self.proj != 0:
            start = FanUniform(fan=self.width)
            weights |= {f"weight_hr{suffix}": Weight((self.proj, self.width), start) for _, suffix in self.parts()}
        return weights

    def options(self) -> dict[str, Any]:
        return super().options() | ({} if self.proj == 0 else {"proj_size": self.proj})


def _start(place: int, start: Tensor) -> list[Read]:
    """How the first state is read: its examples, which are the axis `place` of a result, each for itself."""
    return [*([WHOLE] if start.rank == 3 else []), (place,), WHOLE]


def require_start(name: str, start: Tensor, due: Tensor) -> None:
    """Refuses a first state of another type."""
    require_weight(name, start)
    if start.rank != due.rank or not all(map(agree, start.shape, due.shape)):
        raise ShapeError(name, f"{name} is {start}, and {due} is due", label=str(start), against="x")


def require_both(state: Tensor | None, cell: Tensor | None) -> None:
    if (state is None) != (cell is None):
        missing = "cell" if cell is None else "state"
        raise ShapeError(None, f"{missing} is missing: a state and a cell come together")


def _reordered(g: OnnxContext, weight: OnnxValue, order: Sequence[int]) -> OnnxValue:
    """The rows of the gates in ONNX's order."""
    if len(order) == 1:
        return weight
    gates = g.multi("Split", weight, results=len(order), axis=0, num_outputs=len(order))
    return g.op("Concat", *(gates[place] for place in order), axis=0)


def _row(width: Dim) -> Dim:
    """The floats of a row of oneDNN's: whole lines of 64 bytes, and no multiple of four pages of cache."""
    row = (width + 15) // 16 * 16
    return row + 16 if row.is_constant and int(row) % 256 == 0 else row
