"""Statistics of the training part: what `standardize` fits, and the share of each token of a text."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dlc.compiler.program import DataSpec, Field, Statistic
from dlc.grammar.diagnostics import Refusal
from dlc.runtime.errors import BrokenRun
from dlc.runtime.files import replace_file

FILE = "statistics.safetensors"
_CHUNK = 65536


class Moments:
    """The mean and the population standard deviation over axis 0 of values that come piece by piece, in float64.

    Pieces are put together as in Chan, Golub and LeVeque, 1979.
    """

    def __init__(self) -> None:
        self._count = 0
        self._mean = self._squares = torch.zeros((), dtype=torch.float64)

    def add(self, values: Tensor) -> None:
        """Takes in a piece. values: [examples, ...], of which there may be none."""
        if not len(values):
            return
        exact = values.double()
        mean = exact.mean(0)
        squares = (exact - mean).square_().sum(0)
        count = self._count + len(exact)
        apart = mean - self._mean
        self._squares = self._squares + squares + apart.square() * (self._count * len(exact) / count)
        self._mean = self._mean + apart * (len(exact) / count)
        self._count = count

    def standard(self, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Both, in a type of floats. A deviation that is zero but for rounding is given as 1, by the bound that
        scikit-learn's StandardScaler has for it: the error of a variance in two passes (Chan, Golub and LeVeque,
        1983)."""
        mean, variance = self._mean, self._squares / self._count
        epsilon = torch.finfo(torch.float64).eps
        bound = self._count * epsilon * variance + (self._count * mean * epsilon) ** 2
        deviation = torch.where(variance <= bound, 1.0, variance.sqrt())
        return mean.to(dtype), deviation.to(dtype)


def standard(values: Tensor) -> tuple[Tensor, Tensor]:
    """The mean and the deviation of values that are all there, in their type. values: [examples, ...]."""
    moments = Moments()
    moments.add(values)
    return moments.standard(values.dtype)


def keys(field: Field, statistic: Statistic) -> tuple[str, str]:
    """What the mean and the deviation are called in a run: `features.mean`, and `features.mean_2` of a second one."""
    number = statistic.name.removeprefix(field.name)
    return f"{field.name}.mean{number}", f"{field.name}.std{number}"


def frequencies(tokens: Tensor, vocabulary: int) -> Tensor:
    """The share of each token: float32[vocabulary], of sum 1. tokens: int[examples, ...]."""
    counts = torch.zeros(vocabulary, dtype=torch.int64)
    for start in range(0, len(tokens), _CHUNK):
        counts += torch.bincount(tokens[start : start + _CHUNK].flatten(), minlength=vocabulary)
    return (counts.double() / counts.sum()).float()


# --- in a run ---------------------------------------------------------------------------------------------------


def save_statistics(folder: Path, statistics: Mapping[str, Tensor]) -> None:
    """Writes a run's statistics, if it has any. OSError where that fails."""
    from safetensors.torch import save

    if statistics:
        replace_file(folder / FILE, save(dict(statistics)))


def read_statistics(folder: Path, spec: DataSpec) -> dict[str, Tensor]:
    """The statistics of a run, whose data block has some. Raises Refusal where they are damaged or missing."""
    from safetensors import SafetensorError, torch

    due = {
        key: tuple(int(size) for size in statistic.graph.outputs[0].type.shape)
        for field in spec.fields.values()
        for statistic in field.statistics
        for key in keys(field, statistic)
    }
    if not due:
        return {}
    path = folder / FILE
    try:
        found: dict[str, Any] = torch.load_file(path)  # pyright: ignore[reportUnknownMemberType]
    except (OSError, SafetensorError) as error:
        raise Refusal(BrokenRun(f"{path} cannot be read", None, notes=(str(error),))) from error
    if {key: tuple(value.shape) for key, value in found.items()} != due:
        raise Refusal(BrokenRun(f"{path} does not hold the statistics of {spec.name}", None))
    return found
