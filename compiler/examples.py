"""The examples of operations, read: types from their words, and a graph of one node.

A type is an element type (`float` where none is named) and sizes, each a number, a symbol or an expression without
spaces, then perhaps a range: `"N T 8"`, `"int N T < V"`, `"bool N"`, `"float64 N 2*T"`, `""` (a float scalar),
`"int"`. Symbols are shared within one example, its `gives` and its static sizes (`shape=("N", "T//2")`, where the
field holds a Dim) included.
`"model N 8, 8"` stands for a model with a weight of each of these types (`l2(net)`).
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from dlc.compiler.dim import Dim
from dlc.compiler.graph import BlockModule, Graph, ModelRef, OpModule, ReadWeight, Value, WeightModule
from dlc.compiler.init import Normal
from dlc.compiler.op import Example, Op, Weight
from dlc.compiler.types import DType, Operand, Scalar, Tensor
from dlc.grammar.source import Source, Span

SPAN = Span(Source("example.dl", ""), 0, 0)

_OPERATORS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: lambda size, by: size // by,
    ast.Mod: operator.mod,
    ast.Pow: lambda base, power: base**power,
}


class Symbols:
    """The symbols of one example, made as their names are met."""

    def __init__(self) -> None:
        self.dims: dict[str, Dim] = {}

    def symbol(self, name: str) -> Dim:
        """What a name stands for where it is first met."""
        return Dim.symbol(name, 1)

    def size(self, text: str) -> Dim:
        return self._dim(ast.parse(text.strip(), mode="eval").body)

    def type(self, text: str) -> Tensor:
        sizes, _, below = text.partition("<")
        words = sizes.split()
        dtype = DType.FLOAT
        if words and words[0] in [each.value for each in DType]:
            dtype = DType(words.pop(0))
        return Tensor(dtype, tuple(map(self.size, words)), self.size(below) if below else None)

    def value(self, given: Any) -> Any:
        """A static value with the sizes in it read; words that are no symbols, as in `pad="causal"`, stay."""
        match given:
            case list() | tuple():
                return tuple(map(self.value, cast("tuple[Any, ...]", given)))
            case str() if not given.islower():
                return self.size(given)
            case _:
                return given

    def _dim(self, node: ast.expr) -> Dim:
        match node:
            case ast.Constant(int(value)):
                return Dim.of(value)
            case ast.Name(name):
                if name not in self.dims:
                    self.dims[name] = self.symbol(name)
                return self.dims[name]
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
class Call:
    """An example's call. `models` are the weights of the models among the inputs, by their paths."""

    op: Op
    inputs: tuple[Operand | ModelRef | None, ...]
    gives: tuple[Tensor, ...]
    symbols: Symbols
    models: Mapping[str, tuple[Tensor, ...]]

    @property
    def tensors(self) -> list[Tensor]:
        return [value for value in self.inputs if isinstance(value, Tensor)]

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
        inputs: tuple[Any, ...] = self.inputs
        weights = self.op.weights(*inputs)
        if weights or self.op.stateful:
            module = self.op.name
            graph.modules[module] = OpModule(self.op, inputs, weights)
        graph.outputs = graph.add(self.op, operands, self.op.results(*inputs), SPAN, module)
        many = len(graph.outputs) > 1
        graph.output_names = tuple(f"output_{place}" if many else "output" for place in range(len(graph.outputs)))
        return graph


def read(kind: type[Op], example: Example) -> Call:
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
    return Call(kind(**static), tuple(inputs), tuple(map(symbols.type, example.gives)), symbols, models)
