"""The examples of operations with inputs drawn for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from dlc.compiler import examples
from dlc.compiler.dim import Symbol
from dlc.compiler.examples import Call
from dlc.compiler.op import Example, Op, operations
from dlc.compiler.types import DType, Tensor

_FIRST = {"N": 2, "T": 5, "C": 4, "H": 6, "W": 8, "S": 3, "D": 6, "V": 7, "K": 3}
_SECOND = {"N": 3, "T": 8, "C": 2, "H": 9, "W": 7, "S": 4, "D": 10, "V": 11, "K": 5}
_DTYPES = {
    DType.FLOAT: np.float32,
    DType.FLOAT64: np.float64,
    DType.FLOAT16: np.float16,
    DType.INT: np.int64,
    DType.INT32: np.int32,
    DType.INT8: np.int8,
    DType.UINT8: np.uint8,
    DType.BOOL: np.bool_,
}


@dataclass(frozen=True, slots=True)
class Case(Call):
    """One example of one operation."""

    id: str
    example: Example

    def binding(self, second: bool) -> dict[Symbol, int]:
        """A number for every symbol: those in the tables above, for other names distinct ones from 2 or from 4 up."""
        table, start = (_SECOND, 4) if second else (_FIRST, 2)
        others = [name for name in self.symbols.dims if name not in table]
        numbers = table | {name: start + place for place, name in enumerate(others)}
        return {symbol: numbers[name] for name, dim in self.symbols.dims.items() for symbol in dim.symbols()}

    def arrays(self, binding: Mapping[Symbol, int], seed: int = 0) -> list[np.ndarray[Any, Any]]:
        """A value for each tensor among the inputs."""
        random = np.random.default_rng([seed, *binding.values()])
        values = [draw(random, type, binding, self.example.positive) for type in self.tensors]
        return [definite(value) for value in values] if self.example.definite else values


def read(kind: type[Op], example: Example, id: str = "") -> Case:
    call = examples.read(kind, example)
    return Case(call.op, call.inputs, call.gives, call.symbols, call.models, id, example)


def cases() -> list[Case]:
    """Every example of every operation."""
    return [
        read(kind, example, f"{name}-{place}")
        for name, kind in sorted(operations().items())
        for place, example in enumerate(kind.examples)
    ]


def numpy_dtype(dtype: DType) -> Any:
    return _DTYPES[dtype]


def shape_of(type: Tensor, binding: Mapping[Symbol, int]) -> tuple[int, ...]:
    return tuple(size.evaluate(binding) for size in type.shape)


def definite(matrix: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """A symmetric positive definite matrix."""
    return matrix @ matrix.swapaxes(-1, -2) + np.eye(matrix.shape[-1], dtype=matrix.dtype)


def draw(
    random: np.random.Generator, type: Tensor, binding: Mapping[Symbol, int], positive: bool
) -> np.ndarray[Any, Any]:
    """Elements of that type: normal, or uniform from 0.1 to 2 if `positive`; ints within the range that is promised."""
    shape = shape_of(type, binding)
    if type.dtype.is_float:
        values = random.uniform(0.1, 2, shape) if positive else random.normal(size=shape)
    elif type.dtype is DType.BOOL:
        values = random.random(shape) < 0.5
    elif type.below is not None:
        values = random.integers(0, type.below.evaluate(binding), shape)
    else:
        values = random.integers(1 if positive or type.dtype is DType.UINT8 else -4, 5, shape)
    return np.asarray(values, _DTYPES[type.dtype])
