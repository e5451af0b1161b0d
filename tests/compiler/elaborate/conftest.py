from collections.abc import Mapping
from dataclasses import dataclass

import pytest

from dlc.compiler.dim import Dim
from dlc.compiler.elaborate import elaborate
from dlc.compiler.errors import ImportFailed
from dlc.compiler.graph import Call, Graph
from dlc.compiler.op import Op
from dlc.compiler.program import Program, Schema, SourceCall
from dlc.compiler.types import DType, Tensor
from dlc.grammar import ast
from dlc.grammar.diagnostics import Refusal, Sink
from dlc.grammar.parse import parse
from dlc.grammar.source import Source


@dataclass
class Memory:
    """Files by name, and one data source: `points()`, of two columns."""

    files: Mapping[str, str]

    def module(self, statement: ast.Import) -> ast.File:
        name = ".".join(part.id for part in statement.path)
        if name not in self.files:
            raise Refusal(ImportFailed(f"no file {name}", statement.span))
        if name not in self._trees():
            sink = Sink()
            self._trees()[name] = parse(Source(name, self.files[name]), sink)
            assert not len(sink)
        return self._trees()[name]

    def _trees(self) -> dict[str, ast.File]:
        return self.__dict__.setdefault("trees", {})

    def schema(self, call: SourceCall) -> Schema:
        return Schema({"data": Tensor.of(4), "target": Tensor(DType.INT, (), Dim.of(3))}, 100)


class Specs:
    """Elaborates texts."""

    def read(
        self, text: str, overrides: Mapping[str, str] | None = None, files: Mapping[str, str] | None = None
    ) -> tuple[Program, Sink]:
        sink = Sink()
        tree = parse(Source("spec.dl", text), sink)
        assert not len(sink), [diagnostic.message for diagnostic in sink]
        return elaborate(tree, sink, loader=Memory(files or {}), overrides=overrides or {}), sink

    def program(
        self, text: str, overrides: Mapping[str, str] | None = None, files: Mapping[str, str] | None = None
    ) -> Program:
        program, sink = self.read(text, overrides, files)
        assert [f"{diagnostic.code} {diagnostic.message}" for diagnostic in sink] == []
        return program

    def graph(self, text: str, name: str = "M", **overrides: object) -> Graph:
        """The graph of a model, values of `--set` as keywords."""
        return self.program(text, {key: str(value) for key, value in overrides.items()}).models[name].graph

    def codes(self, text: str, overrides: Mapping[str, str] | None = None) -> list[str]:
        return [diagnostic.code for diagnostic in self.read(text, overrides)[1]]


@pytest.fixture
def specs() -> Specs:
    return Specs()


def called(graph: Graph) -> list[Graph]:
    """Every graph that a graph calls, itself or through others, each once."""
    found: list[Graph] = []
    for node in graph.nodes:
        if isinstance(node.action, Call):
            for inner in (node.action.graph, *called(node.action.graph)):
                if not any(inner is other for other in found):
                    found.append(inner)
    return found


def types(graph: Graph) -> list[str]:
    return [str(value.type) for value in graph.outputs]


def operations(graph: Graph) -> list[str]:
    """The names of the operations that a graph applies itself, in order."""
    return [node.action.name for node in graph.nodes if isinstance(node.action, Op)]
