"""Models whose batches may be computed in parts: which say so, and that those that do give what the whole gives."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

from dlc.compiler.dim import Symbol
from dlc.compiler.flow.apart import counted_apart
from dlc.compiler.graph import Graph
from dlc.compiler.onnx.emit import build_model, emit_model
from dlc.compiler.onnx.int8 import int8
from dlc.compiler.onnx.metadata import EXAMPLES
from dlc.compiler.passes.inline import inline
from dlc.compiler.program import Model
from dlc.compiler.weights import draw_weights
from dlc.runtime.spec import read_checked

Read = Callable[..., Model]

APART = {
    "a network": "model M(x: float[N, 4]) -> (y: float[N, 2]):\n    return x -> linear(8) -> relu -> linear(2)",
    "statistics that were gathered": "model M(x: float[N, 4]) -> (y: float[N, 4]):\n    return x -> batch_norm",
    "mask": "model M(x: float[N, 3, 4], t: float[3]) -> (y: float[N, 4]):\n    return sum(x * t[:, none], axis=1)",
    "within an example": "model M(x: float[N, T, 4]) -> (y: float[N, T, T]):\n    return x @ x.T",
    "merged and parted": "model M(x: float[N, T, 4]) -> (y: float[N, T, 2]):\n"
    "    return x -> reshape(N * T, 4) -> linear(2) -> reshape(N, T, 2)",
    "over the sequence": "model M(x: float[N, T, 4]) -> (y: float[N, T, 8]):\n"
    "    hs, last = x -> gru(8)\n    return hs",
    "a bound above": 'model M(x: float[N, 4]) -> (y: float[N, 4]):\n    require N <= 64, "many"\n    return x * 2',
    "a bound": 'model M(x: float[N, 4]) -> (y: float[N, 4]):\n    require N >= 1, "none"\n    return x * 2',
}
TOGETHER = {
    "mean": "model M(x: float[N, 4]) -> (y: float[N, 4]):\n    return x - mean(x, axis=0)",
    "products": "model M(x: float[N, 4]) -> (y: float[N, N]):\n    return x @ x.T",
    "places": 'model M(x: float[N, 4]) -> (y: float[N, 4]):\n    return x + cast(arange(N), "float")[:, none]',
    "number": "model M(x: float[N, 4]) -> (y: float[N, 4]):\n    return x / N",
    "order": "model M(x: float[N, 4]) -> (y: float[N, 4]):\n    return flip(x, axis=0)",
    "names": "model M(x: float[N, 4], of: int[N] < N) -> (y: float[N, 4]):\n    return x[of]",
    "a loss": "model M(x: float[N, 4]) -> (y: float[N, 4], z: float[]):\n    return x * 2, mean(x)",
    "elsewhere": "model M(x: float[N, 4], z: float[4, N]) -> (y: float[N, 4]):\n    return x * 2 + z.T",
    "no examples": "model M(x: float[4, N]) -> (y: float[4, N]):\n    return x * 2",
    "at least two": 'block Two(x: float[N, d]) -> float[N, d]:\n    require N >= 2, "one"\n    return x * 2\n\n'
    "model M(x: float[N, 4]) -> (y: float[N, 4]):\n    return x -> Two",
    "pairs": 'model M(x: float[N, 4]) -> (y: float[N, 4]):\n    require N % 2 == 0, "odd"\n    return x * 2',
}


def apart(graph: Graph) -> Symbol | None:
    return counted_apart(graph, inline(graph).checks)


@pytest.mark.parametrize("name", APART)
def test_parts_of_a_batch_give_parts_of_what_it_gives(name: str, model: Read) -> None:
    graph = model(APART[name] + "\n").graph
    symbol = apart(graph)
    assert symbol is not None
    assert symbol.name == "N"
    weights = draw_weights(graph.weights(), 0)
    assert build_model(graph, weights).metadata[EXAMPLES] == "N"
    session = ort.InferenceSession(emit_model(graph, weights).SerializeToString())
    random = np.random.default_rng(0)
    sizes = {"N": 7, "T": 5}
    arrays = {
        given.name: random.standard_normal([sizes.get(size, size) for size in given.shape]).astype(np.float32)
        for given in session.get_inputs()
    }
    (whole,) = session.run(None, arrays)
    for start, stop in ((0, 1), (1, 5), (5, 7)):
        part = {name: array[start:stop] if len(array) == 7 else array for name, array in arrays.items()}
        np.testing.assert_allclose(session.run(None, part)[0], whole[start:stop], atol=1e-6)


@pytest.mark.parametrize("name", TOGETHER)
def test_examples_that_meet_are_not_parted(name: str, model: Read) -> None:
    graph = model(TOGETHER[name] + "\n").graph
    assert apart(graph) is None
    assert EXAMPLES not in build_model(graph, draw_weights(graph.weights(), 0)).metadata


def test_what_is_drawn_is_not_parted(model: Read) -> None:
    graph = model("model M(x: float[N, 4]) -> (y: float[N, 4]):\n    return x + normal_like(x)\n").graph
    assert EXAMPLES not in build_model(graph, {}).metadata


def test_a_range_of_the_whole_batch_ties_its_examples_together(model: Read) -> None:
    graph = model(APART["a network"] + "\n").graph
    weights = draw_weights(graph.weights(), 0)
    assert EXAMPLES not in int8(build_model(graph, weights)).metadata
    names = [
        value.name
        for node in build_model(graph, weights).graph.nodes
        for value in (*node.inputs, *node.outputs)
        if value
    ]
    ranges = dict.fromkeys(["x", *names], (-4.0, 4.0))
    assert int8(build_model(graph, weights), ranges).metadata[EXAMPLES] == "N"


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("gpt", "N"),
        ("classifier", "N"),
        ("seq2seq", "N"),
        ("unet", "N"),
        ("wavenet", "N"),
        ("gcn", None),
        ("kalman", None),
    ],
)
def test_of_the_examples(spec: str, expected: str | None) -> None:
    path = Path(__file__).parents[2] / "examples" / f"{spec}.dl"
    found = {
        symbol and symbol.name for model in read_checked(path, {}).models.values() for symbol in [apart(model.graph)]
    }
    assert found == {expected}
