"""Activations that are computed again for gradients, in place of being kept: an instance of a block keeps its inputs.

Chen and others, "Training Deep Nets with Sublinear Memory Cost", 2016. What a step learns is the same: random draws
are repeated, and running statistics, which the first pass has moved, are left alone by the second.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from importlib import import_module
from typing import Any

import torch
from torch import nn

from dlc.compiler.graph import blocks_of
from dlc.compiler.program import TrainSpec

_CALLED = "forward"
_checkpoint: Any = import_module("torch.utils.checkpoint")  # whose types are open


def recompute(instances: Mapping[str, nn.Module], spec: TrainSpec, block: str) -> None:
    """Has the instances of a block compute their activations again. Of instances within one another the outermost
    does."""
    outer: list[str] = []
    for path, found in blocks_of(spec.instances):
        if found.graph.name == block and not any(path.startswith(f"{other}.") for other in outer):
            outer.append(path)
            name, _, rest = path.partition(".")
            module = instances[name].get_submodule(rest)
            setattr(module, _CALLED, _Again(module))


def recomputes(module: nn.Module) -> bool:
    """Whether a part of a module computes its activations again."""
    return any(isinstance(vars(part).get(_CALLED), _Again) for part in module.modules())


class _Again:
    """Takes the place of a module's `forward`."""

    def __init__(self, module: nn.Module) -> None:
        self._module = module
        self._forward = module.forward

    def __call__(self, *given: Any) -> Any:
        if not torch.is_grad_enabled():
            return self._forward(*given)
        return _checkpoint.checkpoint(self._forward, *given, use_reentrant=False, context_fn=self._contexts)

    def _contexts(self) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), _untouched(self._module)


@contextmanager
def _untouched(module: nn.Module) -> Generator[None, None, None]:
    """The buffers of a module afterwards as they were."""
    buffers = list(module.buffers())
    before = [buffer.clone() for buffer in buffers]
    try:
        yield
    finally:
        with torch.no_grad():
            for buffer, value in zip(buffers, before, strict=True):
                buffer.copy_(value)
