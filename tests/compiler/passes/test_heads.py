"""Heads that are split, attended to and merged become one operation that needs no copies."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnxruntime
import pytest

from dlc.compiler.graph import Graph
from dlc.compiler.onnx.emit import emit_model
from dlc.compiler.op import Op
from dlc.compiler.passes import EXPORT, inline, prune, run
from dlc.compiler.passes.heads import join_heads
from dlc.compiler.passes.verify import verify
from dlc.compiler.program import Model
from dlc.compiler.types import DType
from dlc.compiler.weights import draw_weights
from dlc.runtime.infer.reference import PyTorch

Read = Callable[..., Model]

PACKED = """
model M(x: float[N, T, 24]) -> (y: float[N, T, 24]):
    q, k, v = x -> linear(72) -> rearrange("n t (three h e) -> three n h t e", three=3, h=4)
    return attention(q, k, v, causal=true) -> rearrange("n h t e -> n t (h e)")
"""
APART = """
model M(x: float[N, T, 24], memory: float[N, S, 10]) -> (y: float[N, T, 24]):
    q = x -> linear(24) -> rearrange("a b (heads c) -> a heads b c", heads=4)
    k = memory -> linear(12) -> rearrange("n s (h e) -> n h s e", h=2)
    v = memory -> linear(12) -> rearrange("n s (h e) -> n h s e", h=2)
    return attention(q, k, v, scale=0.2) -> rearrange("n h t e -> n t (h e)")
"""
SEEN = APART.replace("float[N, S, 10])", "float[N, S, 10], seen: bool[N, S])").replace(
    "scale=0.2)", "mask=seen[:, none, none], causal=true)"
)
LOOPED = """
model M(x: float[N, T, 24]) -> (y: float[N, T, 24]):
    project = linear(72)
    h = x
    loop i in range(3) carrying h:
        q, k, v = h -> project -> rearrange("n t (three h e) -> three n h t e", three=3, h=4)
        h = h + (attention(q, k, v, causal=true) -> rearrange("n h t e -> n t (h e)"))
    return h
"""


def names(graph: Graph) -> list[str]:
    return [node.action.name for node in graph.nodes if isinstance(node.action, Op)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (PACKED, ["linear", "split", "head_attention"]),
        (APART, ["linear", "linear", "linear", "head_attention"]),
        (PACKED.replace("causal=true", "window=3"), ["linear", "split", "head_attention"]),
        (SEEN, ["linear", "linear", "linear", "index", "head_attention"]),
    ],
)
def test_joined_heads_compute_the_same(model: Read, text: str, expected: list[str]) -> None:
    graph = model(text).graph
    flat = run(EXPORT, graph)
    verify(flat)
    assert names(flat) == expected
    assert [output.name for output in flat.outputs] == ["y"]
    weights = draw_weights(graph.weights(), 0)
    sizes = {"N": 2, "T": 7, "S": 5}
    given = {
        name: np.random.default_rng(0).normal(size=[sizes.get(str(size)) or int(size) for size in value.type.shape])
        for name, value in graph.inputs.items()
    }
    kinds = {name: bool if value.type.dtype is DType.BOOL else np.float32 for name, value in graph.inputs.items()}
    arrays = {name: (array > 0 if kinds[name] is bool else array).astype(kinds[name]) for name, array in given.items()}
    before = PyTorch(run((inline, prune), graph), weights)(arrays)["y"]
    joined = PyTorch(flat, weights)(arrays)["y"]
    session = onnxruntime.InferenceSession(
        emit_model(graph, weights).SerializeToString(), providers=["CPUExecutionProvider"]
    )
    np.testing.assert_allclose(joined, before, rtol=0, atol=1e-6)
    np.testing.assert_allclose(session.run(["y"], arrays)[0], before, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("(three h e)", "(h three e)"),  # heads of one kind do not lie side by side
        ("n h t e -> n t (h e)", "n h t e -> n t (e h)"),  # nor do they in the result
        ("causal=true", "mask=ones(4, T, T) > 0"),  # nor has each head a mask of its own
        ("return attention(q, k, v, causal=true)", "return attention(v, k, relu(q), causal=true)"),
    ],
)
def test_other_layouts_and_masks_stay(model: Read, old: str, new: str) -> None:
    assert old in PACKED
    assert "head_attention" not in names(run(EXPORT, model(PACKED.replace(old, new)).graph))


def test_heads_that_somebody_else_reads_stay(model: Read) -> None:
    text = PACKED.replace("-> (y: float[N, T, 24])", "-> (y: float[N, T, 24], seen: float[N, 4, T, 6])")
    text = text.replace("    return attention", "    seen = attention").replace(
        ' -> rearrange("n h t e -> n t (h e)")\n', '\n    return seen -> rearrange("n h t e -> n t (h e)"), seen\n'
    )
    assert "head_attention" not in names(run(EXPORT, model(text).graph))


def test_what_draws_numbers_stays(model: Read) -> None:
    text = PACKED.replace("return attention", "return normal(N, T, 24) + attention")
    text = text.replace(
        'attention(q, k, v, causal=true) -> rearrange("n h t e -> n t (h e)")',
        '(attention(q, k, v, causal=true) -> rearrange("n h t e -> n t (h e)"))',
    )
    graph = model(text).graph
    assert join_heads(graph) is graph
    assert "head_attention" not in names(run(EXPORT, graph))
