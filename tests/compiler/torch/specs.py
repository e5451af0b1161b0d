"""Specs in a few lines, checked, emitted, and the emitted text run."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from textwrap import dedent
from typing import Any

import torch

from dlc.compiler.dim import Dim
from dlc.compiler.elaborate import elaborate
from dlc.compiler.graph import Graph
from dlc.compiler.op import Weight
from dlc.compiler.program import Program, Schema, SourceCall
from dlc.compiler.torch.emit import emit_graph
from dlc.compiler.types import DType, Tensor
from dlc.grammar.ast import File, Import
from dlc.grammar.diagnostics import Sink
from dlc.grammar.parse import parse
from dlc.grammar.source import Source

COLUMNS = {
    "images": Tensor.of(8, 8),
    "data": Tensor.of(10),
    "target": Tensor(DType.INT, (), Dim.of(10)),
    "goal": Tensor.of(),
}


class Sources:
    """Every data source offers the same columns; there is nothing to import but what is given by name."""

    def __init__(self, modules: dict[str, str], sink: Sink) -> None:
        self._files = {name: parse(Source(f"{name}.dl", dedent(text)), sink) for name, text in modules.items()}

    def module(self, statement: Import) -> File:
        return self._files[".".join(name.id for name in statement.path)]

    def schema(self, call: SourceCall) -> Schema:
        return Schema(COLUMNS, 100)


def program(text: str, name: str = "spec.dl", **modules: str) -> Program:
    """A checked spec, which must be right. modules: what it may import, by name."""
    sink = Sink()
    file = parse(Source(name, dedent(text)), sink)
    checked = elaborate(file, sink, loader=Sources(modules, sink))
    assert not list(sink), [f"{found.span.place} {found.message}" for found in sink]
    return checked


def graph(text: str, **modules: str) -> Graph:
    """The graph of the last model of a spec."""
    return list(program(text, **modules).models.values())[-1].graph


def emitted(text: str, **modules: str) -> str:
    return emit_graph(graph(text, **modules))


def plain(text: str) -> str:
    """The source without what makes it fast: line by line as the spec."""
    return emit_graph(graph(text), passes=())


def run(source: str) -> dict[str, Any]:
    """The names that the text defines. It may import torch alone, and parts of Python's library."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            assert {alias.name.split(".")[0] for alias in node.names} <= {"torch", "math"}
        if isinstance(node, ast.ImportFrom):
            assert node.module in ("torch", "collections.abc")
    names: dict[str, Any] = {"__name__": "emitted"}
    exec(compile(source, "emitted.py", "exec"), names)
    return names


def module(text: str, seed: int = 0, **modules: str) -> Any:
    """The last model of a spec as a PyTorch module, whose state dict has the graph's weights by their paths."""
    made = graph(text, **modules)
    torch.manual_seed(seed)
    built = run(emit_graph(made))[made.name]()
    assert_owns(built, made.weights())
    return built


def assert_owns(built: torch.nn.Module, weights: Mapping[str, Weight], prefix: str = "") -> None:
    """The state dict holds these weights under their paths, and those that are trained are its parameters."""
    state = {prefix + path: tuple(value.shape) for path, value in built.state_dict().items()}
    assert state == {path: tuple(map(int, weight.shape)) for path, weight in weights.items()}
    trained = {path for path, weight in weights.items() if weight.trainable}
    assert {prefix + path for path, _ in built.named_parameters(remove_duplicate=False)} == trained


def body(source: str, name: str = "forward") -> str:
    """The statements of the last method or function of that name, without indentation."""
    lines = source.split("\n")
    start = max(place for place, line in enumerate(lines) if line.lstrip().startswith(f"def {name}("))
    depth = len(lines[start]) - len(lines[start].lstrip())
    while not lines[start].endswith(":"):
        start += 1
    found: list[str] = []
    for line in lines[start + 1 :]:
        if line and len(line) - len(line.lstrip()) <= depth:
            break
        found.append(line[depth + 4 :])
    return "\n".join(found).rstrip()
