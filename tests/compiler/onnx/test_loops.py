"""Loops in onnxruntime, compared with the same recursions in NumPy and PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from dlc.compiler.onnx.emit import emit_model
from dlc.compiler.onnx.errors import NoOnnxOperator, OpenSize
from dlc.compiler.op import operations
from dlc.compiler.passes import EXPORT, run
from dlc.compiler.passes.verify import verify
from dlc.compiler.program import Model
from dlc.compiler.weights import draw_weights
from dlc.grammar.diagnostics import Refusal

Array = np.ndarray[Any, Any]
Read = Callable[..., Model]
EXAMPLES = Path(__file__).parents[2] / "examples"


class Exported:
    """A model in onnxruntime, with weights by their paths."""

    def __init__(self, model: Model, weights: dict[str, Array] | None = None) -> None:
        verify(model.graph)
        verify(run(EXPORT, model.graph))
        self.weights = draw_weights(model.graph.weights(), 0) if weights is None else weights
        self.proto = emit_model(model.graph, self.weights)
        onnx.checker.check_model(self.proto, full_check=True)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            self.proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )

    def __call__(self, **inputs: Array) -> list[Array]:
        return self._session.run(None, {name: array.astype(np.float32) for name, array in inputs.items()})

    def graphs(self) -> Iterator[onnx.GraphProto]:
        """The graph, and the graphs within its nodes."""
        pending = [self.proto.graph]
        while pending:
            graph = pending.pop()
            yield graph
            pending += [attribute.g for node in graph.node for attribute in node.attribute if attribute.HasField("g")]

    def kinds(self) -> list[str]:
        return [node.op_type for graph in self.graphs() for node in graph.node]


def normal(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(size=shape)


def close(actual: Array, expected: Array, relative: float = 1e-5) -> None:
    assert actual.shape == expected.shape
    np.testing.assert_allclose(actual, expected, atol=relative * max(1.0, np.abs(expected).max(initial=0.0)), rtol=0)


@pytest.fixture(scope="module")
def gru(tmp_path_factory: pytest.TempPathFactory) -> tuple[Exported, Any]:
    """The GRU of the examples, and PyTorch's with the same weights.

    PyTorch has the reset gate first, and applies it to the product with the state, bias included: with that bias at
    zero and the candidate's weight on the state as the identity's multiple, both are the same network.
    """
    import torch

    from dlc.runtime.spec import read_spec

    program, _ = read_spec(EXAMPLES / "gru.dl")
    assert program is not None
    (model,) = program.models.values()
    weights = draw_weights(model.graph.weights(), 0)
    weights["GRU.candidate.weight"][:, 6:] = 0.7 * np.eye(32, dtype=np.float32)
    reference = torch.nn.GRU(6, 32, batch_first=True)
    update, reset = np.split(weights["GRU.gates.weight"], 2)
    update_bias, reset_bias = np.split(weights["GRU.gates.bias"], 2)
    rows = np.concatenate([reset, -update, weights["GRU.candidate.weight"]])
    bias = np.concatenate([reset_bias, -update_bias, weights["GRU.candidate.bias"]])
    reference.load_state_dict(
        {
            "weight_ih_l0": torch.tensor(rows[:, :6]),
            "weight_hh_l0": torch.tensor(rows[:, 6:]),
            "bias_ih_l0": torch.tensor(bias),
            "bias_hh_l0": torch.zeros(96),
        }
    )
    return Exported(model, weights), reference


@pytest.mark.parametrize(("examples", "length"), [(3, 1), (2, 7), (1, 64)])
def test_a_gru_from_its_equations_is_that_of_pytorch(gru: tuple[Exported, Any], examples: int, length: int) -> None:
    import torch

    exported, reference = gru
    x = normal(examples, length, 6).astype(np.float32)
    with torch.no_grad():
        expected, last = reference(torch.from_numpy(x))
    states, state = exported(x=x)
    close(states, expected.numpy())
    close(state, last[0].numpy())


@pytest.mark.parametrize(("examples", "length"), [(2, 0), (0, 3), (0, 0)])
def test_what_is_empty_is_walked(gru: tuple[Exported, Any], examples: int, length: int) -> None:
    states, state = gru[0](x=np.zeros((examples, length, 6)))
    assert states.shape == (examples, length, 32)
    close(state, np.zeros((examples, 32)))


RESET_AFTER = """
model Reader(x: float[N, T, 5]) -> (hs: float[N, T, 8], last: float[N, 8]):
    given = linear(24)
    held = linear(24)
    h = zeros(N, 8)
    loop x_t in x along 1 collecting h as hs:
        r, z, n = given(x_t) -> split(3, axis=1)
        r_h, z_h, n_h = held(h) -> split(3, axis=1)
        z = sigmoid(z + z_h)
        h = (1 - z) * tanh(n + sigmoid(r + r_h) * n_h) + z * h
    return hs, h
