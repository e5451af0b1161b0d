"""A spec that was read and checked, for use from Python."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from dlc.compiler.program import Model, Program
from dlc.grammar.suggest import nearest
from dlc.runtime.show.graph_text import static

if TYPE_CHECKING:
    import numpy as np
    import onnx
    from torch import nn


@dataclass(frozen=True)
class Spec:
    """A checked spec. Where it has a single model, that one is meant when no name is given."""

    path: Path
    program: Program

    @property
    def models(self) -> tuple[str, ...]:
        """The names of the models, in the order of the file."""
        return tuple(self.program.models)

    def torch_source(self, model: str | None = None) -> str:
        """The PyTorch source of a model: a Python file that imports torch alone. Raises Refusal."""
        from dlc.runtime.build import torch_source

        return torch_source(self._model(model))

    def torch(self, model: str | None = None) -> nn.Module:
        """A model as a PyTorch module with fresh weights, drawn from PyTorch's own generator. Raises Refusal."""
        from dlc.compiler.torch.names import identifier
        from dlc.runtime.emitted import load_module

        name = self._model(model).name
        make = getattr(load_module(name, self.torch_source(name)), identifier(name))
        return make()

    def onnx(
        self, model: str | None = None, *, weights: Mapping[str, np.ndarray[Any, Any]] | None = None, seed: int = 0
    ) -> onnx.ModelProto:
        """A model in ONNX, with weights by their paths, or ones drawn freshly from a seed. Raises Refusal."""
        import onnx

        from dlc.compiler.onnx.wire import encode
        from dlc.runtime.build import onnx_model

        return onnx.ModelProto.FromString(encode(onnx_model(self._model(model), weights, seed=seed)))

    def __str__(self) -> str:
        from dlc.runtime.show.summary import table

        return "\n\n".join(table(model) for model in self.program.models.values())

    def _model(self, name: str | None) -> Model:
        models = self.program.models
        if name is None and len(models) == 1:
            return next(iter(models.values()))
        if name is None:
            raise ValueError(f"{self.path} declares {len(models)} models: {', '.join(models) or 'none'}; name one")
        if name not in models:
            near = nearest(name, models)
            raise KeyError(f"{self.path} declares no model {name}" + (f"; did you mean {near}?" if near else ""))
        return models[name]


def load(path: str | Path, **overrides: Any) -> Spec:
    """Reads and checks a spec. Raises Refusal with everything that is wrong with it.

    overrides: values of `let`s, parameters and dimensions by name, as `--set` takes them; settings as a dict,
    `settings={"epochs": 5, "optimizer": {"lr": 1e-4}}`.
    """
    from dlc.runtime.spec import read_checked

    return Spec(Path(path), read_checked(path, spelled(overrides)))


def spelled(overrides: Mapping[str, Any]) -> dict[str, str]:
    """Values by name as the command line spells them; a dict's names follow its own, with a dot."""
    return dict(_spelled("", overrides))


def _spelled(prefix: str, values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _spelled(f"{prefix}{name}.", cast(Mapping[str, Any], value))
        else:
            yield prefix + name, static(value)
