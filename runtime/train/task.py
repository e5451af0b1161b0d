"""What is trained, on what, and how it is measured."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Collection, Generator, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from dlc.compiler.optimizers import Optimizer
from dlc.compiler.settings import Settings
from dlc.runtime.data.examples import Examples, examples_of
from dlc.runtime.emitted import SUFFIX
from dlc.runtime.seeds import Stream, derive, torch_seeded
from dlc.runtime.train.batches import Batches, in_order
from dlc.runtime.train.feed import feed
from dlc.runtime.train.metrics import Averages, Finish, Measured, UndefinedError
from dlc.runtime.train.team import ALONE, Team

Fields = Mapping[str, Tensor]

Over = Sequence[nn.Module | nn.Parameter]
"""What a `minimize` updates: modules and single weights."""


class StepError(Exception):
    """A step cannot be computed: PyTorch refuses a value, or a `require` of the spec does.

    line: the emitted line that it happened in. reason: what was said, on one line.
    """

    def __init__(self, error: Exception) -> None:
        self.reason = next(iter(str(error).splitlines()), type(error).__name__)
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.endswith(SUFFIX)]
        self.line = frames[-1].line if frames else None
        super().__init__(self.reason)


@dataclass(frozen=True, slots=True)
class Task:
    """What is trained, on what.

    step: called with the instances in order, then `minimize`, then the fields of a batch in order; gives what it
    measures, of which `finish` makes the reports where they are more than averages over examples.
    It calls `minimize(loss, over=[...], using="sgd(lr=0.1)")`, `over` where the spec says so, `using` with the text of
    an optimiser of `using`. While nothing is to be updated, the instances are in evaluation mode, and it assigns
    nothing.
    parts: for each part of the data its examples, or their fields, each with one entry along axis 0 for each. Modules
    and examples are on one device.
    evaluate: measures in the place of `step`; called without `minimize`. finish_evaluate: its `finish`.
    differentiates: whether `step` or `evaluate` takes gradients itself. keep_graph: whether `step` may differentiate
    what it computed more than once. assigns: whether it assigns weights. precision: that of the settings.
    team: the processes that share each batch; `several.sharing` tells how. sums: the numbers of the losses that are
    sums over examples; summed: the names of the measures that are, and summed_evaluate those of `evaluate`. averaged:
    the paths of weights and modules that are assigned means over the batch.
    """

    instances: Mapping[str, nn.Module]
    step: Callable[..., Mapping[str, Measured]]
    parts: Mapping[str, Fields]
    finish: Finish | None = None
    evaluate: Callable[..., Mapping[str, Measured]] | None = None
    finish_evaluate: Finish | None = None
    using: Mapping[str, Optimizer] = field(default_factory=dict[str, Optimizer])
    differentiates: bool = False
    keep_graph: bool = False
    assigns: bool = False
    precision: str = "fp32"
    team: Team = ALONE
    sums: Collection[int] = ()
    summed: Collection[str] = ()
    summed_evaluate: Collection[str] = ()
    averaged: Sequence[str] = ()

    def examples(self, part: str) -> Examples:
        """The examples of a part."""
        return examples_of(self.parts[part])

    def namespaces(self) -> list[dict[str, Any]]:
        """The names that the task's functions and modules were written with, each module's once."""
        functions: list[Any] = [self.step, self.evaluate]
        functions += [type(part).forward for whole in self.instances.values() for part in whole.modules()]
        found: dict[int, dict[str, Any]] = {}
        for function in functions:
            whole = getattr(function, "func", function)  # what a partial function is a part of
            names = getattr(getattr(whole, "__wrapped__", whole), "__globals__", None)
            if names is not None and str(getattr(names.get("__spec__"), "origin", "")).endswith(SUFFIX):
                found[id(names)] = names
        return list(found.values())

    def call(self, minimize: Callable[..., None], fields: Sequence[Tensor]) -> Mapping[str, Measured]:
        """One step on a batch. Raises StepError."""
        measured = self._run(self.step, minimize, *fields)
        if self.averaged and any(module.training for module in self.instances.values()):
            self._average()
        return measured

    def measure(self, fields: Sequence[Tensor]) -> Mapping[str, Measured]:
        """A batch's losses, and what is measured on it, with nothing updated. Raises StepError."""
        if self.evaluate is not None:
            return self._run(self.evaluate, *fields)
        losses: list[Tensor] = []

        def record(loss: Tensor, *, over: Over | None = None, using: str | None = None) -> None:
            losses.append(loss.detach())

        measured = self._run(self.step, record, *fields)
        return {**named(losses), **measured}

    def _run(self, function: Callable[..., Mapping[str, Measured]], *arguments: Any) -> Mapping[str, Measured]:
        try:
            with self._autocast(arguments[-1].device.type):
                return function(*self.instances.values(), *arguments)
        except (RuntimeError, IndexError, ValueError) as error:
            raise self.team.lost(error) or StepError(error) from error

    @torch.no_grad()
    def _average(self) -> None:
        """Puts together what each process assigned from its examples."""
        share = self.team.now
        tensors = [
            each for path in self.averaged for each in _tensors_at(self.instances, path) if each.is_floating_point()
        ]
        for tensor in tensors:
            tensor.mul_(share.weight)
        self.team.add_(tensors)

    def _autocast(self, device: str) -> AbstractContextManager[object]:
        if self.precision == "fp32":
            return nullcontext()
        dtype = torch.bfloat16 if self.precision == "bf16" else torch.float16
        # Copies of weights in lower precision are kept for a step, and would not follow an assignment.
        return torch.autocast(device, dtype, cache_enabled=not self.assigns)


