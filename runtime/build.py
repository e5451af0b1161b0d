"""A checked model as something to run: PyTorch source, and an ONNX model with its weights."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from dlc.compiler.errors import OpenWeight
from dlc.compiler.graph import Graph
from dlc.compiler.onnx.opset import NEWEST
from dlc.compiler.program import Model
from dlc.grammar.diagnostics import Refusal

if TYPE_CHECKING:
    import numpy as np

    from dlc.compiler.onnx import model as onnx


def torch_source(model: Model) -> str:
    """A Python file with the model as a class of its name. Refusal where a weight has a size without a number."""
    from dlc.compiler.torch.emit import emit_graph

    require_closed(model)
    return emit_graph(model.graph)


def onnx_model(
    model: Model, weights: Mapping[str, np.ndarray[Any, Any]] | None = None, *, seed: int = 0, newest: int = NEWEST
) -> onnx.Model:
    """The model in ONNX, with weights by their paths, or freshly drawn ones. Refusal where it cannot be written.

    newest: the newest opset whose operators may be used.
    """
    from dlc.compiler.onnx.emit import build_model
    from dlc.compiler.weights import draw_weights

    require_closed(model)
    if weights is None:
        weights = draw_weights(model.graph.weights(), seed, compute)
    return build_model(model.graph, weights, newest)


def compute(graph: Graph) -> np.ndarray[Any, Any]:
    """The value of a graph without inputs and with one output. Refusal where it has no form in ONNX."""
    from dlc.compiler.onnx.emit import build_model
    from dlc.compiler.onnx.wire import encode

    onnxruntime: Any = import_module("onnxruntime")  # which has no types
    session = onnxruntime.InferenceSession(encode(build_model(graph, {})))
    return session.run(None, {})[0]


def require_closed(model: Model) -> None:
    """Refuses a model with a weight whose size depends on an open dimension, naming each such dimension."""
    from dlc.compiler.weights import sizes_of

    waiting: dict[str, str] = {}
    for path, weight in model.graph.weights().items():
        for symbol in sorted({symbol.name for size in sizes_of(weight) for symbol in size.symbols()}):
            waiting.setdefault(symbol, path)
    if waiting:
        raise Refusal(
            *(
                OpenWeight(
                    f"the weight `{path}` of `{model.name}` depends on `{symbol}`, which has no number yet",
                    model.graph.span,
                    help=f"give it one, as in --set {symbol}=10",
                )
                for symbol, path in waiting.items()
            )
        )
