"""Exports compared with PyTorch, and faults found at their node."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dlc.compiler.graph import Graph
from dlc.compiler.onnx.emit import build_model, save_model
from dlc.compiler.onnx.errors import ExportDiffers, NothingCompared
from dlc.compiler.onnx.opset import OPSET
from dlc.compiler.op import Op, operations
from dlc.compiler.program import Model
from dlc.compiler.types import DType
from dlc.compiler.weights import draw_weights
from dlc.grammar.diagnostics import Diagnostic, Refusal
from dlc.runtime.infer.reference import distance
from dlc.runtime.infer.trials import Sizes, draw_inputs, sizes_to_try
from dlc.runtime.infer.verify import Report, verify
from dlc.runtime.spec import read_spec

Read = Callable[..., Model]
EXAMPLES = Path(__file__).parents[2] / "examples"

TWO_LAYERS = """
block Layer(x: float[N, T, d]) -> float[N, T, d]:
    h = x -> linear(2*d)
    h = tanh(h)
    return x + (h -> linear(d))

model M(x: float[N, T, 6]) -> (y: float[N, T, 6], total: float[N]):
    layers = [Layer() for i in range(2)]
    x = x -> layers[0]
    x = relu(x)
    x = x -> layers[1]
    return x, sum(x, axes=[1, 2])
"""


def verified(model: Model, folder: Path) -> Report:
    weights = draw_weights(model.graph.weights(), 0)
    path = folder / "model.onnx"
    save_model(build_model(model.graph, weights), path)
    return verify(model, weights, path)


def refusal(model: Model, folder: Path) -> Diagnostic:
    with pytest.raises(Refusal) as caught:
        verified(model, folder)
    (found,) = caught.value.diagnostics
    return found


def test_outputs_agree_at_several_sizes(model: Read, tmp_path: Path) -> None:
    report = verified(model(TWO_LAYERS), tmp_path)
    assert {row.output for row in report.rows} == {"y", "total"}
    pairs = {f"N={n}, T={t}" for n, t in product((1, 2, 7, 33), repeat=2)}
    assert [row.sizes for row in report.rows] == [row.sizes for row in report.rows[::2] for _ in range(2)]
    assert {row.sizes for row in report.rows} == pairs | {"N=128, T=2", "N=1, T=128"}
    assert report.worst.relative < 1e-5
    assert not report.skipped
    assert not report.random


def test_the_first_node_that_differs_is_named(model: Read, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def lower(self: Op, g: Any, x: Any) -> Any:
        return g.op("LeakyRelu", x, alpha=0.05)

    monkeypatch.setattr(operations()["relu"], "onnx", lower)
    found = refusal(model(TWO_LAYERS), tmp_path)
    assert isinstance(found, ExportDiffers)
    assert found.span is not None
    assert found.span.line == 10
    assert "`relu`" in found.label


ATTENDING = """
model M(x: float[N, T, 8]) -> (y: float[N, T, 8]):
    q = x -> linear(8) -> rearrange("n t (h e) -> n h t e", h=2)
    return attention(q, q, q) -> rearrange("n h t e -> n t (h e)")
"""


def test_what_is_written_for_older_runtimes_is_looked_at_as_it_is_written(
    model: Read, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    attention = operations()["attention"]
    right: Any = attention.onnx

    def lower(self: Any, g: Any, *given: Any) -> Any:
        return g.op("Mul", right(self, g, *given), g.constant(1.5, DType.FLOAT))

    monkeypatch.setattr(attention, "onnx", lower)
    spec = model(ATTENDING)
    weights = draw_weights(spec.graph.weights(), 0)
    save_model(build_model(spec.graph, weights), tmp_path / "newest.onnx")
    verify(spec, weights, tmp_path / "newest.onnx")  # in which another operation stands
    save_model(build_model(spec.graph, weights, OPSET), tmp_path / "oldest.onnx")
    with pytest.raises(Refusal) as caught:
        verify(spec, weights, tmp_path / "oldest.onnx")
    (found,) = caught.value.diagnostics
    assert "`attention`" in found.label
    assert found.span is not None
    assert found.span.line == 4


def test_an_export_with_other_weights_differs(model: Read, tmp_path: Path) -> None:
    spec = model(TWO_LAYERS)
    path = tmp_path / "model.onnx"
    save_model(build_model(spec.graph, draw_weights(spec.graph.weights(), 1)), path)
    with pytest.raises(Refusal, match="onnxruntime and PyTorch differ in"):
        verify(spec, draw_weights(spec.graph.weights(), 0), path)


def test_sizes_follow_what_the_spec_requires(model: Read) -> None:
    text = """
model M(x: float[N, T], y: float[T, H], index: int[N] < T) -> (z: float[N, H]):
    require T % 3 == 0 and T > 9
    require H < T
    return x @ y
