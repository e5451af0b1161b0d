"""A model of a spec beside its peer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from dlc.runtime.infer.session import Session

TOLERANCE = 1e-4
MEASURED: list[str] = []

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Ours:
    """A model of a spec with the weights of another, as `dlc compile` writes it for PyTorch and for onnxruntime."""

    module: torch.nn.Module
    session: Session

    def outputs(self, inputs: dict[str, Array]) -> dict[str, dict[str, Array]]:
        """By side, and there by name."""
        exported = self.session.run(**inputs)
        with torch.no_grad():
            given = self.module(*map(torch.from_numpy, inputs.values()))
        results = given if isinstance(given, tuple) else (given,)
        in_torch = {name: result.numpy() for name, result in zip(exported, results, strict=True)}
        return {"PyTorch": in_torch, "onnxruntime": exported}

    def compare(self, inputs: dict[str, Array], expected: dict[str, torch.Tensor]) -> None:
        """Holds what both sides give against what is expected."""
        for side, outputs in self.outputs(inputs).items():
            for name, theirs in expected.items():
                assert outputs[name].shape == tuple(theirs.shape)
                difference = float(np.abs(outputs[name] - theirs.detach().numpy()).max())
                sizes = ", ".join(f"{name} {list(array.shape)}" for name, array in inputs.items())
                MEASURED.append(f"{difference:.1e} of {float(theirs.abs().max()):5.1f}  {side:11}  {name:6}  {sizes}")
                assert difference <= TOLERANCE, (side, name)


def trained(model: torch.nn.Module) -> Any:
    """Weights as a training might leave them: biases, norms and tables far from where they start."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return model.eval()


def tokens(seed: int, below: int, *shape: int) -> Array:
    return np.random.default_rng(seed).integers(0, below, shape)
