"""The data of a run: the same examples each time it is read, with the statistics that were fitted at first."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from torch import Tensor

from dlc.compiler.program import DataSpec, Step, TrainSpec
from dlc.grammar.diagnostics import Refusal
from dlc.runtime.data.load import Dataset, load_data
from dlc.runtime.data.statistics import read_statistics
from dlc.runtime.errors import AnotherData
from dlc.runtime.train.run import Run, data_folder

_SHOWN = 16  # numbers of a statistic, in a run's config


def read_data(run: Run, spec: TrainSpec) -> Dataset:
    """The data of a run, on the processor. Raises Refusal where it is not what the run was begun on."""
    data = load(run, spec)
    notes = differences(run, data)
    if notes:
        raise Refusal(
            AnotherData(
                f"the data of {spec.data.name} is not what {run.folder} was trained on",
                spec.data.source.span,
                label="changed since",
                notes=notes[1:],
                help="train a new run on it, or go on with it in this one by --resume --force",
            )
        )
    return data


def load(run: Run, spec: TrainSpec) -> Dataset:
    """The data as it is now, with the statistics that were fitted when the run began. Raises Refusal."""
    fitted = None if run.config.data is None else read_statistics(run.folder, spec.data)
    return load_data(spec.data, data_folder(spec.data), spec.settings.seed, fitted)


def differences(run: Run, data: Dataset) -> tuple[str, ...]:
    """What is no longer as it was when the run began."""
    before = run.config.data
    if before is None or before["fingerprint"] == data.fingerprint:
        return ()
    had, has = sum(before["examples"].values()), sum(map(data.count, data.parts))
    return ("the data is another", *((f"it had {had} examples, and has {has}",) if had != has else ()))


def describe(data: Dataset) -> dict[str, Any]:
    """What `config.json` tells of the data: a hash of what was read, the examples of each part, and the statistics."""
    return {
        "fingerprint": data.fingerprint,
        "examples": {part: data.count(part) for part in data.parts},
        "statistics": {name: _shown(value) for name, value in data.statistics.items()},
    }


def with_constants(
    function: Callable[..., Mapping[str, Tensor]], step: Step, spec: DataSpec, data: Dataset
) -> Callable[..., Mapping[str, Tensor]]:
    """The emitted function of a step, given those of its inputs that are no fields: what it asks of the data as a
    whole."""
    from dlc.compiler.torch.names import identifier

    names = [identifier(name) for name in step.graph.inputs if name not in spec.fields]
    return partial(function, **dict.fromkeys(names, data.frequencies)) if names else function


def _shown(value: Tensor) -> Any:
    """A small tensor's numbers; of a large one, how large it is."""
    untyped: Any = value  # whose `tolist` has no type
    return untyped.tolist() if value.numel() <= _SHOWN else f"float{list(value.shape)}"