"""
    graph = model(text).graph
    tried = list(sizes_to_try(graph))
    assert len(tried) >= 3
    for sizes in tried:
        inputs = draw_inputs(graph, sizes)
        n, t = inputs["x"].shape
        assert t % 3 == 0
        assert t > 9
        assert inputs["y"].shape[0] == t > inputs["y"].shape[1]
        assert inputs["index"].shape == (n,)
        assert 0 <= inputs["index"].min() <= inputs["index"].max() < t


def test_a_model_without_symbols_is_tried_once(model: Read) -> None:
    graph = model("model M(x: float[3]) -> float[3]:\n    return relu(x)\n").graph
    (sizes,) = sizes_to_try(graph)
    assert str(sizes) == "fixed sizes"


def test_requirements_that_no_size_meets_are_told(model: Read, tmp_path: Path) -> None:
    text = 'model M(x: float[N]) -> float[N]:\n    require N > 5000, "long"\n    return relu(x)\n'
    assert isinstance(refusal(model(text), tmp_path), NothingCompared)


def test_sizes_at_which_pytorch_stops_are_told(model: Read, tmp_path: Path) -> None:
    text = "model M(x: float[N, 1, H]) -> (y: float[N, 2, H - 4]):\n    return x -> conv(2, 5, pad=0)\n"
    report = verified(model(text), tmp_path)
    assert report.skipped
    assert {row.sizes for row in report.rows}.isdisjoint(skipped.sizes for skipped in report.skipped)
    assert "ernel size" in report.skipped[0].reason


@pytest.mark.parametrize(
    ("actual", "expected", "relative"),
    [
        ([1.0, 2.0], [1.0, 2.5], 0.2),
        ([1.0, np.inf], [1.0, np.inf], 0.0),
        ([1.0, np.nan], [1.0, np.nan], 0.0),
        ([1.0, np.nan], [1.0, 2.0], np.inf),
        ([1.0, 2.0], [1.0, np.inf], np.inf),
        ([[1.0]], [1.0], np.inf),
        ([], [], 0.0),
        ([0.5], [0.0], 0.5),
    ],
)
def test_distances(actual: list[Any], expected: list[Any], relative: float) -> None:
    found = distance(np.array(actual), np.array(expected))[1]
    assert found == pytest.approx(relative)


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("classifier", {}),
        ("gpt", {"width": "16", "heads": "2", "depth": "2"}),
        ("unet", {"depth": "2"}),
        ("inception", {}),
        ("wavenet", {"levels": "20", "width": "8"}),
        ("gru", {}),
        ("kalman", {}),
        ("hopfield", {"d": "6"}),
        ("seq2seq", {}),
    ],
)
def test_the_examples_agree(name: str, given: dict[str, str], tmp_path: Path) -> None:
    text = (EXAMPLES / f"{name}.dl").read_text()
    path = tmp_path / f"{name}.dl"
    # Claims about networks, and what trains them, are not what is compared here.
    kept = text.partition("\ndata ")[0].splitlines()
    path.write_text("\n".join(line for line in kept if not line.strip().startswith("ensure ")) + "\n")
    program, sink = read_spec(path, given)
    assert program is not None, [diagnostic.message for diagnostic in sink]
    for model in program.models.values():
        report = verified(model, tmp_path)
        assert len(report.rows) >= 3
        # The filter inverts sums of random matrices, which are no covariances: some of them are nearly singular.
        assert len(report.skipped) < len(report.rows) / 2 if name == "kalman" else not report.skipped
        assert report.worst.relative < (1e-4 if name == "kalman" else 1e-5)


STEPS = """
model M(xs: float[N, T, 4]) -> (y: float[N, 4], h: float[N, T, 4]):
    held = linear(4)
    h = zeros(N, 4)
    xs = tanh(xs)
    loop x in xs along 1 collecting h as hs:
        h = relu(held(h) + x)
    loop 3:
        h = held(h) * 2
    return h, hs
"""


def test_loops_agree(model: Read, tmp_path: Path) -> None:
    report = verified(model(STEPS), tmp_path)
    assert len(report.rows) >= 6
    assert report.worst.relative < 1e-5


def test_a_loop_is_one_of_the_nodes_that_may_differ(
    model: Read, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lower(self: Op, g: Any, x: Any) -> Any:
        return g.op("LeakyRelu", x, alpha=0.05)

    monkeypatch.setattr(operations()["relu"], "onnx", lower)
    found = refusal(model(STEPS), tmp_path)
    assert isinstance(found, ExportDiffers)
    assert found.span is not None
    assert found.span.line == 6
    assert "`loop`" in found.label


DRAWN = """
model M(x: float[N, 3]) -> (y: float[N, 3]):
    loop 3:
        x = x + normal_like(x, std=0.5)
    z = uniform_like(x)
    return x * bernoulli(z)
