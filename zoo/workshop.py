"""A spec at work: its trainings, what they measure and compute, and their exports."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from click.testing import CliRunner

import dlc
from dlc.grammar import ast
from dlc.grammar.diagnostics import Refusal, Sink
from dlc.grammar.parse import parse
from dlc.runtime.cli.group import commands
from dlc.runtime.measure import measure_run
from dlc.runtime.procedures import call, choose_procedure, ports
from dlc.runtime.report.charts import Points, curves
from dlc.runtime.report.page import alone
from dlc.runtime.train.run import Run, weights_of_run

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import nn

    from dlc.compiler.program import Model

    Array = np.ndarray[Any, Any]


class CommandError(Exception):
    """A command of `dlc` failed; the message is its own."""


@dataclass(frozen=True)
class Trained:
    """A run that is finished, and the seconds that it took. name: of its `train` block or spec, in lower case."""

    run: Run
    seconds: float
    name: str

    def measure(self, part: str) -> dict[str, float]:
        """What the step minimises and reports, over a part of the data."""
        return measure_run(self.run, part)

    def weights(self, instance: str | None = None) -> Mapping[str, Array]:
        """The weights of an instance, or of the only one, by their paths."""
        return weights_of_run(self.run, instance or next(iter(self.run.spec.instances)))

    def call(self, procedure: str, *, seed: int = 0, **given: Any) -> dict[str, Array]:
        """The results of a procedure: arrays for its tensor parameters, other values for its static ones."""
        tensors = ports(self.run.spec.procedures[procedure])
        statics = {name: str(value) for name, value in given.items() if name not in tensors}
        arrays = {name: value for name, value in given.items() if name in tensors}
        return call(choose_procedure(self.run, procedure, statics), arrays, seed=seed)

    def history(self) -> list[dict[str, Any]]:
        """The lines of the run's `metrics.jsonl`, one an epoch."""
        return self.run.metrics()

    def fields(self, part: str) -> dict[str, torch.Tensor]:
        """The data's fields over a part of it, as the step sees them."""
        from dlc.runtime.train.data import read_data

        return dict(read_data(self.run, self.run.spec).parts[part])

    def module(self, instance: str | None = None) -> nn.Module:
        """An instance as the emitted PyTorch module, with its weights, in evaluation mode."""
        from dlc.compiler.torch.emit import emit_graph
        from dlc.compiler.torch.names import identifier
        from dlc.runtime.emitted import load_module
        from dlc.runtime.trained import trained_model

        import torch  # isort: skip

        graph = trained_model(self.run, instance).model.graph
        made: nn.Module = getattr(load_module(graph.name, emit_graph(graph)), identifier(graph.name))()
        weights = {path: torch.as_tensor(array) for path, array in self.weights(instance).items()}
        made.load_state_dict(weights, strict=False)
        return made.eval()


@dataclass(frozen=True)
class Export:
    """An export of a model or a procedure: how far it lies from PyTorch, or why there is none."""

    name: str
    difference: float | None
    refused: str | None = None


class Workshop:
    """Where a spec is trained. folder: for its runs.

    A `train` block is trained with the folder as working directory, into `runs/` and its name in lower case, so that
    another may start from it; later trainings of the same have a number behind the name.
    """

    def __init__(self, spec: Path, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.spec = spec.absolute()
        self.folder = folder.absolute()
        self.trainings: list[Trained] = []
        self.compared: Mapping[str, object] = {}  # overrides for models that are exported untrained

    def train(self, name: str | None = None, /, *, epochs: int | None = None, **overrides: Any) -> Trained:
        """Trains a `train` block, or the only one, from its beginning.

        overrides: as --set takes them, text standing for what it says: width=64, **{"settings.optimizer": "sgd(lr=1)"}.
        """
        called = (name or self.spec.stem).lower()
        earlier = sum(trained.name == called for trained in self.trainings)
        output = self.folder / "runs" / (f"{called}-{earlier + 1}" if earlier else called)
        command = ["train", f"{self.spec}:{name}" if name else str(self.spec), "-o", str(output), "--quiet"]
        command += ["--epochs", str(epochs)] if epochs else []
        for key, value in overrides.items():
            command += ["--set", f"{key}={value}"]
        begun = time.perf_counter()
        with chdir(self.folder):
            _dlc(*command)
        trained = Trained(Run.open(output), time.perf_counter() - begun, called)
        self.trainings.append(trained)
        return trained

    def load(self, **overrides: Any) -> dlc.Spec:
        """The spec, checked."""
        return dlc.load(self.spec, **overrides)

    def draw(self, title: str, series: Mapping[str, Points], *, over: str, log: bool = False) -> None:
        """Draws series of (x, y) as the spec's picture, which the table shows. log: whether x is."""
        self.spec.with_suffix(".svg").write_text(alone(curves(title, series, over=over, log=log)), encoding="utf-8")

    @property
    def seconds(self) -> float:
        """What all trainings took."""
        return sum(trained.seconds for trained in self.trainings)

    def exports(self) -> Iterator[Export]:
        """Exports every model and procedure of every `train` block that was trained, each once, and compares them."""
        done: set[tuple[str, str]] = set()
        for trained in self.trainings:
            spec = trained.run.spec
            models = [("--model", instance) for instance in spec.instances if instance in _models(trained)]
            for option, name in [*models, *(("--procedure", name) for name in spec.procedures)]:
                if (spec.name, name) not in done:
                    done.add((spec.name, name))
                    yield _export(trained.run.folder, option, name)

    def untrained(self, **overrides: Any) -> Iterator[Export]:
        """Exports with fresh weights those models of the spec that no training made an instance of."""
        trained = {model for trained in self.trainings for model in trained.run.spec.models.values()}
        for name, model in self.load(**{**self.compared, **overrides}).program.models.items():
            if name not in trained:
                yield _fresh(model, self.folder / f"{name}.onnx")


def _fresh(model: Model, path: Path) -> Export:
    from dlc.compiler.onnx.emit import save_model
    from dlc.compiler.weights import draw_weights
    from dlc.runtime.build import compute, onnx_model
    from dlc.runtime.infer.verify import verify

    try:
        weights = draw_weights(model.graph.weights(), 0, compute)
        save_model(onnx_model(model, weights), path)
        return Export(model.name, verify(model, weights, path).worst.relative)
    except Refusal as refusal:
        return Export(model.name, None, refusal.diagnostics[0].message)


def _models(trained: Trained) -> set[str]:
    """The instances that are of a model, of the spec's own or of one that it imports from; those of a bare block or
    operation are no networks by themselves."""
    items = [item for source in trained.run.program.sources for item in parse(source, Sink()).items]
    declared = {item.name.id for item in items if isinstance(item, ast.Block) and item.kind == "model"}
    return {instance for instance, model in trained.run.spec.models.items() if model in declared}


def _export(run: Path, option: str, name: str) -> Export:
    try:
        told = _dlc("export", str(run), option, name, "-o", str(run / f"{name}.onnx"), "--json")
    except CommandError as error:
        return Export(name, None, str(error))
    return Export(name, max((row["relative"] for row in json.loads(told)["compared"]), default=0.0))


def _dlc(*arguments: str) -> str:
    """What a command prints. Raises CommandError with the first line of what it reports."""
    told = CliRunner().invoke(commands, arguments)
    if told.exit_code:
        raise CommandError((told.stderr or str(told.exception)).strip().splitlines()[0])
    return told.stdout
