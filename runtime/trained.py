"""The models of a run with their weights, as they are exported."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlc.compiler.generality import binding
from dlc.compiler.graph import BlockModule, Graph
from dlc.compiler.onnx.errors import WeightMismatch
from dlc.compiler.program import Model
from dlc.grammar.diagnostics import Refusal
from dlc.grammar.suggest import nearest
from dlc.runtime.errors import NotARun, UnknownInstance
from dlc.runtime.spec import read_spec
from dlc.runtime.train.run import Run, weights_of_run
from dlc.runtime.weights import StoredWeights, open_weights

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

_COUNTERS = "num_batches_tracked"  # PyTorch's batch norms count batches beside their weights


@dataclass(frozen=True, slots=True)
class Trained:
    """A model and the weights that it was trained to, by their paths. instance: its name in the `train` block."""

    instance: str
    model: Model
    weights: Mapping[str, Array]


def trained_model(run: Run, name: str | None = None) -> Trained:
    """What a run trained under the name of an instance or of its model, or the only one.

    Its sizes are as open as the model declares them, but for those that weights depend on, if the model by itself does
    what the instance does; or else they are those of the data. Raises Refusal.
    """
    spec = run.spec
    instance = choose_instance(run, name)
    module = spec.instances[instance]
    if not isinstance(module, BlockModule):
        raise Refusal(UnknownInstance(f"`{instance}` is an operation, and a model is due", spec.span))
    name = spec.models[instance]
    model = _as_declared(run, name, module.graph) or Model(name, module.graph, module.graph.doc)
    return Trained(instance, model, _belonging(weights_of_run(run, instance), model, str(run.folder)))


def choose_instance(run: Run, name: str | None) -> str:
    """The instance of that name or of the model of that name, or the only one. Raises Refusal."""
    spec = run.spec
    if name is None and len(spec.instances) == 1:
        return next(iter(spec.instances))
    named = [instance for instance, model in spec.models.items() if name in (instance, model)]
    if len(named) == 1:
        return named[0]
    told = (f"its instances: {', '.join(f'{instance} = {model}' for instance, model in spec.models.items())}",)
    if name is None or named:
        message = f"{run.folder} trains several {'models' if name is None else f'instances of {name}'}"
        help = f"say which, as in --model {next(iter(spec.models))}"
        raise Refusal(UnknownInstance(message, None, notes=told, help=help))
    near = nearest(name, [*spec.instances, *spec.models.values()])
    help = f"did you mean {near}?" if near else None
    raise Refusal(UnknownInstance(f"{run.folder} trains no {name}", None, notes=told, help=help))


def _as_declared(run: Run, name: str, trained: Graph) -> Model | None:
    """The model of that name by itself, if it does what was trained, with a number for each size of a weight."""
    declared = run.program.models.get(name)
    sizes = binding(declared.graph, trained) if declared else None
    if declared is None or sizes is None:
        return None
    symbols = {
        symbol for weight in declared.graph.weights().values() for size in weight.shape for symbol in size.symbols()
    }
    if not symbols:
        return declared
    if not symbols <= sizes.keys():
        return None
    closing = {(symbol.whole or symbol).name: str(sizes[symbol] * symbol.share) for symbol in symbols}
    program, _ = read_spec(
        run.folder / "spec.dl",
        {**run.config.overrides, **closing},
        data_folder=Path(run.config.data_folder),
        library=run.folder,
    )
    closed = program.models.get(name) if program else None
    return closed if closed and binding(closed.graph, trained) is not None else None


def read_weights(place: str, model: Model) -> StoredWeights:
    """The weights of a model from a run, or from a .safetensors file, by their paths. Raises Refusal."""
    path = Path(place)
    if path.suffix != ".safetensors":
        run = Run.open(path)
        spec = run.spec
        fitting = [instance for instance, name in spec.models.items() if name == model.name]
        if len(fitting) != 1:
            told = ", ".join(f"{instance} = {name}" for instance, name in spec.models.items())
            message = f"{path} trains {len(fitting) or 'no'} instances of {model.name}"
            raise Refusal(UnknownInstance(message, None, notes=(f"its instances: {told}",)))
        return _belonging(weights_of_run(run, fitting[0]), model, place)
    return _belonging(_stored(path), model, place)


def _stored(path: Path) -> StoredWeights:
    try:
        return open_weights(path)
    except OSError as error:
        raise Refusal(NotARun(f"{path} cannot be read: {(error.strerror or str(error)).lower()}", None)) from error
    except ValueError as error:
        raise Refusal(WeightMismatch(f"{path} is no file of weights", None, notes=(str(error),))) from error


def _belonging(weights: StoredWeights, model: Model, place: str) -> StoredWeights:
    """The weights without what PyTorch keeps beside them. Refusal where there is one that the model does not have."""
    kept = {path: entry for path, entry in weights.entries.items() if path.rpartition(".")[2] != _COUNTERS}
    stray = sorted(kept.keys() - model.graph.weights().keys())
    if stray:
        message = f"{place} holds `{stray[0]}`, which is no weight of `{model.name}`"
        raise Refusal(WeightMismatch(message, None, notes=tuple(f"nor is `{path}`" for path in stray[1:5])))
    return StoredWeights(kept)