"""


def test_a_gru_with_copied_weights_is_that_of_pytorch(model: Read) -> None:
    import torch

    reference = torch.nn.GRU(5, 8, batch_first=True)
    names = ("given.weight", "held.weight", "given.bias", "held.bias")
    copied = {name: weight.detach().numpy() for name, weight in zip(names, reference.parameters(), strict=True)}
    exported = Exported(model(RESET_AFTER), copied)
    for examples, length in ((2, 1), (3, 7), (1, 64)):
        x = normal(examples, length, 5).astype(np.float32)
        with torch.no_grad():
            expected, last = reference(torch.from_numpy(x))
        states, state = exported(x=x)
        close(states, expected.numpy())
        close(state, last[0].numpy())


@pytest.fixture(scope="module")
def unknown(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """The GRU of the examples with a candidate that no operator has."""
    from dlc.runtime.spec import read_spec

    path = tmp_path_factory.mktemp("unknown") / "gru.dl"
    text = (EXAMPLES / "gru.dl").read_text(encoding="utf-8")
    path.write_text(text.replace("-> tanh", "-> silu"), encoding="utf-8")
    program, _ = read_spec(path)
    assert program is not None
    (model,) = program.models.values()
    return Exported(model)


def test_what_goes_along_a_sequence_is_a_scan_and_its_weights_lie_outside(unknown: Exported) -> None:
    exported = unknown
    assert exported.kinds().count("Scan") == 1
    assert "Loop" not in exported.kinds()
    outer, *inner = exported.graphs()
    assert {"GRU.gates.weight", "GRU.candidate.bias"} <= {tensor.name for tensor in outer.initializer}
    assert not any(graph.initializer for graph in inner)


def test_names_are_unique_and_every_node_tells_its_line(unknown: Exported) -> None:
    graphs = list(unknown.graphs())
    nodes = [node.name for graph in graphs for node in graph.node]
    assert all(nodes)
    assert len(set(nodes)) == len(nodes)
    values = [name for graph in graphs for node in graph.node for name in node.output]
    values += [value.name for graph in graphs for value in graph.input]
    assert len(set(values)) == len(values)
    lines = [
        {entry.value.rpartition(":")[2] for entry in node.metadata_props if entry.key == "dlc.line"}
        for graph in graphs
        for node in graph.node
    ]
    assert all(len(line) == 1 for line in lines)
    assert {"7", "8", "9"} <= {number for line in lines for number in line}


def test_values_in_bodies_have_symbolic_shapes(unknown: Exported) -> None:
    shapes = {
        value.name: [size.dim_param or size.dim_value for size in value.type.tensor_type.shape.dim]
        for graph in unknown.graphs()
        for value in (*graph.input, *graph.value_info, *graph.output)
    }
    assert shapes["GRU/h_2"] == ["N", 32]
    assert shapes["GRU/u"] == ["N", 32]


def test_a_loop_counts(model: Read) -> None:
    exported = Exported(
        model("""
model Power(A: float[n, n], turns = 20) -> (v: float[n], value: float[]):
    v = ones(n)
    loop turns:
        w = A @ v
        v = w / sqrt(sum(w * w))
    return v, sum(v * (A @ v))
""")
    )
    assert exported.kinds().count("Loop") == 1
    root = normal(6, 6)
    matrix = root @ root.T
    v = np.ones(6)
    for _ in range(20):
        v = matrix @ v / np.linalg.norm(matrix @ v)
    found, value = exported(A=matrix)
    close(found, v)
    close(value, v @ matrix @ v)


BACKWARDS = """
model Backwards(x: float[N, T]) -> (ys: float[T, N], y: float[N]):
    y = zeros(N)
    loop t in range(T - 1, -1, -1) collecting y as ys:
        y = y * 0.5 + x[:, t]
    return ys, y
