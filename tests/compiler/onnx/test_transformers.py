"""What is written for transformers so that onnxruntime is fast: masks once for all layers, skips that stay apart."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from dlc.compiler.onnx.emit import build_model, emit_model
from dlc.compiler.onnx.functions import with_functions
from dlc.compiler.onnx.wire import encode
from dlc.compiler.program import Model
from dlc.compiler.torch.emit import emit_graph
from dlc.compiler.weights import draw_weights
from dlc.runtime.emitted import load_module

Read = Callable[..., Model]

DECODER = """
block Layer(x: float[N, T, d]) -> float[N, T, d]:
    q, k, v = layer_norm(x) -> linear(3*d) -> rearrange("n t (three h e) -> three n h t e", three=3, h=2)
    x = x + (attention(q, k, v, causal=true) -> rearrange("n h t e -> n t (h e)") -> linear(d))
    return layer_norm(x + (layer_norm(x) -> linear(2*d) -> gelu -> linear(d)))

model M(x: float[N, T, 8]) -> (y: float[N, T, 8]):
    for layer in [Layer() for i in range(3)]:
        x = layer(x)
    return x
"""


def nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from nodes(attribute.g)


@pytest.mark.parametrize("length", [1, 255, 256, 263, 300])
def test_long_sequences_agree_with_torch(model: Read, length: int) -> None:
    read = model(DECODER)
    weights = draw_weights(read.graph.weights(), 0)
    module = getattr(load_module(read.name, emit_graph(read.graph)), read.name)()
    module.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()})
    x = np.random.default_rng(0).standard_normal((2, length, 8)).astype(np.float32)
    with torch.inference_mode():
        expected = module.eval()(torch.from_numpy(x)).numpy()
    for written in (build_model(read.graph, weights), with_functions(build_model(read.graph, weights))):
        session = onnxruntime.InferenceSession(encode(written), providers=["CPUExecutionProvider"])
        np.testing.assert_allclose(session.run(None, {"x": x})[0], expected, rtol=1e-4, atol=1e-5)


def test_layers_share_what_hides_later_keys(model: Read) -> None:
    written = emit_model((read := model(DECODER)).graph, draw_weights(read.graph.weights(), 0))
    kinds = [node.op_type for node in nodes(written.graph)]
    assert kinds.count("Attention") == 3 * (8 + 1)
    assert kinds.count("Where") == 1
    assert next(node.name for node in written.graph.node if node.op_type == "Where").startswith("size/hidden")


def test_onnxruntime_makes_no_slow_skip_of_a_sum_and_its_norm(model: Read, tmp_path: Path) -> None:
    read = model(DECODER)
    written = emit_model(read.graph, draw_weights(read.graph.weights(), 0))
    assert [node.op_type for node in written.graph.node].count("Sum") == 3  # a skip that is read twice is not fused
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    onnxruntime.InferenceSession(written.SerializeToString(), options, providers=["CPUExecutionProvider"])
    kinds = {node.op_type for node in nodes(onnx.load(tmp_path / "optimised.onnx").graph)}
    assert "LayerNormalization" in kinds
    assert "SkipLayerNormalization" not in kinds
