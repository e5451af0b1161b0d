"""What a checked spec is: models, data and training, with every name resolved and every shape known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from dlc.compiler.graph import Graph, Module, Value
from dlc.compiler.settings import Optimizer, Settings
from dlc.compiler.types import Tensor
from dlc.grammar.source import Source, Span


@dataclass(frozen=True)
class Model:
    """A `model` declaration, elaborated for itself: inputs as declared, dimensions symbolic where they are open."""

    name: str
    graph: Graph
    doc: str = ""


# --- data -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SourceCall:
    """`sklearn("digits")`: the kind of source and its arguments, each with the place where it stands."""

    kind: str
    arguments: tuple[object, ...]
    named: Mapping[str, object]
    span: Span


@dataclass(frozen=True)
class Schema:
    """What a source offers: the type of each column for ONE example, and, where it is known, how many there are.

    vocabulary: of a text, how many tokens there can be, whose shares in the training part `frequencies` gives.
    texts: what holds words and so is no column, each with the argument that would make it one.
    """

    columns: Mapping[str, Tensor]
    count: int | None = None
    vocabulary: int | None = None
    texts: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True)
class Field:
    """One field of an example: its declared type, and the graph that computes it from the columns of one example.

    The graph's inputs are what it reads: columns, the fields above it, and `NAME_mean`, `NAME_std` of each of its
    statistics; its single output has the declared shape.
    """

    name: str
    type: Tensor
    graph: Graph
    span: Span
    statistics: tuple[Statistic, ...] = ()


@dataclass(frozen=True)
class Statistic:
    """What `standardize` fits: the mean and the standard deviation, over the training part, of what the graph gives
    for each example. They are saved with a run."""

    name: str
    graph: Graph


@dataclass(frozen=True)
class DataSpec:
    """A `data` declaration. `split` maps each part to its share, in order, the shares' sum being 1.

    augment: of a batch of the training part, a graph from the fields to those that are bound anew, by their names.
    """

    name: str
    source: SourceCall
    schema: Schema
    fields: Mapping[str, Field]
    split: Mapping[str, float]
    span: Span
    augment: Graph | None = None


# --- training ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Minimize:
    """A gradient step on `value`, upwards where `sign` is -1.

    over: the paths of the modules or weights that it updates (empty: all instances). using: an optimiser of its own.
    """

    value: Value
    over: tuple[str, ...]
    sign: int
    span: Span
    using: Optimizer | None = None


@dataclass(frozen=True)
class Report:
    """A metric, averaged over what it is measured on."""

    name: str
    value: Value
    span: Span


Effect = Minimize | Report


@dataclass(frozen=True)
class Step:
    """What one step does to one batch: a graph over the data's fields, and effects, each after `position` nodes."""

    graph: Graph
    effects: tuple[tuple[int, Effect], ...]

    @property
    def reports(self) -> tuple[Report, ...]:
        return tuple(effect for _, effect in self.effects if isinstance(effect, Report))


@dataclass(frozen=True)
class Procedure:
    """A named block of a `train` declaration, such as `sample(n = 16):`, for the values its parameters have now.

    The graph's inputs are the tensor parameters; it borrows the instances under their names.
    """

    name: str
    graph: Graph
    span: Span


@dataclass(frozen=True)
class TrainSpec:
    """A `train` declaration: instances by name, settings, the step, and what replaces it where nothing is updated.

    The step's graph borrows the instances under their names. `models` tells for each instance the name of the
    block or model that it is an instance of, `origins` the run whose weights an instance starts with.
    """

    name: str
    data: DataSpec
    instances: Mapping[str, Module]
    models: Mapping[str, str]
    settings: Settings
    step: Step
    span: Span
    doc: str = ""
    evaluate: Step | None = None
    procedures: Mapping[str, Procedure] = field(default_factory=dict[str, Procedure])
    origins: Mapping[str, str] = field(default_factory=dict[str, str])

    def weight_prefix(self, instance: str) -> str:
        """What precedes an instance's weight paths in a run: nothing where it is the only instance."""
        return "" if len(self.instances) == 1 else f"{instance}."


@dataclass(frozen=True)
class Program:
    """A whole checked spec. `sources` are the file itself and what it imports."""

    sources: tuple[Source, ...]
    models: Mapping[str, Model] = field(default_factory=dict[str, Model])
    data: Mapping[str, DataSpec] = field(default_factory=dict[str, DataSpec])
    trains: Mapping[str, TrainSpec] = field(default_factory=dict[str, TrainSpec])