"""


@pytest.mark.parametrize(("examples", "length"), [(2, 5), (3, 1), (2, 0), (0, 4)])
def test_a_range_runs_backwards(model: Read, examples: int, length: int) -> None:
    x = normal(examples, length)
    y, ys = np.zeros(examples), np.zeros((length, examples))
    for turn, t in enumerate(range(length - 1, -1, -1)):
        ys[turn] = y = y * 0.5 + x[:, t]
    found = Exported(model(BACKWARDS))(x=x)
    close(found[0], ys)
    close(found[1], y)


@pytest.mark.parametrize(("start", "stop", "step"), [(10, 0, -3), (2, 9, 3), (0, 4, 1), (3, 3, 1), (5, 2, 2)])
def test_an_index_steps(model: Read, start: int, stop: int, step: int) -> None:
    text = f"""
model Steps(x: float[N]) -> (ks: int[K], y: float[N]):
    loop k in range({start}, {stop}, {step}) collecting k as ks:
        x = 2 * x + cast(k, "float")
    return ks, x
"""
    x = normal(3)
    ks, y = Exported(model(text))(x=x)
    assert ks.tolist() == list(range(start, stop, step))
    for k in range(start, stop, step):
        x = 2 * x + k
    close(y, x)


@pytest.mark.parametrize(("examples", "rows", "columns"), [(2, 3, 4), (1, 1, 1), (2, 0, 3), (2, 3, 0)])
def test_loops_nest_and_read_two_sequences(model: Read, examples: int, rows: int, columns: int) -> None:
    exported = Exported(
        model("""
model Nested(x: float[N, R, C, 3], y: float[N, R]) -> (out: float[N, R, C, 3], h: float[N, 3]):
    f = linear(3)
    h = zeros(N, 3)
    loop row, scale in x, y along 1 collecting inner as out:
        loop cell in row along 1 collecting h as inner:
            h = tanh(f(h) + cell) * scale[:, none]
    return out, h
""")
    )
    x, y = normal(examples, rows, columns, 3), normal(examples, rows, seed=1)
    h, out = np.zeros((examples, 3)), np.zeros((examples, rows, columns, 3))
    for row in range(rows):
        for column in range(columns):
            product = h @ exported.weights["f.weight"].T + exported.weights["f.bias"]
            out[:, row, column] = h = np.tanh(product + x[:, row, column]) * y[:, row, None]
    found = exported(x=x, y=y)
    close(found[0], out)
    close(found[1], h)


def test_a_block_with_a_loop_runs_twice_with_one_set_of_weights(model: Read) -> None:
    exported = Exported(
        model("""
block Run(xs: float[N, T, 3], h: float[N, 3]) -> float[N, 3]:
    f = linear(3)
    loop x in xs along 1:
        h = tanh(f(h) + x)
    return h

model Twice(xs: float[N, T, 3]) -> (first: float[N, 3], second: float[N, 3]):
    net = Run()
    first = net(xs, zeros(N, 3))
    return first, net(xs[:, :2], first)
""")
    )
    assert sorted(exported.weights) == ["net.f.bias", "net.f.weight"]
    weight, bias = exported.weights["net.f.weight"], exported.weights["net.f.bias"]
    xs = normal(2, 5, 3)
    expected: list[Array] = []
    h = np.zeros((2, 3))
    for t in (0, 1, 2, 3, 4, 0, 1):
        h = np.tanh(h @ weight.T + bias + xs[:, t])
        expected.append(h)
    first, second = exported(xs=xs)
    close(first, expected[4])
    close(second, expected[6])


def test_carried_values_may_change_places(model: Read) -> None:
    exported = Exported(
        model("""
model Swap(x: float[N], y: float[N]) -> (a: float[N], b: float[N], outside: float[3, N]):
    a = x
    b = y
    loop 3 collecting x as outside:
        c = a
        a = b
        b = c
    return a, b, outside
""")
    )
    x, y = normal(2), normal(2, seed=1)
    a, b, outside = exported(x=x, y=y)
    close(a, y)
    close(b, x)
    close(outside, np.stack([x] * 3))


def test_every_turn_draws_anew(model: Read) -> None:
    exported = Exported(
        model("""
