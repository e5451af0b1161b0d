"""What a model says about itself: inputs and outputs with their shapes, ranges and checks."""

from __future__ import annotations

import json
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from dlc.compiler.dim import Dim
from dlc.compiler.onnx import metadata
from dlc.compiler.types import DType
from dlc.grammar.diagnostics import Refusal
from dlc.runtime.infer.claims import ELEMENTS
from dlc.runtime.infer.errors import UnreadableModel
from dlc.runtime.infer.expression import Symbols
from dlc.runtime.infer.stored import Declared, Stored

RELATIONS: dict[str, Callable[[int, int], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@dataclass(frozen=True, slots=True)
class Port:
    """An input or output: its name, element type, shape and, for ints, what all elements lie below.

    any_rank: its number of axes is not declared, as with some models that dlc has not written. noise: for an input
    that stands for a random draw, what it follows, "normal" or "uniform".
    """

    name: str
    dtype: DType
    shape: tuple[Dim, ...]
    below: Dim | None = None
    any_rank: bool = False
    noise: str | None = None

    @property
    def rank(self) -> int:
        return len(self.shape)

    def __str__(self) -> str:
        promise = "" if self.below is None else f" < {self.below}"
        shape = "..." if self.any_rank else ", ".join(map(str, self.shape))
        return f"{self.dtype.value}[{shape}]{promise}"


@dataclass(frozen=True, slots=True)
class Requirement:
    """A `require` on sizes that are known when the model is called. line: where it stands, as `file:line`."""

    left: Dim
    relation: str
    right: Dim
    message: str
    line: str


@dataclass(frozen=True, slots=True)
class Description:
    """A model from outside: its name, inputs and outputs, and what their sizes must satisfy.

    apart: the inputs that are cut along axis 0 where a batch is computed in parts, which give, one after the other,
    what the batch gives; none of them where that is not known.
    """

    spec: str
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    requirements: tuple[Requirement, ...]
    apart: tuple[str, ...] = ()


def document(stored: Stored) -> dict[str, Any]:
    """What `describe` needs to know of a model, in numbers and texts alone, to be told from process to process."""
    ours = stored.producer == metadata.PRODUCER
    given = [value for value in stored.inputs if value.name not in stored.initializers]
    return {
        "name": stored.properties.get(metadata.SPEC) if ours else stored.name or "the model",
        "inputs": [[value.name, value.type, value.shape] for value in given],
        "outputs": [[value.name, value.type, value.shape] for value in stored.outputs],
        "ranges": stored.properties.get(metadata.RANGES) if ours else "{}",
        "checks": stored.properties.get(metadata.CHECKS) if ours else "[]",
        "noise": stored.properties.get(metadata.NOISE, "{}") if ours else "{}",
        "examples": stored.properties.get(metadata.EXAMPLES) if ours else None,
        "expressions": ours,
    }


def describe(told: Mapping[str, Any], place: str) -> Description:
    """The description of the model that is stored at a place. Raises Refusal where it contradicts itself.

    Sizes are expressions in a model that says that dlc has written it, and names by themselves in any other.
    """
    try:
        return _describe(told)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        message = f"{place} does not describe itself as dlc's models do"
        raise Refusal(UnreadableModel(message, None, notes=(str(error),))) from None


def _describe(told: Mapping[str, Any]) -> Description:
    if told["name"] is None:
        raise ValueError("its metadata is missing")
    sizes = _Sizes(expressions=told["expressions"])
    ranges: dict[str, str] = json.loads(told["ranges"])
    checks: list[dict[str, str]] = json.loads(told["checks"])
    noise: dict[str, str] = json.loads(told["noise"])
    if not set(noise.values()) <= {"normal", "uniform"}:
        raise ValueError("its noise follows a distribution that is not known")
    inputs = tuple(_ports(told["inputs"], sizes, ranges, noise))
    outputs = tuple(_ports(told["outputs"], sizes, {}, {}))
    examples = None if told["examples"] is None else sizes.read(str(told["examples"]))
    return Description(
        told["name"],
        inputs,
        outputs,
        tuple(_requirement(check, sizes) for check in checks),
        () if examples is None else tuple(_apart(inputs, outputs, examples)),
    )


def _apart(inputs: Iterable[Port], outputs: Iterable[Port], examples: Dim) -> Iterator[str]:
    """The inputs that lie along the examples. ValueError where they, or an output, do not do so along axis 0 alone."""
    for port in outputs:
        if not port.rank or port.shape[0] != examples:
            raise ValueError(f"its examples are counted by {examples}, and `{port.name}` has none")
    for port in inputs:
        within = [axis for axis, size in enumerate(port.shape) if examples.symbols() & size.symbols()]
        if within and (within != [0] or port.shape[0] != examples):
            raise ValueError(f"its examples are counted by {examples}, and `{port.name}` has them elsewhere")
        if within:
            yield port.name


def _requirement(check: Mapping[str, str], sizes: _Sizes) -> Requirement:
    if check["relation"] not in RELATIONS:
        raise ValueError(f"`{check['relation']}` is no relation")
    left, right = sizes.read(check["left"]), sizes.read(check["right"])
    return Requirement(left, check["relation"], right, str(check["message"]), str(check["line"]))


class _Sizes:
    """Sizes as a model writes them: numbers, expressions, or names that may be any text."""

    def __init__(self, *, expressions: bool) -> None:
        self._expressions = expressions
        self._symbols = Symbols()
        self._named: dict[str, Dim] = {}
        self._unnamed = 0

    def read(self, size: int | str) -> Dim:
        if isinstance(size, int):
            return Dim.of(size)
        if self._expressions:
            return self._symbols.read(size)
        if not size:
            self._unnamed += 1
            return Dim.symbol(f"?{self._unnamed}")
        return self._named.setdefault(size, Dim.symbol(size))


def _ports(values: Iterable[Any], sizes: _Sizes, ranges: Mapping[str, str], noise: Mapping[str, str]) -> Iterator[Port]:
    for value in values:
        declared = Declared(*value)
        dtype = ELEMENTS.get(declared.type) if declared.type is not None else None
        if dtype is None:
            raise ValueError(f"`{declared.name}` is no tensor of an element type that dlc knows")
        shape = tuple(sizes.read(size) for size in declared.shape or ())
        below = ranges.get(declared.name)
        limit = None if below is None else sizes.read(below)
        yield Port(declared.name, dtype, shape, limit, declared.shape is None, noise.get(declared.name))
