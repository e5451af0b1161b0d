"""Graphs of random operations, each taken from an example with its static parameters, on whatever operands fit it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any

import numpy as np
import torch

from dlc.compiler import examples
from dlc.compiler.dim import Dim
from dlc.compiler.examples import SPAN
from dlc.compiler.graph import Graph, OpModule, Value
from dlc.compiler.op import Op, operations
from dlc.compiler.torch.emit import emit_graph
from dlc.compiler.types import DType, Scalar, ShapeError, Tensor

from .perturbing import Array

SIZES = (2, 4, 6, 8)
_LARGEST = 4000  # elements of a value
_TRIES = 400
# Operations that need what a random graph does not give them: a model, or a definite matrix.
_APART = frozenset({"l1", "l2", "cholesky", "eigh", "ctc", "bleu"})


class Drawn:
    """A graph, what it is run on, and what it gives in evaluation for other inputs."""

    def __init__(self, graph: Graph, arrays: list[Array]) -> None:
        self.graph = graph
        self.arrays = arrays
        names: dict[str, Any] = {"__name__": "drawn"}
        exec(compile(emit_graph(graph), "drawn.py", "exec"), names)
        torch.manual_seed(0)
        self.module: torch.nn.Module = names["Drawn"]()
        self.module.eval()

    def __call__(self, arrays: Sequence[Array]) -> list[Array]:
        torch.manual_seed(0)
        with torch.no_grad():
            results = self.module(*(torch.from_numpy(array.copy()) for array in arrays))
        given = results if isinstance(results, tuple | list) else (results,)
        return [result.numpy() for result in given]


@cache
def calls() -> list[examples.Call]:
    """Every example whose static parameters do not speak of the sizes of its own operands."""
    found: list[examples.Call] = []
    for name, kind in sorted(operations().items()):
        if name not in _APART:
            found += [call for call in (examples.read(kind, each) for each in kind.examples) if not _symbolic(call.op)]
    return found


def _symbolic(value: Any) -> bool:
    if isinstance(value, Op):
        return any(_symbolic(getattr(value, name)) for name in value.fields())
    if isinstance(value, tuple | list):
        return any(map(_symbolic, value))
    if is_dataclass(value):
        return any(_symbolic(getattr(value, each.name)) for each in fields(value))
    return isinstance(value, Dim) and not value.is_constant


def draw(seed: int, nodes: int = 6) -> Drawn:
    """A graph of an input x [N, T, C], an int and a bool one beside it, and this many operations; all it makes are its
    outputs. Raises what the operations raise where the numbers do not suit them."""
    random = np.random.default_rng(seed)
    n, t, c = (int(random.choice(SIZES)) for _ in range(3))
    graph = Graph("Drawn", SPAN)
    arrays: list[Array] = []
    shape = (n, t, c)[: 2 + int(random.integers(2))]
    for name, type in {
        "x": Tensor.of(*shape),
        "index": Tensor(DType.INT, Tensor.of(n, t).shape, Tensor.of(t).shape[0]),
        "choice": Tensor.of(n, t, dtype=DType.BOOL),
    }.items():
        graph.inputs[name] = Value(type, SPAN, name)
        arrays.append(_array(random, type))
    pool = list(graph.inputs.values())
    reached = {pool[0]}
    made = 0
    for _ in range(_TRIES):
        call = calls()[int(random.integers(len(calls())))]
        operands = _operands(random, call, pool, reached)
        try:
            results = call.op.results(*(each.type if isinstance(each, Value) else each for each in operands))
        except ShapeError:
            continue
        if any(not all(size.is_constant for size in result.shape) or _count(result) > _LARGEST for result in results):
            continue
        types = tuple(each.type if isinstance(each, Value) else each for each in operands)
        weights = call.op.weights(*types)
        module = None
        if weights or call.op.stateful:
            module = f"part{made}"
            graph.modules[module] = OpModule(call.op, types, weights)
        values = graph.add(call.op, operands, results, SPAN, module)
        pool += values
        if any(each in reached for each in operands if isinstance(each, Value)):
            reached.update(values)
        made += 1
        if made == nodes:
            break
    graph.outputs = tuple(value for value in pool if value not in graph.inputs.values())
    graph.output_names = tuple(f"y{place}" for place in range(len(graph.outputs)))
    return Drawn(graph, arrays)


def _count(type: Tensor) -> int:
    total = 1
    for size in type.shape:
        total *= int(size)
    return total


def _operands(random: np.random.Generator, call: examples.Call, pool: list[Value], reached: set[Value]) -> list[Any]:
    """Values of the pool for the tensors of a call, of their element types and, at first, of their ranks; the later
    they were made and the more they depend on x the likelier."""
    operands: list[Any] = []
    for each in call.inputs:
        if not isinstance(each, Tensor):
            operands.append(each if isinstance(each, Scalar) else None)
            continue
        fit = [value for value in pool if value.type.dtype is each.dtype and value.type.rank == each.rank]
        fit = fit or [value for value in pool if value.type.dtype is each.dtype] or pool
        shares = np.array([(1.0 + place) * (4.0 if value in reached else 1.0) for place, value in enumerate(fit)])
        operands.append(fit[int(random.choice(len(fit), p=shares / shares.sum()))])
    return operands


def _array(random: np.random.Generator, type: Tensor) -> Array:
    shape = tuple(int(size) for size in type.shape)
    if type.dtype is DType.BOOL:
        return random.random(shape) < 0.5
    if type.dtype is DType.INT:
        return random.integers(0, int(type.below or 2), shape)
    return random.normal(size=shape).astype(np.float32)


def fresh(seed: int, drawn: Drawn) -> Array:
    """Another x."""
    return _array(np.random.default_rng([seed, 1]), drawn.graph.inputs["x"].type)
