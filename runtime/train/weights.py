"""The weights of a training's modules, by the paths that a run's files know them by."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from dlc.compiler.program import TrainSpec
from dlc.grammar.diagnostics import Refusal
from dlc.runtime.errors import BrokenRun, UnfitOrigin
from dlc.runtime.train.run import Run, weights_of_run

Modules = Mapping[str, nn.Module]


def weights_of(spec: TrainSpec, instances: Modules) -> dict[str, Tensor]:
    """All weights by their paths in a run."""
    return {
        spec.weight_prefix(instance) + name: value
        for instance, module in instances.items()
        for name, value in _state(module).items()
    }


def load_weights(run: Run, spec: TrainSpec, instances: Modules, tensors: Mapping[str, Tensor]) -> None:
    """Copies weights into the modules, where each must find its place. Raises Refusal."""
    due = weights_of(spec, instances)
    notes = _differences(due, tensors)
    if notes:
        message = f"the weights of {run.folder} are not those of its spec"
        raise Refusal(BrokenRun(message, None, notes=notes))
    _copy(tensors, due)


def start_from_runs(spec: TrainSpec, instances: Modules) -> None:
    """Gives each instance that starts `from` a run the weights that it ended with there. Raises Refusal.

    A relative path starts at the working directory, as that of `dlc train -o` does.
    """
    for name, path in spec.origins.items():
        try:
            run = Run.open(path)
            found = weights_of_run(run, _counterpart(run, spec, name))
        except Refusal as refusal:
            reasons = tuple(diagnostic.message for diagnostic in refusal.diagnostics)
            message = f'`{name}` cannot start from "{path}"'
            help = "a relative path starts at the folder that dlc is called in" if not Path(path).exists() else None
            raise Refusal(UnfitOrigin(message, spec.span, notes=reasons, help=help)) from refusal
        tensors = {key: torch.as_tensor(value) for key, value in found.items()}
        due = _state(instances[name])
        notes = _differences(due, tensors)
        if notes:
            message = f'the weights in "{path}" are not those of `{name}`'
            raise Refusal(UnfitOrigin(message, spec.span, notes=notes))
        _copy(tensors, due)


def _counterpart(run: Run, spec: TrainSpec, name: str) -> str:
    """The instance of a run that an instance of another takes its weights from: that of its name, or else the only one
    of its model, or else the only one."""
    theirs = run.spec.models
    if name in run.spec.instances:
        return name
    alike = [instance for instance, model in theirs.items() if model == spec.models.get(name)]
    found = alike or list(run.spec.instances)
    if len(found) != 1:
        told = ", ".join(run.spec.instances)
        raise Refusal(UnfitOrigin(f"{run.folder} trains {told}, none of which is called `{name}`", None))
    return found[0]


def _state(module: nn.Module) -> dict[str, Tensor]:
    return cast("dict[str, Tensor]", module.state_dict())


def _differences(due: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> tuple[str, ...]:
    notes = [f"`{name}` is missing" for name in due.keys() - tensors.keys()]
    notes += [f"`{name}` is nothing that the spec makes" for name in tensors.keys() - due.keys()]
    for name in due.keys() & tensors.keys():
        if due[name].shape != tensors[name].shape:
            notes.append(f"`{name}` has the shape {list(tensors[name].shape)}, and {list(due[name].shape)} is due")
    return tuple(sorted(notes)[:5])


@torch.no_grad()
def _copy(source: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> None:
    for name, tensor in target.items():
        value = source[name]
        if hasattr(tensor, "placements"):
            from dlc.runtime.train.several.shards import sharded_like

            value = sharded_like(value, tensor)
        tensor.copy_(value)
