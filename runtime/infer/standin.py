"""An exported model in the place of a PyTorch module, so that a run's own reports measure what was exported."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from dlc.runtime.infer.session import Session


class StandIn:
    """Calls a session as PyTorch calls a module: tensors in order in, a tensor or a tuple of them out.

    `calls` counts how often. The module keeps its weights, for what reads them.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._inputs = [port.name for port in session.inputs]
        self.calls = 0

    def take_place(self, module: torch.nn.Module) -> None:
        """Lets calls of the module be answered by the session."""
        module.forward = self

    def __call__(self, *tensors: Tensor) -> Tensor | tuple[Tensor, ...]:
        import torch

        self.calls += 1
        arrays: dict[str, Any] = {
            name: tensor.detach().cpu().numpy() for name, tensor in zip(self._inputs, tensors, strict=True)
        }
        device = tensors[0].device
        results: Sequence[Tensor] = [
            torch.as_tensor(array, device=device) for array in self._session.call(arrays).values()
        ]
        return results[0] if len(results) == 1 else tuple(results)
