"""A checked model as something to run: PyTorch source, and an ONNX model with its weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dlc.compiler.errors import OpenWeight
from dlc.compiler.program import Model
from dlc.grammar.diagnostics import Refusal

if TYPE_CHECKING:
    import numpy as np
    import onnx_ir as ir


def torch_source(model: Model) -> str:
    """A Python file with the model as a class of its name. Refusal where a weight has a size without a number."""
    from dlc.compiler.torch.emit import emit_graph

    require_closed(model)
    return emit_graph(model.graph)


def onnx_model(model: Model, weights: Mapping[str, np.ndarray[Any, Any]] | None = None, *, seed: int = 0) -> ir.Model:
    """The model in ONNX, with weights by their paths, or freshly drawn ones. Refusal where it cannot be written."""
    from dlc.compiler.onnx.emit import build_model
    from dlc.compiler.weights import draw_weights

    require_closed(model)
    return build_model(model.graph, draw_weights(model.graph.weights(), seed) if weights is None else weights)


def require_closed(model: Model) -> None:
    """Refuses a model with a weight whose size depends on an open dimension, naming each such dimension."""
    waiting: dict[str, str] = {}
    for path, weight in model.graph.weights().items():
        for symbol in sorted({symbol.name for size in weight.shape for symbol in size.symbols()}):
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
