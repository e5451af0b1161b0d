"""Where what is not finite came from: a batch is computed again, and each layer's output looked at."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor, nn

from dlc.runtime.train.task import Over, Task


def first_spoilt(task: Task, names: Sequence[str], fields: Sequence[Tensor]) -> str | None:
    """What is the first to hold an infinity or a NaN in a step on a batch: a field, a weight or a layer's output.

    The caller has put the random generators where they were. None: not until after the last layer.
    """
    for name, field in zip(names, fields, strict=True):
        if _spoilt(field):
            return f"the field `{name}` holds {_example(field)}"
    for path, weight in _weights(task.instances):
        if _spoilt(weight):
            return f"the weight `{path}` holds {_example(weight)}"

    def record(loss: Tensor, *, over: Over | None = None, using: str | None = None) -> None:
        """Nothing is updated."""

    with _watched(task.instances) as found:
        task.call(record, fields)
    return found[0] if found else None


@contextmanager
def _watched(instances: Mapping[str, nn.Module]) -> Generator[list[str], None, None]:
    """A list of the layers whose outputs are spoilt, in the order of computation: a part before what it is part of."""
    found: list[str] = []
    handles: list[Any] = []

    def watch(path: str) -> Any:
        def see(module: nn.Module, inputs: object, output: object) -> None:
            spoilt = next((tensor for tensor in _tensors(output) if _spoilt(tensor)), None)
            if spoilt is not None:
                found.append(f"the output of `{path}` is the first to hold {_example(spoilt)}")

        return see

    for instance, module in instances.items():
        untyped: Any = module  # its types leave those of its parts open
        for name, part in untyped.named_modules():
            handles.append(part.register_forward_hook(watch(f"{instance}.{name}" if name else instance)))
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


def _tensors(output: object) -> list[Tensor]:
    if isinstance(output, Tensor):
        return [output]
    if isinstance(output, tuple | list):
        return [tensor for item in cast("tuple[object, ...]", output) for tensor in _tensors(item)]
    return []


def _weights(instances: Mapping[str, nn.Module]) -> list[tuple[str, Tensor]]:
    return [
        (f"{instance}.{name}", tensor)
        for instance, module in instances.items()
        for name, tensor in cast("dict[str, Tensor]", module.state_dict()).items()
    ]


def _spoilt(tensor: Tensor) -> bool:
    return tensor.is_floating_point() and not bool(tensor.isfinite().all())


def _example(tensor: Tensor) -> str:
    return "NaN" if bool(torch.isnan(tensor).any()) else "an infinity"