"""


def test_draws_are_compared_for_the_same_noise(model: Read, tmp_path: Path) -> None:
    report = verified(model(DRAWN), tmp_path)
    assert report.random
    assert {row.sizes for row in report.rows} == {f"N={n}" for n in (1, 2, 7, 33, 128)}
    assert report.worst.relative < 1e-6


def test_the_first_draw_that_differs_is_named(model: Read, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operations()["bernoulli"], "onnx_of", greater)
    found = refusal(model(DRAWN), tmp_path)
    assert isinstance(found, ExportDiffers)
    assert found.span is not None
    assert found.span.line == 6
    assert "`bernoulli`" in found.label


def greater(self: Op, g: Any, noise: Any, p: Any) -> Any:
    return g.cast(g.op("Greater", noise, p), g.outputs[0].dtype)


def test_a_draw_in_a_loop_that_differs_is_found(model: Read, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operations()["normal_like"], "onnx_of", lambda self, g, noise, x: noise)
    found = refusal(model(DRAWN), tmp_path)
    assert isinstance(found, ExportDiffers)
    assert found.span is not None
    assert found.span.line == 3
    assert "`loop`" in found.label


def test_the_file_itself_gives_the_same_shapes(model: Read, tmp_path: Path) -> None:
    shorter = DRAWN.replace("return x * bernoulli(z)", "return (x * bernoulli(z))[:, :1]")
    spec, other = model(DRAWN), model(shorter.replace("(y: float[N, 3])", "(y: float[N, 1])"))
    path = tmp_path / "model.onnx"
    save_model(build_model(other.graph, {}), path)
    with pytest.raises(Refusal, match="differ in `y`"):
        verify(spec, {}, path)


@pytest.mark.parametrize("always", [False, True])
def test_a_draw_that_hangs_on_a_rounding_error(
    always: bool, model: Read, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is drawn anew where it can be told, and refused where both sides never agree."""

    def inputs(graph: Graph, sizes: Sizes, seed: int = 0) -> dict[str, Any]:
        drawn = draw_inputs(graph, sizes, seed)
        if always or seed == 0:
            drawn["y_noise"][:] = 0.5
        return drawn

    def lower(self: Op, g: Any, noise: Any, p: Any) -> Any:
        return g.cast(g.op("LessOrEqual", noise, p), g.outputs[0].dtype)

    monkeypatch.setattr("dlc.runtime.infer.verify.draw_inputs", inputs)
    monkeypatch.setattr(operations()["bernoulli"], "onnx_of", lower)
    spec = model("model M(x: float[N]) -> (y: float[N]):\n    return bernoulli(0 * x + 0.5)\n")
    if always:
        assert isinstance(refusal(spec, tmp_path), ExportDiffers)
    else:
        assert verified(spec, tmp_path).worst.relative == 0


def test_draws_within_a_loop_are_known(model: Read, tmp_path: Path) -> None:
    text = "model M(x: float[N]) -> (y: float[N]):\n    loop 3:\n        x = x + normal_like(x)\n    return x\n"
    report = verified(model(text), tmp_path)
    assert report.random


@pytest.mark.parametrize("broken", [False, True])
def test_a_problem_that_hangs_on_rounding_errors(
    broken: bool, model: Read, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other inputs are drawn where the first ones lead to a nearly singular matrix; a fault is still a fault."""

    def inputs(graph: Graph, sizes: Sizes, seed: int = 0) -> dict[str, Any]:
        drawn = draw_inputs(graph, sizes, seed)
        drawn["a"] = np.array([[1, 1], [1, 1 + 1e-6]] if seed == 0 else [[2, 1], [1, 3]], np.float32)
        return drawn

    monkeypatch.setattr("dlc.runtime.infer.verify.draw_inputs", inputs)
    if broken:
        monkeypatch.setattr(operations()["solve"], "onnx", lambda self, g, a, b: g.op("MatMul", a, b))
    spec = model("model M(a: float[2, 2], b: float[2, 3]) -> (y: float[2, 3]):\n    return solve(a, b)\n")
    if broken:
        found = refusal(spec, tmp_path)
        assert isinstance(found, ExportDiffers)
        assert "`solve`" in found.label
    else:
        assert verified(spec, tmp_path).worst.relative < 1e-4


def test_what_always_hangs_on_rounding_errors_is_told(
    model: Read, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def inputs(graph: Graph, sizes: Sizes, seed: int = 0) -> dict[str, Any]:
        drawn = draw_inputs(graph, sizes, seed)
        drawn["a"] = np.array([[1, 1], [1, 1 + 1e-6]], np.float32)
        return drawn

    monkeypatch.setattr("dlc.runtime.infer.verify.draw_inputs", inputs)
    monkeypatch.setattr(operations()["solve"], "onnx", lambda self, g, a, b: g.op("MatMul", a, b))
    spec = model("model M(a: float[2, 2], b: float[2, 3]) -> (y: float[2, 3]):\n    return solve(a, b)\n")
    found = refusal(spec, tmp_path)
    assert isinstance(found, NothingCompared)
    assert "rounding errors in the inputs move PyTorch's own results by" in found.notes[0]
