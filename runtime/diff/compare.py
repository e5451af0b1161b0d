"""All that changed between two specs or runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from itertools import chain
from typing import cast

from dlc.compiler.cost import Costs
from dlc.compiler.graph import Graph, weights_of
from dlc.compiler.memory.formulas import activations
from dlc.compiler.op import Weight
from dlc.compiler.program import DataSpec, Minimize, Model, Program, Report, TrainSpec
from dlc.grammar import ast
from dlc.grammar.diagnostics import Sink
from dlc.grammar.parse import parse
from dlc.runtime.diff.changes import Change, compared
from dlc.runtime.diff.sides import Side
from dlc.runtime.diff.structure import structure
from dlc.runtime.show.summary import number

AREAS = ("structure", "shapes", "weights", "costs", "data", "objective", "results")


def changes(before: Side, after: Side) -> list[Change]:
    """What changed, area by area."""
    old, new = before.program, after.program
    found = chain(
        compared("structure", "let ", _lets(old), _lets(new)),
        _models(old.models, new.models),
        _data(old.data, new.data),
        _trains(old.trains, new.trains, old.models.keys() & new.models.keys()),
        _results(before, after),
    )
    return sorted(found, key=lambda change: AREAS.index(change.area))


def _lets(program: Program) -> dict[str, str]:
    """The values that `let` gives, as they are written in the spec itself."""
    tree = parse(program.sources[0], Sink())
    lets = [each for each in tree.items if isinstance(each, ast.Let)]
    return {each.name.id: _line(each.value.span.text) for each in lets}


# --- models ---


def _models(old: Mapping[str, Model], new: Mapping[str, Model]) -> Iterator[Change]:
    yield from compared("structure", "model ", _there(old.keys() - new.keys()), _there(new.keys() - old.keys()))
    for name in old.keys() & new.keys():
        first, second = old[name].graph, new[name].graph
        yield from structure(first, second, f"model {name}")
        yield from compared("weights", f"model {name}, ", _weights(first.weights()), _weights(second.weights()))
        yield from compared("costs", f"model {name}, ", _costs(first), _costs(second))


def _there(names: Iterable[str]) -> dict[str, str]:
    return dict.fromkeys(sorted(names), "declared")


def _weights(weights: Mapping[str, Weight]) -> dict[str, str]:
    return {
        path: f"[{', '.join(map(str, weight.shape))}]" + ("" if weight.trainable else ", not learned")
        for path, weight in weights.items()
    }


def _costs(graph: Graph) -> dict[str, str]:
    costs = Costs()
    held = activations(graph)
    told = {"learned numbers": costs.learned(graph).total, "multiply-adds": costs.macs(graph)}
    told |= {"bytes of activations in training": held.training} if held else {}
    return {name: number(count) for name, count in told.items()}


# --- data and objective ---


def _data(old: Mapping[str, DataSpec], new: Mapping[str, DataSpec]) -> Iterator[Change]:
    yield from compared("data", "data ", _there(old.keys() - new.keys()), _there(new.keys() - old.keys()))
    for name in old.keys() & new.keys():
        yield from compared("data", f"data {name}, ", _facts(old[name]), _facts(new[name]))


def _facts(data: DataSpec) -> dict[str, str]:
    fields = {f"field {name}": _line(field.span.text) for name, field in data.fields.items()}
    types = {f"type of {name}": str(field.type) for name, field in data.fields.items()}
    shares = {f"share of {part}": f"{share:g}" for part, share in data.split.items()}
    count = {} if data.schema.count is None else {"examples": f"{data.schema.count:,}"}
    return {"source": _line(data.source.span.text), **count, **types, **fields, **shares}


def _trains(old: Mapping[str, TrainSpec], new: Mapping[str, TrainSpec], models: AbstractSet[str]) -> Iterator[Change]:
    """models: those that are compared by themselves, with their weights."""
    yield from compared("objective", "train ", _there(old.keys() - new.keys()), _there(new.keys() - old.keys()))
    for name in old.keys() & new.keys():
        first, second = old[name], new[name]
        yield from compared("objective", f"train {name}, ", _objective(first), _objective(second))
        for change in structure(first.step.graph, second.step.graph, f"train {name}, step"):
            if change.what == f"train {name}, step" and change.area == "structure":
                yield Change("objective", change.what, change.before, change.after)
        if first.models != second.models or not set(second.models.values()) <= models:
            sizes = [dict(weights_of(train.instances)) for train in (first, second)]
            yield from compared("weights", f"train {name}, ", _weights(sizes[0]), _weights(sizes[1]))


def _objective(train: TrainSpec) -> dict[str, str]:
    told = {"data": train.data.name}
    told |= {f"instance {name}": model for name, model in train.models.items()}
    told |= {f"start of {name}": place for name, place in train.origins.items()}
    for field in train.settings.fields():
        value = getattr(train.settings, field)
        told[f"setting {field}"] = getattr(value, "text", str(value))
    minimized = [effect for _, effect in train.step.effects if isinstance(effect, Minimize)]
    for place, effect in enumerate(minimized, 1):
        told["loss" if len(minimized) == 1 else f"loss {place}"] = _line(effect.span.text)
    for step, kind in ((train.step, "report"), (train.evaluate, "evaluation of")):
        for _, effect in step.effects if step else ():
            if isinstance(effect, Report):
                told[f"{kind} {effect.name}"] = _line(effect.span.text)
    return told | {f"procedure {name}": "declared" for name in train.procedures}


# --- runs ---


def _results(before: Side, after: Side) -> Iterator[Change]:
    """What two runs measured last, and how far their weights lie apart."""
    if before.run is None or after.run is None:
        return
    old, new = before.run.metrics()[-1:], after.run.metrics()[-1:]
    yield from compared("results", "", _measured(old[0] if old else {}), _measured(new[0] if new else {}))
    yield from _values(before, after)


def _measured(line: Mapping[str, object]) -> dict[str, str]:
    told = {key: str(line[key]) for key in ("epoch", "step") if key in line}
    for part, means in line.items():
        if isinstance(means, dict):
            values = cast("dict[str, float | None]", means)
            told |= {f"{name}, {part}": f"{value:.6g}" for name, value in values.items() if value is not None}
    return told


def _values(before: Side, after: Side) -> Iterator[Change]:
    import numpy as np

    from dlc.runtime.train.run import weights_file
    from dlc.runtime.weights import open_weights

    assert before.run is not None
    assert after.run is not None
    if before.run.checkpoints.last() is None or after.run.checkpoints.last() is None:
        return
    old, new = open_weights(weights_file(before.run)), open_weights(weights_file(after.run))
    for path in old.keys() & new.keys():
        first, second = old[path], new[path]
        if first.shape == second.shape and not np.array_equal(first, second):
            apart = float(np.linalg.norm(second.astype(np.float64) - first))
            scale = float(np.linalg.norm(first.astype(np.float64)))
            moved = f"moved by {apart / scale:.2%} of its norm" if scale else f"moved by {apart:.3g} from 0"
            yield Change("weights", path, "its numbers", moved)


def _line(text: str) -> str:
    return " ".join(text.split())
