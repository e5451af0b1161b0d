"""`sklearn(name)`: the small data sets that come with scikit-learn.

`sklearn("sample_images", patch=32)` gives its two photographs in squares of so many pixels, side by side from the top
left; what is left of a row or a column is not in any. Columns: `china` and `flower`, each uint8[3, patch, patch].
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from importlib import import_module
from typing import TYPE_CHECKING, Any

from dlc.compiler.dim import Dim
from dlc.compiler.program import Schema
from dlc.compiler.types import DType, Tensor
from dlc.grammar.diagnostics import Refusal
from dlc.grammar.suggest import nearest
from dlc.runtime.data.room import Room
from dlc.runtime.data.source import DataSource, Table
from dlc.runtime.errors import MissingPackage, SourceArguments, UnknownDataset

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


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
_PHOTOGRAPHS = "sample_images"
_HEIGHT, _WIDTH = 427, 640
_NAMES = (*_SCHEMAS, _PHOTOGRAPHS)


@dataclass(frozen=True)
class Sklearn(DataSource):
    """The data set of that name. patch: of photographs, the side of the squares that they are cut into, in pixels."""

    name: str
    patch: int = 0

    @property
    def title(self) -> str:
        return f"scikit-learn's {self.name}"

    def schema(self) -> Schema:
        if self.name not in _NAMES:
            near = nearest(self.name, _NAMES)
            help = f'did you mean "{near}"?' if near else f"there are {', '.join(_NAMES)}"
            raise Refusal(UnknownDataset(f'scikit-learn has no data set "{self.name}"', self.span, help=help))
        if self.name == _PHOTOGRAPHS:
            return self._patches()
        if self.patch:
            raise Refusal(SourceArguments(f'"{self.name}" has no photographs, and takes no `patch`', self.span))
        return _SCHEMAS[self.name]

    def _patches(self) -> Schema:
        if not 1 <= self.patch <= _HEIGHT:
            message = f"`patch` is the side of a square, from 1 to {_HEIGHT} pixels, and this is {self.patch}"
            help = f'as in sklearn("{_PHOTOGRAPHS}", patch=32)'
            raise Refusal(SourceArguments(message, self.span, help=help))
        type = Tensor(DType.UINT8, (Dim.of(3), Dim.of(self.patch), Dim.of(self.patch)))
        return Schema({"china": type, "flower": type}, (_HEIGHT // self.patch) * (_WIDTH // self.patch))

    def load(self, columns: Collection[str], room: Room | None = None) -> Table:
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
        count = self.schema().count
        assert count is not None
        if self.name == _PHOTOGRAPHS:
            table = {name: _cut(datasets.load_sample_image(f"{name}.jpg"), self.patch) for name in columns}
            return Table(table, count, lambda index: f"patch {index + 1}")
        bunch: Any = getattr(datasets, f"load_{self.name}")()
        return Table({name: bunch[name] for name in columns}, count, lambda index: f"example {index + 1}")


def _cut(photograph: NDArray[np.uint8], patch: int) -> NDArray[np.uint8]:
    """Squares of a photograph, row by row. photograph: [height, width, 3]. Result: [count, 3, patch, patch]."""
    high, wide = _HEIGHT // patch, _WIDTH // patch
    squares = photograph[: high * patch, : wide * patch].reshape(high, patch, wide, patch, 3)
    return squares.transpose(0, 2, 4, 1, 3).reshape(-1, 3, patch, patch)
