"""An example's node run by PyTorch and by onnxruntime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch

from dlc.compiler.dim import Symbol

from .examples import Case

Array = np.ndarray[Any, Any]


class Torch:
    """The emitted module, drawn from a fixed seed, in evaluation mode."""

    def __init__(self, case: Case, binding: Mapping[Symbol, int]) -> None:
        if find_spec("dlc.compiler.torch.emit"):
            from dlc.compiler.torch.emit import emit_graph

            names: dict[str, Any] = {"__name__": "example"}
            self.source = emit_graph(case.graph())
            exec(compile(self.source, "example.py", "exec"), names)
            torch.manual_seed(0)
            self.module: torch.nn.Module = names["Example"]()
        else:
            from .direct import DirectTorch

            torch.manual_seed(0)
            self.module = DirectTorch(case, binding)
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
    """The emitted model in onnxruntime."""

    def __init__(self, case: Case, binding: Mapping[Symbol, int], weights: Mapping[str, Array]) -> None:
        import onnx
        import onnxruntime

        graph = case.graph()
        if find_spec("dlc.compiler.onnx.emit"):
            from dlc.compiler.onnx.emit import emit_model

            model = emit_model(graph, weights)
        else:
            from .direct import direct_onnx

            model = direct_onnx(case, binding, weights)
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
