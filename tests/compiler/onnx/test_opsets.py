"""The opset that a model is stamped with: the oldest that has its operators, and one with kernels for them all."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import onnxruntime
import pytest

from dlc.compiler.onnx.emit import build_model, emit_model
from dlc.compiler.onnx.opset import NEWEST, OPSET, SINCE, ir_version
from dlc.compiler.onnx.wire import encode
from dlc.compiler.program import Model
from dlc.compiler.weights import draw_weights

Read = Callable[..., Model]

BODIES = {
    "Relu": "relu(x)",
    "RMSNormalization": "x -> rms_norm",
    "RotaryEmbedding": "x -> rope",
    "Attention": "attention(x, x, x)",
}


@pytest.mark.parametrize("kind", BODIES)
@pytest.mark.parametrize("noise", ["", " + 0 * normal(2, 3, 5, 8)"])
def test_the_oldest_opset_with_all_operators_is_stamped(model: Read, kind: str, noise: str) -> None:
    text = f"model M(x: float[2, 3, 5, 8]) -> (y: float[2, 3, 5, 8]):\n    y = ({BODIES[kind]}){noise}\n    return y\n"
    graph = model(text).graph
    made = emit_model(graph, draw_weights(graph.weights(), 0))
    onnx.checker.check_model(made, full_check=True)
    expected = 21 if noise else SINCE.get(kind, 21)
    assert [(entry.domain, entry.version) for entry in made.opset_import] == [("", expected)]
    assert made.ir_version == ir_version(expected)
    assert (kind in {node.op_type for node in made.graph.node}) == (not noise or kind == "Relu")
    session = onnxruntime.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    given = {value.name: np.ones((2, 3, 5, 8), np.float32) for value in session.get_inputs()}
    assert np.isfinite(session.run(["y"], given)[0]).all()  # there are kernels for everything


HEADS = """
model M(x: float[N, T, 8]) -> (y: float[N, T, 8]):
    q, k, v = x -> linear(24) -> rearrange("n t (three h e) -> three n h t e", three=3, h=2) -> unbind
    return attention(q, k, v, causal=true) -> rearrange("n h t e -> n t (h e)") -> rms_norm
"""


@pytest.mark.parametrize(
    "text",
    [
        HEADS,
        *(f"model M(x: float[2, 3, 5, 8]) -> (y: float[2, 3, 5, 8]):\n    return {body}\n" for body in BODIES.values()),
    ],
)
def test_an_older_runtime_gets_what_it_knows(model: Read, text: str) -> None:
    graph = model(text).graph
    weights = draw_weights(graph.weights(), 0)
    found: list[np.ndarray] = []
    for newest in (OPSET, NEWEST):
        made = onnx.ModelProto.FromString(encode(build_model(graph, weights, newest)))
        onnx.checker.check_model(made, full_check=True)
        assert made.opset_import[0].version <= newest
        if newest == OPSET:
            assert not SINCE.keys() & {node.op_type for node in made.graph.node}
        session = onnxruntime.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
        (given,) = session.get_inputs()
        shape = [size if isinstance(size, int) else 3 for size in given.shape]
        x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
        found.append(session.run(["y"], {given.name: x})[0])
    np.testing.assert_allclose(*found, atol=1e-6)
