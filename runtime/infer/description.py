"""What an exported model says about itself: inputs and outputs with their shapes, ranges and checks."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dlc.compiler.dim import Dim
from dlc.compiler.onnx import metadata
from dlc.compiler.onnx.elements import from_onnx
from dlc.compiler.types import DType
from dlc.grammar.diagnostics import Refusal
from dlc.runtime.infer.errors import ForeignModel, UnreadableModel
from dlc.runtime.infer.expression import Symbols

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True, slots=True)
class Port:
    """An input or output: its name, element type, shape and, for ints, what all elements lie below."""

    name: str
    dtype: DType
    shape: tuple[Dim, ...]
    below: Dim | None = None

    @property
    def rank(self) -> int:
        return len(self.shape)

    def __str__(self) -> str:
        promise = "" if self.below is None else f" < {self.below}"
        return f"{self.dtype.value}[{', '.join(map(str, self.shape))}]{promise}"


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
    """A model from outside.

    lines: the names of its nodes and of their results, which fused nodes are called by, to `file:line` in the spec.
    external: the files beside it that hold weights.
    """

    spec: str
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    requirements: tuple[Requirement, ...]
    lines: Mapping[str, str]
    external: tuple[str, ...]


def read_description(path: Path) -> Description:
    """Reads the model's description without running anything of it.

    Raises Refusal for a file that is missing or no ONNX model, and for a model that dlc has not written.
    """
    model = _read(path)
    if model.producer_name != metadata.PRODUCER:
        producer = f"written by {model.producer_name}" if model.producer_name else "not written by dlc"
        raise Refusal(
            ForeignModel(
                f"{path} is {producer}, and only models that dlc exported are run",
                None,
                help="export the model from its spec: `dlc export RUN -o model.onnx`",
            )
        )
    try:
        return _describe(model)
    except (KeyError, TypeError, ValueError) as error:
        told = f"{path} does not describe itself as dlc's models do"
        raise Refusal(UnreadableModel(told, None, notes=(str(error),))) from None


def _read(path: Path) -> onnx.ModelProto:
    import onnx
    from google.protobuf.message import DecodeError

    try:
        return onnx.ModelProto.FromString(path.read_bytes())
    except FileNotFoundError:
        raise Refusal(UnreadableModel(f"there is no file {path}", None)) from None
    except OSError as error:
        raise Refusal(UnreadableModel(f"{path} cannot be read: {error.strerror}", None)) from None
    except DecodeError:
        raise Refusal(UnreadableModel(f"{path} is not an ONNX model", None)) from None


def _describe(model: onnx.ModelProto) -> Description:
    properties = {entry.key: entry.value for entry in model.metadata_props}
    symbols = Symbols()
    ranges: dict[str, str] = json.loads(properties[metadata.RANGES])
    checks: list[dict[str, str]] = json.loads(properties[metadata.CHECKS])
    return Description(
        properties[metadata.SPEC],
        tuple(_ports(model.graph.input, symbols, ranges)),
        tuple(_ports(model.graph.output, symbols, {})),
        tuple(
            Requirement(
                symbols.read(check["left"]),
                check["relation"],
                symbols.read(check["right"]),
                check["message"],
                check["line"],
            )
            for check in checks
        ),
        {
            name: entry.value
            for graph in _graphs(model.graph)
            for node in graph.node
            for entry in node.metadata_props
            if entry.key == metadata.LINE
            for name in (node.name, *node.output)
        },
        tuple(
            entry.value for tensor in _stored(model.graph) for entry in tensor.external_data if entry.key == "location"
        ),
    )


def _graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """A graph, and the graphs within its nodes."""
    pending = [graph]
    while pending:
        current = pending.pop()
        yield current
        for node in current.node:
            for attribute in node.attribute:
                if attribute.HasField("g"):
                    pending.append(attribute.g)
                pending += attribute.graphs


def _stored(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    """Every tensor that is stored in a graph, in graphs within its nodes too."""
    for current in _graphs(graph):
        yield from current.initializer
        for node in current.node:
            for attribute in node.attribute:
                yield from (attribute.t, *attribute.tensors)


def _ports(values: Iterable[onnx.ValueInfoProto], symbols: Symbols, ranges: Mapping[str, str]) -> Iterable[Port]:
    for value in values:
        tensor = value.type.tensor_type
        dtype = from_onnx(tensor.elem_type)
        if dtype is None:
            raise ValueError(f"{value.name} has an element type that is not known")
        shape = tuple(
            symbols.read(size.dim_param) if size.dim_param else Dim.of(size.dim_value) for size in tensor.shape.dim
        )
        below = ranges.get(value.name)
        yield Port(value.name, dtype, shape, None if below is None else symbols.read(below))
