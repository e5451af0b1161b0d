"""`sklearn(name)`: the small data sets that come with scikit-learn."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any

from dlc.compiler.dim import Dim
from dlc.compiler.program import Schema
from dlc.compiler.types import DType, Tensor
from dlc.grammar.diagnostics import Refusal
from dlc.grammar.suggest import nearest
from dlc.runtime.data.source import DataSource, Table
from dlc.runtime.errors import MissingPackage, UnknownDataset


def _classes(count: int) -> Tensor:
    return replace(Tensor.of(dtype=DType.INT), below=Dim.of(count))


# What is in each, so that a spec is checked without importing scikit-learn.
_SCHEMAS = {
    "breast_cancer": Schema({"data": Tensor.of(30), "target": _classes(2)}, 569),
    "diabetes": Schema({"data": Tensor.of(10), "target": Tensor.of()}, 442),
    "digits": Schema({"data": Tensor.of(64), "images": Tensor.of(8, 8), "target": _classes(10)}, 1797),
    "iris": Schema({"data": Tensor.of(4), "target": _classes(3)}, 150),
    "linnerud": Schema({"data": Tensor.of(3), "target": Tensor.of(3)}, 20),
    "wine": Schema({"data": Tensor.of(13), "target": _classes(3)}, 178),
}


@dataclass(frozen=True)
class Sklearn(DataSource):
    """The data set of that name."""

    name: str

    @property
    def title(self) -> str:
        return f"scikit-learn's {self.name}"

    def schema(self) -> Schema:
        if self.name not in _SCHEMAS:
            near = nearest(self.name, _SCHEMAS)
            help = f'did you mean "{near}"?' if near else f"there are {', '.join(_SCHEMAS)}"
            raise Refusal(UnknownDataset(f'scikit-learn has no data set "{self.name}"', self.span, help=help))
        return _SCHEMAS[self.name]

    def load(self, columns: Collection[str]) -> Table:
        try:
            datasets: Any = import_module("sklearn.datasets")
        except ImportError as error:
            raise Refusal(
                MissingPackage(
                    f"{self.title} needs scikit-learn, which is not installed",
                    self.span,
                    help='pip install "dlc[data]"',
                )
            ) from error
        bunch: Any = getattr(datasets, f"load_{self.name}")()
        count = self.schema().count
        assert count is not None
        return Table({name: bunch[name] for name in columns}, count, lambda index: f"example {index + 1}")