model Draws(x: float[N]) -> (zs: float[4, N]):
    loop t in range(4) collecting z as zs:
        z = x + normal(N)
    return zs
""")
    )
    (zs,) = exported(x=np.zeros(50))
    assert len(np.unique(zs)) == zs.size


def test_a_size_that_no_input_tells_is_refused_in_a_body(model: Read) -> None:
    text = """
model M(x: float[H // 2]) -> (y: float[H // 2]):
    y = x
    loop 3:
        y = y + sum(zeros(H))
    return y
"""
    with pytest.raises(Refusal) as caught:
        Exported(model(text))
    (found,) = caught.value.diagnostics
    assert isinstance(found, OpenSize)
    assert found.span is not None
    assert found.span.line == 5


def test_an_operation_without_a_lowering_is_refused_in_a_body(model: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operations()["tanh"], "no_onnx", "there is no such operator")
    text = "model M(x: float[N]) -> (y: float[N]):\n    y = x\n    loop 3:\n        y = tanh(y)\n    return y\n"
    with pytest.raises(Refusal) as caught:
        Exported(model(text))
    (found,) = caught.value.diagnostics
    assert isinstance(found, NoOnnxOperator)
    assert found.span is not None
    assert found.span.line == 4


def test_what_a_loop_makes_in_vain_is_not_exported(model: Read) -> None:
    exported = Exported(
        model("""
model M(xs: float[N, T], zs: float[N, T]) -> (y: float[N]):
    y = zeros(N)
    forgotten = zeros(N)
    loop 5 collecting forgotten as all:
        forgotten = exp(forgotten)
    loop x, z in xs, zs along 1 collecting y as ys:
        forgotten = forgotten + sin(z)
        y = y + x
    return y
""")
    )
    assert {"Exp", "Sin", "Loop"}.isdisjoint(exported.kinds())
    (scan,) = [node for graph in exported.graphs() for node in graph.node if node.op_type == "Scan"]
    assert (len(scan.input), len(scan.output)) == (2, 1)
    xs = normal(2, 3)
    close(exported(xs=xs, zs=xs)[0], xs.sum(axis=1))


def kalman(y: Array, a: Array, c: Array, q: Array, r: Array) -> Array:
    """The filter as it is written in textbooks, in double precision."""
    x, p = np.zeros(len(a)), np.eye(len(a))
    states: list[Array] = []
    for reading in y:
        x, p = a @ x, a @ p @ a.T + q
        gain = p @ c.T @ np.linalg.inv(c @ p @ c.T + r)
        x, p = x + gain @ (reading - c @ x), (np.eye(len(a)) - gain @ c) @ p
        states.append(x)
    return np.array(states)


@pytest.mark.parametrize(("length", "size", "readings"), [(30, 4, 2), (5, 1, 1), (7, 3, 5)])
def test_a_kalman_filter(length: int, size: int, readings: int) -> None:
    from dlc.runtime.spec import read_spec

    program, _ = read_spec(EXAMPLES / "kalman.dl")
    assert program is not None
    a = np.linalg.qr(normal(size, size))[0] * 0.9
    given = (normal(length, readings), a, normal(readings, size), 0.1 * np.eye(size), 0.5 * np.eye(readings))
    (states,) = Exported(program.models["Kalman"])(**dict(zip("yACQR", given, strict=True)))
    close(states, kalman(*given))


SOLVE = """
model Solve(a: float[B, n, n], b: float[n, k]) -> (x: float[B, n, k], i: float[B, n, n]):
    return solve(a, b), inverse(a)
"""


@pytest.mark.parametrize(("batch", "size", "columns"), [(3, 8, 2), (1, 40, 1), (2, 1, 3), (0, 3, 2), (2, 3, 0)])
def test_equations_are_solved_by_elimination(model: Read, batch: int, size: int, columns: int) -> None:
    # The greatest elements lie off the diagonal, so that every pivot has to be looked for.
    a = np.roll(np.eye(size), 1, axis=0) * 5 + normal(batch, size, size) / np.sqrt(size)
    b = normal(size, columns, seed=1)
    x, inverse = Exported(model(SOLVE))(a=a, b=b)
    close(x, np.linalg.solve(a, np.broadcast_to(b, (batch, size, columns))))
    close(inverse, np.linalg.inv(a))
