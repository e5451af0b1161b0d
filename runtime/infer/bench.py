"""How long a model takes: latency and throughput at given sizes, on inputs that are drawn at random."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from dlc.compiler.dim import Dim, Symbol
from dlc.compiler.onnx.elements import numpy_type
from dlc.compiler.types import DType
from dlc.grammar.diagnostics import Refusal
from dlc.runtime.infer.description import Port
from dlc.runtime.infer.errors import InputShape
from dlc.runtime.infer.session import Session

Array = np.ndarray[Any, Any]

_BELOW = 8  # of ints without a declared range
_MOST = 2**33  # elements of an input


@dataclass(frozen=True, slots=True)
class Timing:
    """What was measured at one size: seconds of a call at several percentiles, and examples a second on average."""

    runs: int
    p50: float
    p90: float
    p99: float
    mean: float
    throughput: float


def symbols(session: Session) -> dict[str, Symbol]:
    """The open sizes of a model's inputs by name, the batch's first: the first axis of the first input that has one."""
    found: dict[str, Symbol] = {}
    for port in session.inputs:
        first = port.shape[0].as_symbol() if port.rank else None
        if first is not None:
            found[first.name] = first
            break
    for port in session.inputs:
        for size in port.shape:
            for symbol in sorted(size.symbols(), key=lambda symbol: symbol.key):
                found.setdefault(symbol.name, symbol)
    return found


def drawn(session: Session, sizes: Mapping[Symbol, int]) -> dict[str, Array]:
    """Random inputs of these sizes. Raises Refusal where there are none."""
    random = np.random.default_rng(0)
    return {port.name: _draw(random, port, sizes) for port in session.inputs}


def measure(session: Session, inputs: Mapping[str, Array], examples: int, *, seconds: float, warm: float) -> Timing:
    """Times calls on inputs of so many examples, for so many seconds, after a time of warming up. Raises Refusal."""
    taken: Array = np.asarray(session.time(inputs, seconds=seconds, warm=warm))
    p50, p90, p99 = (float(value) for value in np.percentile(taken, [50, 90, 99]))
    mean = float(taken.mean())
    return Timing(len(taken), p50, p90, p99, mean, examples / mean)


def _draw(random: np.random.Generator, port: Port, sizes: Mapping[Symbol, int]) -> Array:
    shape = [_size(port, size, sizes) for size in port.shape]
    elements = 1
    for size in shape:
        elements *= size
    if elements > _MOST:
        raise Refusal(InputShape(f"`{port.name}` would have {elements:,} elements", None))
    if port.dtype.is_float:
        return random.standard_normal(shape, np.float32).astype(numpy_type(port.dtype))
    if port.dtype is DType.BOOL:
        return random.random(shape) < 0.5
    below = _BELOW if port.below is None else _size(port, port.below, sizes)
    return random.integers(0, max(below, 1), shape).astype(numpy_type(port.dtype))


def _size(port: Port, size: Dim, sizes: Mapping[Symbol, int]) -> int:
    try:
        found = size.evaluate(sizes)
    except ZeroDivisionError:
        found = -1
    if found < 0:
        told = ", ".join(f"{symbol.name}={number}" for symbol, number in sizes.items())
        raise Refusal(InputShape(f"`{port.name}`: {port} has no size {size} where {told}", None))
    return found
