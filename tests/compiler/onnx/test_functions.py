"""Blocks as functions of a model: they compute the same, and instances share them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from dlc.compiler.onnx.emit import build_model
from dlc.compiler.onnx.functions import DOMAIN, with_functions
from dlc.compiler.onnx.wire import encode
from dlc.compiler.program import Model
from dlc.compiler.weights import draw_weights
from dlc.runtime.infer.trials import draw_inputs, sizes_to_try
from dlc.runtime.spec import read_spec

EXAMPLES = Path(__file__).parents[2] / "examples"

NESTED = """
block Gate(x: float[N, T, d]) -> float[N, T, d]:
    return x * sigmoid(x -> linear(d))

block Layer(x: float[N, T, d], y: float[N, T, d]) -> (s: float[N, T, d], g: float[N, T, d]):
    h = x -> Gate() -> relu
    return h + y, (h -> Gate()) * 2

model M(x: float[N, T, 4]) -> (z: float[N, T, 4], y: float[N, T, 4]):
    layers = [Layer() for i in range(3)]
    y = tanh(x)
    for layer in layers:
        x, y = layer(x, y)
    return x, y
"""


def both(model: Model) -> tuple[onnx.ModelProto, onnx.ModelProto]:
    """The model flat and with functions, after the check that they compute the same."""
    weights = draw_weights(model.graph.weights(), 0)
    files = [encode(build_model(model.graph, weights)), encode(with_functions(build_model(model.graph, weights)))]
    flat, folded = map(onnx.ModelProto.FromString, files)
    onnx.checker.check_model(folded, full_check=True)
    sessions = [onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"]) for data in files]
    for sizes in list(sizes_to_try(model.graph))[:6]:
        inputs = draw_inputs(model.graph, sizes)
        for one, other in zip(*(session.run(None, inputs) for session in sessions), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    return flat, folded


def test_instances_of_a_block_share_a_function(model: Callable[..., Model]) -> None:
    flat, folded = both(model(NESTED))
    assert [node.op_type for node in folded.graph.node] == ["Tanh"] + ["Layer"] * 3
    assert [node.name for node in folded.graph.node][1:] == ["layers.0", "layers.1", "layers.2"]
    assert [function.name for function in folded.functions] == ["Gate", "Layer"]
    gate, layer = folded.functions
    assert [node.op_type for node in layer.node] == ["Gate", "Relu", "Add", "Gate", "Mul"]
    assert "linear.weight" in gate.input
    assert list(layer.node[2].output) != list(layer.node[4].output)
    assert all(len(function.output) == count for function, count in ((gate, 1), (layer, 2)))
    assert {entry.domain for entry in folded.opset_import} == {"", DOMAIN}
    assert [tensor.name for tensor in folded.graph.initializer] == [tensor.name for tensor in flat.graph.initializer]
    assert list(folded.graph.value_info) == [
        info
        for info in flat.graph.value_info
        if info.name in {name for node in folded.graph.node for name in node.output}
    ]


def test_calls_and_what_is_in_them_tell_their_lines(model: Callable[..., Model]) -> None:
    _, folded = both(model(NESTED))
    lines = [{entry.key: entry.value for entry in node.metadata_props}["dlc.line"] for node in folded.graph.node]
    assert lines == ["spec.dl:11"] + ["spec.dl:13"] * 3
    for function in folded.functions:
        for node in function.node:
            (line,) = (entry.value for entry in node.metadata_props if entry.key == "dlc.line")
            assert line.startswith("spec.dl:")


def test_a_model_without_blocks_stays_as_it_is(model: Callable[..., Model]) -> None:
    flat, folded = both(model("model M(x: float[N]) -> (y: float[N]):\n    return relu(x)\n"))
    assert flat == folded


def test_functions_are_the_same_each_time(model: Callable[..., Model]) -> None:
    spec = model(NESTED)
    weights = draw_weights(spec.graph.weights(), 0)
    first, second = (encode(with_functions(build_model(spec.graph, weights))) for _ in range(2))
    assert first == second


@pytest.mark.parametrize(
    ("name", "given", "blocks"),
    [
        ("gpt", {"width": "16", "heads": "2", "depth": "2"}, {"Attention", "Layer"}),
        ("unet", {"depth": "2"}, {"Double", "UNet"}),
        ("gru", {}, {"GRU"}),
        ("seq2seq", {}, set[str]()),
        ("inception", {}, set[str]()),
    ],
)
def test_the_examples_compute_the_same(name: str, given: dict[str, str], blocks: set[str], tmp_path: Path) -> None:
    kept = (EXAMPLES / f"{name}.dl").read_text().partition("\ndata ")[0].splitlines()
    path = tmp_path / f"{name}.dl"
    path.write_text("\n".join(line for line in kept if not line.strip().startswith("ensure ")) + "\n")
    program, sink = read_spec(path, given)
    assert program is not None, [diagnostic.message for diagnostic in sink]
    for spec in program.models.values():
        _, folded = both(spec)
        assert blocks <= {function.name for function in folded.functions}