def measure(task: Task, part: str, settings: Settings) -> dict[str, float]:
    """The means of what a step minimises and reports over a part, with nothing updated.

    Layers are in evaluation mode. Random draws are the same each time, and leave those of the training alone.
    """
    examples = task.examples(part)
    bounds = Batches(examples.count, examples.count if settings.batch == "all" else settings.batch)
    averages = Averages(task.finish if task.evaluate is None else task.finish_evaluate, task.team)
    sums = task.summed if task.evaluate is None else task.summed_evaluate
    devices = [examples.device] if examples.device.type == "cuda" else []
    evaluating = _evaluating(task.instances.values(), settings.seed, devices)
    with (
        evaluating,
        torch.set_grad_enabled(task.differentiates),
        feed(examples, task.team.shares(in_order(bounds))) as batches,
    ):
        for (start, stop), fields in zip(bounds, batches, strict=True):
            with task.team.batch(stop - start) as share:
                averages.add(task.team.part(task.measure(fields), share, sums), stop - start)
    return means_of(averages)


def means_of(averages: Averages) -> dict[str, float]:
    """The reports of what was measured. Raises StepError where one of them has no value."""
    try:
        return averages.means()
    except UndefinedError as error:
        raise StepError(error) from error


@contextmanager
def _evaluating(
    modules: Iterable[nn.Module], seed: int, devices: Sequence[torch.device]
) -> Generator[None, None, None]:
    were = [(module, module.training) for module in modules]
    with torch_seeded(derive(seed, Stream.EVALUATION), devices):
        try:
            for module, _ in were:
                module.eval()
            yield
        finally:
            for module, training in were:
                module.train(training)


def _tensors_at(instances: Mapping[str, nn.Module], path: str) -> list[Tensor]:
    """The weight at a path, or those of the module there."""
    instance, _, rest = path.partition(".")
    found: Any = instances[instance]
    for name in rest.split(".") if rest else ():
        found = getattr(found, name)
    return [*found.parameters()] if isinstance(found, nn.Module) else [found]


Loss = TypeVar("Loss", Tensor, float)


def named(losses: Sequence[Loss]) -> dict[str, Loss]:
    """What is minimised as reports: `loss`, or `loss_1`, `loss_2` where a step has several."""
    if len(losses) == 1:
        return {"loss": losses[0]}
    return {f"loss_{number}": loss for number, loss in enumerate(losses, 1)}
