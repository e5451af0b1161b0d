"""The weights of a model from a file of tensors and a mapping."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlc.compiler.program import Model
from dlc.grammar.diagnostics import Refusal
from dlc.runtime.mapping.errors import TensorsDiffer
from dlc.runtime.mapping.match import COUNTER, Gift, Match, match
from dlc.runtime.mapping.parse import read_mapping
from dlc.runtime.mapping.step import apply, told
from dlc.runtime.mapping.tensors import TensorFile

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Loaded:
    """The weights of a model by their paths, and what the mapping left out, for the record.

    used: how many tensors gave weights. again: the tensors that hold a weight again. ignored: the tensors that are not
    needed. initial: the weights that start as the spec says.
    """

    weights: Mapping[str, Array]
    used: int
    again: tuple[str, ...]
    ignored: tuple[str, ...]
    initial: tuple[str, ...]


def load_weights(
    model: Model, tensors: str | Path, mapping: str | Path, *, models: Iterable[str] = (), seed: int = 0
) -> Loaded:
    """Reads the tensors of a .safetensors file as weights of the model, as the mapping file tells.

    models: the names of all models of the spec. seed: of the weights that start as the spec says. Raises Refusal where
    a line of the mapping is wrong, or a tensor is left over, or a weight is left without a value.
    """
    from dlc.compiler.weights import draw_weights
    from dlc.runtime.build import compute, require_closed

    require_closed(model)
    lines = read_mapping(Path(mapping))
    file = TensorFile(Path(tensors))
    declared = model.graph.weights()
    found = match(lines, model.name, models, file.stored, declared)
    weights: dict[str, Array] = {}
    for gift in found.gifts:
        if not gift.rule.equal:
            weights |= _given(gift, file, model)
    weights |= draw_weights({path: declared[path] for path in found.initial}, seed, compute)
    for gift in found.gifts:
        if gift.rule.equal:
            _require_equal(gift, file, model, weights)
    kept = {path: weights[path] for path in declared if path in weights and path.rpartition(".")[2] != COUNTER}
    return _loaded(found, kept)


def _given(gift: Gift, file: TensorFile, model: Model) -> dict[str, Array]:
    """The values that a rule gives, in the element types of the weights."""
    import numpy as np

    from dlc.compiler.onnx.elements import numpy_type

    declared = model.graph.weights()
    due = [tuple(map(int, declared[path].shape)) for path in gift.targets]
    made = apply(gift.rule.steps, [file.read(name) for name in gift.sources], due)
    return {
        path: np.ascontiguousarray(array, numpy_type(declared[path].dtype)).reshape(shape)
        for path, array, shape in zip(gift.targets, made, due, strict=True)
    }


def _require_equal(gift: Gift, file: TensorFile, model: Model, weights: Mapping[str, Array]) -> None:
    """Refuses tensors that do not hold again what the weights are given."""
    import numpy as np

    for path, again in _given(gift, file, model).items():
        if not np.array_equal(again, weights[path], equal_nan=again.dtype.kind == "f"):
            differing = int(np.count_nonzero(again != weights[path]))
            message = f"`{gift.sources[0]}` is not what `{path}` is given"
            notes = (f"{differing:,} of the {again.size:,} elements of {told(again.shape)} differ",)
            help = "they were trained apart, and the model has one weight for both"
            raise Refusal(TensorsDiffer(message, gift.rule.span, notes=notes, help=help))


def _loaded(found: Match, weights: Mapping[str, Array]) -> Loaded:
    used = {name for gift in found.gifts if not gift.rule.equal for name in gift.sources}
    again = {name for gift in found.gifts if gift.rule.equal for name in gift.sources}
    return Loaded(weights, len(used), tuple(sorted(again - used)), tuple(sorted(found.ignored)), tuple(found.initial))
