"""Random draws as inputs of a graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch

from dlc.compiler.graph import Graph, Loop
from dlc.compiler.onnx.emit import emit_model
from dlc.compiler.passes import EXPORT, run
from dlc.compiler.passes.noise import draws, noise_as_inputs
from dlc.compiler.passes.verify import verify
from dlc.compiler.program import Model
from dlc.compiler.torch.emit import emit_graph

Read = Callable[..., Model]
Array = np.ndarray[Any, Any]


def given(model: Model) -> Graph:
    flat = run(EXPORT, model.graph)
    graph = noise_as_inputs(flat)
    verify(flat)
    verify(graph)
    return graph


def inputs(graph: Graph) -> dict[str, str]:
    return {name: f"{graph.noise[name]} {graph.inputs[name].type}" for name in graph.noise}


def both(graph: Graph, *arrays: Array) -> list[Array]:
    """The results in onnxruntime, once they are seen to be PyTorch's."""
    names: dict[str, Any] = {"__name__": "model"}
    exec(compile(emit_graph(graph), "model.py", "exec"), names)
    found = names[graph.name]()(*map(torch.as_tensor, arrays))
    expected = [each.numpy() for each in (found if isinstance(found, tuple) else (found,))]
    session = onnxruntime.InferenceSession(emit_model(graph, {}).SerializeToString())
    results = session.run(None, dict(zip(graph.inputs, arrays, strict=True)))
    for result, reference in zip(results, expected, strict=True):
        np.testing.assert_allclose(result, reference, rtol=1e-6, atol=1e-6)
    return results


def normal(*shape: int) -> Array:
    return np.random.default_rng(3).standard_normal(shape, np.float32)


def test_each_draw_is_an_input_named_after_it(model: Read) -> None:
    text = """
block Noisy(x: float[N, d]) -> float[N, d]:
    eps = normal_like(x, std=0.5)
    return x + eps

model M(x: float[N, 3], x_noise: float[N, 3]) -> (y: float[N, 3], k: int[N] < 3):
    x = x -> Noisy -> Noisy
    x = x + uniform(3)
    return x + x_noise, categorical(softmax(x))
"""
    graph = given(model(text))
    assert list(graph.inputs)[:2] == ["x", "x_noise"]
    assert inputs(graph) == {
        "Noisy/eps_noise": "normal float[N, 3]",
        "Noisy_2/eps_noise": "normal float[N, 3]",
        "uniform_noise": "uniform float[3]",
        "k_noise": "uniform float[N, 1]",
    }
    x, e1, e2, u = normal(2, 3), normal(2, 3), 2 * normal(2, 3), np.full(3, 0.25, np.float32)
    y, k = both(graph, x, x * 0, e1, e2, u, np.array([[0.0], [0.999999]], np.float32))
    np.testing.assert_allclose(y, x + 0.5 * e1 + 0.5 * e2 + 0.25, rtol=1e-6)
    assert k.tolist() == [0, 2]


def test_what_draws_in_training_alone_stays(model: Read) -> None:
    graph = run(EXPORT, model("model M(x: float[N]) -> float[N]:\n    return dropout(x)\n").graph)
    assert not draws(graph)
    assert not noise_as_inputs(graph).noise


COUNTED = """
model M(x: float[N]) -> (y: float[N]):
    loop t in range(8, 0, -2):
        x = x * t + normal_like(x)
    return x
"""


def test_turns_pick_theirs_in_order(model: Read) -> None:
    graph = given(model(COUNTED))
    assert inputs(graph) == {"normal_like_noise": "normal float[4, N]"}
    x, noise = normal(3), normal(4, 3)
    (y,) = both(graph, x, noise)
    for t, each in zip((8, 6, 4, 2), noise, strict=True):
        x = x * t + each
    np.testing.assert_allclose(y, x, rtol=1e-5)


WALKED = """
model M(xs: float[N, T]) -> (y: float[N], seen: float[N, T]):
    y = zeros(N)
    loop x in xs along 1 collecting u as seen:
        u = x + uniform(N)
        y = y + u
    return y, seen
"""


@pytest.mark.parametrize("turns", [0, 1, 4])
def test_a_walk_has_noise_for_each_step(model: Read, turns: int) -> None:
    graph = given(model(WALKED))
    assert list(inputs(graph).values()) == ["uniform float[T, N]"]
    xs, noise = normal(3, turns), np.random.default_rng(0).random((turns, 3), np.float32)
    y, seen = both(graph, xs, noise)
    np.testing.assert_allclose(seen, xs + noise.T, rtol=1e-6)
    np.testing.assert_allclose(y, (xs + noise.T).sum(axis=1), rtol=1e-5)


NESTED = """
model M(xs: float[N, T, 3]) -> (y: float[N, 3]):
    y = zeros(N, 3)
    loop x in xs along 1:
        start = normal(3)
        loop 5:
            y = 0.5 * y + normal_like(y)
        loop 2:
            y = y + 1
        y = y + x * start
    return y
"""


def test_loops_within_loops_have_an_axis_each(model: Read) -> None:
    graph = given(model(NESTED))
    assert inputs(graph) == {
        "start_noise": "normal float[T, 3]",
        "normal_like_noise": "normal float[T, 5, N, 3]",
    }
    (outer,) = [node.action for node in graph.nodes if isinstance(node.action, Loop)]
    assert [node.action.carried for node in outer.body.nodes if isinstance(node.action, Loop)] == [2, 1]
    xs, start, noise = normal(2, 4, 3), normal(4, 3), normal(4, 5, 2, 3)
    (y,) = both(graph, xs, start, noise)
    expected = np.zeros((2, 3), np.float32)
    for turn in range(4):
        for each in noise[turn]:
            expected = 0.5 * expected + each
        expected = expected + 2 + xs[:, turn] * start[turn]
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-6)


def test_a_categorical_draw_leaves_out_what_has_no_weight(model: Read) -> None:
    text = "model M(w: float[V]) -> (k: int[6] < V):\n    require V > 0\n    return categorical(w, 6)\n"
    graph = given(model(text))
    w = np.array([0, 1, 0, 3, 0, 0], np.float32)
    below_one = np.nextafter(np.float32(1), np.float32(0))
    (k,) = both(graph, w, np.array([0, 0.1, 0.24, 0.26, 0.9, below_one], np.float32))
    assert k.tolist() == [1, 1, 1, 3, 3, 3]
    (k,) = both(graph, w * np.float32(1e-30), np.array([0, 0.1, 0.24, 0.26, 1, below_one], np.float32))
    assert k.tolist() == [1, 1, 1, 3, 3, 3]
