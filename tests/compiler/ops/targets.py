"""An example's node run by PyTorch and by onnxruntime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch

from dlc.compiler.graph import Graph
from dlc.compiler.onnx.emit import emit_model
from dlc.compiler.torch.emit import emit_graph

from .examples import Case

Array = np.ndarray[Any, Any]


class Torch:
    """The emitted module of a case, or of a graph made of it, drawn from a fixed seed, in evaluation mode."""

    def __init__(self, case: Case, graph: Graph | None = None) -> None:
        names: dict[str, Any] = {"__name__": "example"}
        self.source = emit_graph(graph or case.graph())
        exec(compile(self.source, "example.py", "exec"), names)
        torch.manual_seed(0)
        self.module: torch.nn.Module = names["Example"]()
        self.module.eval()

    def __call__(self, arrays: Sequence[Array]) -> tuple[torch.Tensor, ...]:
        results = self.module(*(torch.from_numpy(array.copy()) for array in arrays))
        return tuple(results) if isinstance(results, (tuple, list)) else (results,)

    def weights(self) -> dict[str, Array]:
        return {
            path: value.detach().numpy()
            for path, value in self.module.state_dict().items()
            if not path.endswith("num_batches_tracked")
        }


class Onnx:
    """The emitted model of a case, or of a graph made of it, in onnxruntime."""

    def __init__(self, case: Case, weights: Mapping[str, Array], graph: Graph | None = None) -> None:
        graph = graph or case.graph()
        model = emit_model(graph, weights)
        onnx.checker.check_model(model, full_check=True)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        self._names = list(graph.inputs)

    def __call__(self, arrays: Sequence[Array]) -> list[Array]:
        wanted = {value.name for value in self._session.get_inputs()}
        feeds = {name: array for name, array in zip(self._names, arrays, strict=True) if name in wanted}
        return [np.asarray(result) for result in self._session.run(None, feeds)]
