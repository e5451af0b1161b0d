"""The memory of a whole step: weights, what an optimiser remembers, and what is computed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import chain

from dlc.compiler.dim import Dim, Symbol
from dlc.compiler.graph import weights_of
from dlc.compiler.memory.recording import Recording
from dlc.compiler.memory.records import Setting, size_of
from dlc.compiler.memory.simulation import Descent, Simulation, Sizes
from dlc.compiler.op import Weight
from dlc.compiler.optimizers import Optimizer
from dlc.compiler.program import Minimize, Model, TrainSpec
from dlc.compiler.types import Tensor


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes, by what they are for. Gradients and activations come and go: `peak` is the most of both at once.

    activations: what gradients are computed from, once the last operation has run; for inference, nothing.
    """

    weights: int
    gradients: int
    optimizer: int
    inputs: int
    activations: int
    peak: int

    @property
    def total(self) -> int:
        """The most that a step holds at once."""
        return self.weights + self.optimizer + self.peak


class Budget:
    """What a model, or a step of a training, takes at sizes that are still open.

    A model by itself is trained by the gradients of its outputs: a loss comes on top. `accumulates`: gradients of
    several steps are summed; `scaled`: of scaled losses, so that those of a step lie beside the sums until they are
    known to be finite. `averages`: weights have an average beside them. Raises TooManyCalls.
    """

    def __init__(
        self,
        of: Model | TrainSpec,
        setting: Setting,
        optimizer: Optimizer,
        *,
        accumulates: bool = False,
        scaled: bool = False,
        averages: bool = False,
    ) -> None:
        graph = of.graph if isinstance(of, Model) else of.step.graph
        self._setting = setting
        self._optimizer = optimizer
        self._kept = 1 + (averages and setting.training)
        self._accumulates = accumulates and setting.training
        self._scaled = scaled
        self._recording = Recording(graph, setting)
        self._weights = list(_weights(of))
        self._descents = list(self._found(of)) if setting.training else []
        self.symbols = _symbols(chain([each.type for each in graph.inputs.values()], _types(self._recording)))
        self.symbols |= {symbol for weight in self._weights for size in weight.shape for symbol in size.symbols()}

    @property
    def unsure(self) -> bool:
        """Whether the step takes gradients itself, and gradients of these: what those keep is not counted."""
        return self._recording.unsure

    def at(self, sizes: Sizes) -> Memory:
        """What it takes at these sizes, one for each of `symbols`."""
        whole = sum(_bytes(weight, sizes) for weight in self._weights)
        learned = [weight for weight in self._weights if weight.trainable and self._setting.training]
        gradients = {id(weight): _bytes(weight, sizes) for weight in learned}
        total = sum(gradients.values())
        remembered = sum(self._optimizer.remembers(len(weight.shape)) * gradients[id(weight)] for weight in learned)
        adds = self._accumulates and not self._scaled
        taken = Simulation(self._recording, self._descents, sizes, adds=adds).run()
        update = total
        if not self._optimizer.fused:
            update += total if self._setting.accelerator else 2 * max(gradients.values(), default=0)
        peak = max(taken.peak, taken.inputs + update)
        if self._accumulates and self._scaled:
            peak += total
        return Memory(whole * self._kept, total, remembered, taken.inputs, taken.held, peak)

    def _found(self, of: Model | TrainSpec) -> Iterable[Descent]:
        recording = self._recording
        if isinstance(of, Model):
            values = tuple(held for held in recording.outputs if held.needs)
            if values:
                yield Descent(len(recording.records), values)
            return
        for position, effect in of.step.effects:
            if isinstance(effect, Minimize) and recording.held[effect.value].needs:
                after = recording.ends[position - 1]
                yield Descent(after, (recording.held[effect.value],), effect.over)


def _weights(of: Model | TrainSpec) -> Iterable[Weight]:
    return (weight for _, weight in weights_of(of.graph.modules if isinstance(of, Model) else of.instances))


def _bytes(weight: Weight, sizes: Sizes) -> int:
    return size_of(Tensor(weight.dtype, weight.shape)).evaluate(sizes)


def _types(recording: Recording) -> Iterable[Tensor]:
    return (held.type for record in recording.records for held in record.gives)


def _symbols(types: Iterable[Tensor]) -> set[Symbol]:
    return {symbol for type in types for size in type.shape for symbol in size.symbols()}


def sizes_by_name(symbols: Iterable[Symbol], given: Mapping[str, int]) -> dict[Symbol, int]:
    """The sizes of symbols by the names that a spec knows them by: of one that is known as a multiple, its share."""
    found: dict[Symbol, int] = {}
    for symbol in symbols:
        whole = symbol.whole or symbol
        if whole.name in given:
            share = Dim.of(given[whole.name]).divide(symbol.share)
            if share is not None and share.constant is not None:
                found[symbol] = share.constant
    return found
