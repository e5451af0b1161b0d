"""What is seen while a run's network is applied to a part of its data: metrics, inputs, ranges of activations."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from dlc.compiler.onnx.int8 import Ranges
from dlc.compiler.onnx.quantisable import GREATEST, LEAST, observed
from dlc.compiler.onnx.save import save_model
from dlc.grammar.diagnostics import Refusal
from dlc.runtime.build import onnx_model
from dlc.runtime.errors import NeverCalled
from dlc.runtime.infer.session import Session
from dlc.runtime.train.run import Run
from dlc.runtime.train.trainer import evaluate
from dlc.runtime.trained import Trained

if TYPE_CHECKING:
    import torch

Array = np.ndarray[Any, Any]


_KEPT = 4  # calls whose inputs are kept


@dataclass(frozen=True, slots=True)
class Measured:
    """A run's metrics over a part of its data, by PyTorch. inputs: those of the network's first calls meanwhile."""

    metrics: Mapping[str, float]
    inputs: tuple[Mapping[str, Array], ...]


def measured(run: Run, trained: Trained, part: str) -> Measured:
    """The run's metrics, as PyTorch has them, and what its network was applied to. Raises Refusal."""
    inputs: list[Mapping[str, Array]] = []
    names = list(trained.model.graph.inputs)

    def note(module: torch.nn.Module, given: tuple[torch.Tensor, ...]) -> None:
        if len(inputs) < _KEPT:
            arrays = (tensor.detach().cpu().numpy().copy() for tensor in given)
            inputs.append(dict(zip(names, arrays, strict=True)))

    def prepare(instances: Mapping[str, torch.nn.Module]) -> None:
        instances[trained.instance].register_forward_pre_hook(note)

    metrics = evaluate(run, part, prepare=prepare)
    return Measured(metrics, tuple(inputs))


def calibrate(run: Run, trained: Trained, part: str, newest: int) -> Ranges:
    """The least and the greatest number of each activation that `int8` rounds, over a part of the run's data.

    newest: the newest opset that the model may need, whose activations they are. Raises Refusal where the part is not
    known, or the run's step never applies the network.
    """
    model, names = observed(onnx_model(trained.model, trained.weights, newest=newest))
    with TemporaryDirectory(prefix="dlc-") as folder:
        path = Path(folder) / "observed.onnx"
        save_model(model, path)
        with Session(path, trusted=True) as session:
            observer = _Observer(session, names)

            def replace(instances: Mapping[str, torch.nn.Module]) -> None:
                instances[trained.instance].forward = observer

            evaluate(run, part, prepare=replace)
    if not observer.calls:
        message = f"the step of {run.spec.name} never applies `{trained.instance}` as a whole"
        help = "leave --calibrate away: ranges are then found when the model runs"
        raise Refusal(NeverCalled(message, run.spec.span, help=help))
    return observer.ranges


class _Observer:
    """Stands in for a module, and notes between which numbers the activations lie."""

    def __init__(self, session: Session, names: list[str]) -> None:
        self.calls = 0
        self.ranges: dict[str, tuple[float, float]] = dict.fromkeys(names, (math.inf, -math.inf))
        self._session = session
        self._inputs = [port.name for port in session.inputs]
        self._outputs = [port.name for port in session.outputs][: -2 * len(names) or None]

    def __call__(self, *tensors: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, ...]:
        import torch

        self.calls += 1
        arrays: dict[str, Any] = {
            name: tensor.detach().cpu().numpy() for name, tensor in zip(self._inputs, tensors, strict=True)
        }
        results = self._session.call(arrays)
        for name, (least, greatest) in self.ranges.items():
            bounds = float(results[f"{name}/{LEAST}"]), float(results[f"{name}/{GREATEST}"])
            self.ranges[name] = min(least, bounds[0]), max(greatest, bounds[1])
        given = [torch.as_tensor(results[name], device=tensors[0].device) for name in self._outputs]
        return given[0] if len(given) == 1 else tuple(given)
