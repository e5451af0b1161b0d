"""The procedures of a run, such as `sample(n = 16):`, called with its weights, and as models to export."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlc.compiler.onnx import metadata
from dlc.compiler.procedures import as_model
from dlc.compiler.program import Procedure, TrainSpec
from dlc.grammar import ast
from dlc.grammar.diagnostics import Refusal
from dlc.grammar.suggest import nearest
from dlc.runtime.errors import StepFailed, UnknownProcedure
from dlc.runtime.infer.description import Description, Port, Requirement
from dlc.runtime.spec import read_spec, read_tree
from dlc.runtime.train.run import Run, weights_of_run
from dlc.runtime.trained import Trained
from dlc.runtime.weights import StoredWeights

if TYPE_CHECKING:
    import numpy as np
    from torch import nn

    from dlc.runtime.train.task import StepError

    Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class Chosen:
    """A procedure with the values of its static parameters, in the training that it belongs to."""

    run: Run
    spec: TrainSpec
    procedure: Procedure


def parameters(run: Run, name: str) -> list[str]:
    """The names of a procedure's parameters, tensors and static ones. Raises Refusal where there is no such one."""
    spec = run.spec
    if name not in spec.procedures:
        near = nearest(name, spec.procedures)
        known = f"its procedures: {', '.join(spec.procedures)}" if spec.procedures else "it has no procedures"
        help = f"did you mean {near}?" if near else known
        raise Refusal(UnknownProcedure(f"{run.folder} has no procedure {name}", None, help=help))
    for item in read_tree(run.folder / "spec.dl").items:
        if isinstance(item, ast.Train) and item.name.id == spec.name:
            for phase in item.items:
                if isinstance(phase, ast.Phase) and phase.name.id == name:
                    return [parameter.name.id for parameter in phase.parameters or ()]
    return list(spec.procedures[name].graph.inputs)


def choose_procedure(run: Run, name: str, statics: Mapping[str, str]) -> Chosen:
    """A procedure of a run. statics: static parameters in place of their defaults, as a spec writes them.

    Raises Refusal.
    """
    known = parameters(run, name)
    for given in statics:
        if given not in known:
            near = nearest(given, known)
            help = f"did you mean {near}?" if near else f"it has {', '.join(known) or 'none'}"
            raise Refusal(UnknownProcedure(f"the procedure {name} has no parameter {given}", None, help=help))
    if not statics:
        return Chosen(run, run.spec, run.spec.procedures[name])
    program, sink = read_spec(
        run.folder / "spec.dl",
        {**run.config.overrides, **{f"{name}.{parameter}": value for parameter, value in statics.items()}},
        data_folder=Path(run.config.data_folder),
        library=run.folder,
    )
    if program is None:
        raise Refusal(*sink)
    spec = program.trains[run.config.train]
    return Chosen(run, spec, spec.procedures[name])


def exported(chosen: Chosen) -> Trained:
    """A procedure as a model with its run's weights."""
    model = as_model(chosen.procedure)
    due = model.graph.weights()
    kept = {
        f"{instance}.{path}": entry
        for instance in model.graph.modules
        for path, entry in weights_of_run(chosen.run, instance).entries.items()
        if f"{instance}.{path}" in due
    }
    return Trained(chosen.procedure.name, model, StoredWeights(kept))


def call(
    chosen: Chosen,
    arrays: Mapping[str, Array],
    *,
    seed: int = 0,
    device: str | None = None,
    around: Callable[[Mapping[str, nn.Module]], AbstractContextManager[None]] | None = None,
) -> dict[str, Array]:
    """The results of a procedure by name, computed in PyTorch with the run's weights, in evaluation mode.

    arrays: the tensor parameters. seed: of what it draws. around: the context in which it runs, of the instances'
    modules. Raises Refusal where an input does not fit.
    """
    import torch

    from dlc.compiler.torch.emit import emit_procedure
    from dlc.compiler.torch.names import identifier
    from dlc.runtime.emitted import load_module
    from dlc.runtime.infer.binding import fit
    from dlc.runtime.seeds import seed_torch
    from dlc.runtime.train.checkpoint import read_tensors
    from dlc.runtime.train.run import weights_file
    from dlc.runtime.train.task import StepError
    from dlc.runtime.train.trainer import choose_device
    from dlc.runtime.train.weights import load_weights

    spec, procedure, run = chosen.spec, chosen.procedure, chosen.run
    inputs = tuple(ports(procedure).values())
    given = fit(Description(procedure.name, inputs, (), _requirements(procedure)), arrays)
    place = choose_device(device)
    module = load_module(spec.name, emit_procedure(spec, procedure.name))
    instances: dict[str, torch.nn.Module] = {name: made.to(place).eval() for name, made in module.build().items()}
    load_weights(run, spec, instances, read_tensors(weights_file(run)))
    tensors = [torch.as_tensor(given[name]).to(place) for name in procedure.graph.inputs]
    seed_torch(seed)
    try:
        with nullcontext() if around is None else around(instances):
            found: Any = getattr(module, identifier(procedure.name))(*instances.values(), *tensors)
    except (RuntimeError, IndexError, ValueError) as error:
        raise Refusal(_failed(procedure, StepError(error))) from error
    results: list[torch.Tensor] = [*found] if isinstance(found, tuple) else [found]
    return {
        name: result.detach().cpu().numpy() for name, result in zip(procedure.graph.output_names, results, strict=True)
    }


def ports(procedure: Procedure) -> dict[str, Port]:
    """The tensor parameters of a procedure by name."""
    return {
        name: Port(name, value.type.dtype, value.type.shape, value.type.below)
        for name, value in procedure.graph.inputs.items()
    }


def _requirements(procedure: Procedure) -> tuple[Requirement, ...]:
    return tuple(
        Requirement(check.left, check.relation, check.right, check.message, metadata.place(check.span))
        for check in procedure.graph.checks
    )


def _failed(procedure: Procedure, error: StepError) -> StepFailed:
    notes = (f"in the emitted line: {error.line}",) if error.line else ()
    return StepFailed(f"{procedure.name} failed: {error.reason}", procedure.span, notes=notes)
