"""The examples of operations, read: types from their words, inputs drawn for them, graphs of one node.

A type is an element type (`float` where none is named) and sizes, each a number, a symbol or an expression without
spaces, then perhaps a range: `"N T 8"`, `"int N T < V"`, `"bool N"`, `"float64 N 2*T"`, `""` (a float scalar),
`"int"`. Symbols are shared within one example, its `gives` and its static sizes (`shape=("N", "T//2")`, where the
field holds a Dim) included.
`"model N 8, 8"` stands for a model with a weight of each of these types (`l2(net)`).
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from dlc.compiler.dim import Dim, Symbol
from dlc.compiler.graph import BlockModule, Graph, ModelRef, OpModule, ReadWeight, Value, WeightModule
from dlc.compiler.init import Normal
from dlc.compiler.op import Example, Op, Weight, operations
from dlc.compiler.types import DType, Operand, Scalar, Tensor
from dlc.grammar.source import Source, Span

SPAN = Span(Source("example.dl", ""), 0, 0)

_OPERATORS = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
}
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


class Symbols:
    """The symbols of one example, made as their names are met."""

    def __init__(self) -> None:
        self._dims: dict[str, Dim] = {}

    def size(self, text: str) -> Dim:
        return self._dim(ast.parse(text.strip(), mode="eval").body)

    def type(self, text: str) -> Tensor:
        sizes, _, below = text.partition("<")
        words = sizes.split()
        dtype = DType.FLOAT
        if words and words[0] in [each.value for each in DType]:
            dtype = DType(words.pop(0))
        return Tensor(dtype, tuple(map(self.size, words)), self.size(below) if below else None)

    def symbol(self, name: str) -> Dim:
        return Dim.symbol(name, 1)

    def value(self, given: Any) -> Any:
        """A static value with the sizes in it read; words that are no symbols, as in `pad="causal"`, stay."""
        if isinstance(given, (list, tuple)):
            return tuple(map(self.value, given))
        return self.size(given) if isinstance(given, str) and not given.islower() else given

    def binding(self, second: bool) -> dict[Symbol, int]:
        """A number for every symbol: those in the table above, for other names distinct ones from 2 or from 4 up."""
        table, start = (_SECOND, 4) if second else (_FIRST, 2)
        others = [name for name in self._dims if name not in table]
        numbers = table | {name: start + place for place, name in enumerate(others)}
        return {symbol: numbers[name] for name, dim in self._dims.items() for symbol in dim.symbols()}

    def _dim(self, node: ast.expr) -> Dim:
        match node:
            case ast.Constant(int(value)):
                return Dim.of(value)
            case ast.Name(name):
                if name not in self._dims:
                    self._dims[name] = self.symbol(name)
                return self._dims[name]
            case ast.UnaryOp(ast.USub(), operand):
                return -self._dim(operand)
            case ast.BinOp(left, kind, right):
                return _OPERATORS[type(kind)](self._dim(left), self._dim(right))
            case ast.Call(ast.Name("min" | "max" as name), [left, right]):
                choose = Dim.minimum if name == "min" else Dim.maximum
                return choose(self._dim(left), self._dim(right))
            case _:
                raise ValueError(f"not a size: {ast.unparse(node)}")


@dataclass(frozen=True, slots=True)
class Case:
    """One example of one operation. `models` are the weights of the models among the inputs, by their paths."""

    id: str
    example: Example
    op: Op
    inputs: tuple[Operand | ModelRef | None, ...]
    gives: tuple[Tensor, ...]
    symbols: Symbols
    models: Mapping[str, tuple[Tensor, ...]]

    @property
    def tensors(self) -> list[Tensor]:
        return [value for value in self.inputs if isinstance(value, Tensor)]

    def arrays(self, binding: Mapping[Symbol, int], seed: int = 0) -> list[np.ndarray[Any, Any]]:
        """A value for each tensor among the inputs."""
        random = np.random.default_rng([seed, *binding.values()])
        values = [draw(random, type, binding, self.example.positive) for type in self.tensors]
        return [definite(value) for value in values] if self.example.definite else values

    def graph(self) -> Graph:
        """A graph of this node alone, called Example; its inputs are named as the operation's parameters."""
        graph = Graph("Example", SPAN)
        operands: list[Any] = []
        for name, operand in self.op.operands(self.inputs):
            if isinstance(operand, Tensor):
                own = name if name not in graph.inputs else f"{name}_{len(graph.inputs) + 1}"
                graph.inputs[own] = Value(operand, SPAN, own)
                operands.append(graph.inputs[own])
            else:
                operands.append(operand)
        for path, weights in self.models.items():
            part = Graph(path.capitalize(), SPAN)
            for place, weight in enumerate(weights):
                part.modules[f"w{place}"] = WeightModule(Weight(weight.shape, Normal()))
            part.outputs = part.add(ReadWeight(), (), weights[:1], SPAN, "w0")
            part.output_names = ("output",)
            graph.modules[path] = BlockModule(part)
        module = None
        weights = self.op.weights(*self.inputs)
        if weights or self.op.stateful:
            module = self.op.name
            graph.modules[module] = OpModule(self.op, self.inputs, weights)
        graph.outputs = graph.add(self.op, operands, self.op.results(*self.inputs), SPAN, module)
        many = len(graph.outputs) > 1
        graph.output_names = tuple(f"output_{place}" if many else "output" for place in range(len(graph.outputs)))
        return graph


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


def cases() -> list[Case]:
    """Every example of every operation."""
    return [
        read(kind, example, f"{name}-{place}")
        for name, kind in sorted(operations().items())
        for place, example in enumerate(kind.examples)
    ]


def read(kind: type[Op], example: Example, id: str = "") -> Case:
    symbols = Symbols()
    models: dict[str, tuple[Tensor, ...]] = {}
    inputs: list[Operand | ModelRef | None] = []
    for given in example.inputs:
        match given:
            case str(text) if text.startswith("model "):
                path = f"net_{len(models) + 1}" if models else "net"
                models[path] = tuple(map(symbols.type, text.removeprefix("model ").split(",")))
                inputs.append(ModelRef(path))
            case str(text):
                inputs.append(symbols.type(text))
            case bool() | float():
                inputs.append(Scalar(given))
            case int():
                inputs.append(Scalar(Dim.of(given)))
            case None:
                inputs.append(None)
    fields = {name: field.annotation for name, field in kind.fields().items()}
    static = {
        name: symbols.value(value) if "Dim" in repr(fields.get(name, Dim)) else value
        for name, value in example.static.items()
    }
    if kind.keywords:
        static[kind.keywords] = {name: static.pop(name) for name in list(static) if name not in fields}
    return Case(id, example, kind(**static), tuple(inputs), tuple(map(symbols.type, example.gives)), symbols, models)
