"""The weights of a model as initialisers, each made when it is first used, and read when it is written."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from dlc.compiler.dim import Dim, Symbol
from dlc.compiler.onnx.elements import numpy_type
from dlc.compiler.onnx.errors import WeightMismatch
from dlc.compiler.onnx.model import Stored, Tensor, Value
from dlc.compiler.onnx.writer import Writer
from dlc.compiler.op import Weight
from dlc.grammar.diagnostics import Refusal

if TYPE_CHECKING:
    import numpy as np


class Initializers:
    """The values of weights, by the weights' paths.

    declared: what the graph owns or borrows. arrays: the weights' numbers, asked for again when they are written, so
    that a mapping which reads a file holds one of them at a time. symbol: the text for a symbol.
    """

    def __init__(
        self,
        writer: Writer,
        declared: Mapping[str, Weight],
        arrays: Mapping[str, np.ndarray[Any, Any]],
        symbol: Callable[[Symbol], str],
    ) -> None:
        self._writer = writer
        self._declared = declared
        self._arrays = arrays
        self._symbol = symbol
        self._values: dict[str, Value] = {}

    def weight(self, path: str) -> Value:
        """The initialiser of one weight. Raises Refusal where its array is missing or does not fit."""
        if path not in self._values:
            self._values[path] = self._writer.initializer(path, self._tensor(path))
        return self._values[path]

    def learned(self, module: str) -> Iterator[Value]:
        """The initialisers of all learned weights of a module."""
        for path, weight in self._declared.items():
            if weight.trainable and (path == module or path.startswith(f"{module}.")):
                yield self.weight(path)

    def _tensor(self, path: str) -> Tensor:
        weight, arrays = self._declared[path], self._arrays
        if path not in arrays:
            raise Refusal(WeightMismatch(f"the weights hold no `{path}`", None))
        array = arrays[path]
        due = numpy_type(weight.dtype)
        shape = f"[{', '.join(size.render(self._symbol) for size in weight.shape)}]"
        if len(array.shape) != len(weight.shape) or any(map(_differ, array.shape, weight.shape)):
            raise Refusal(WeightMismatch(f"the weight `{path}` is {list(array.shape)}, and {shape} is due", None))
        if array.dtype != due:
            raise Refusal(WeightMismatch(f"the weight `{path}` is {array.dtype}, and {due} is due", None))
        source = arrays.source(path) if isinstance(arrays, Stored) else None
        return Tensor(weight.dtype, array.shape, lambda: arrays[path], source)


def _differ(size: int, due: Dim) -> bool:
    return due.is_constant and size != int(due)
