"""What an operation becomes: the lines of PyTorch for an example of it, and the operators of ONNX."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from dlc.compiler.examples import Call
from dlc.compiler.onnx.emit import build_model
from dlc.compiler.onnx.model import Graph
from dlc.compiler.torch.emit import emit_graph
from dlc.compiler.weights import draw_weights


def torch_lines(call: Call) -> list[str]:
    """The lines that the emitted source has for this call: those of the constructor, then those of `forward`."""
    source = emit_graph(call.graph())
    *_, unit = (part for part in ast.parse(source).body if isinstance(part, ast.ClassDef))
    lines: list[str] = []
    for method in unit.body:
        if isinstance(method, ast.FunctionDef):
            for statement in method.body:
                text = ast.get_source_segment(source, statement, padded=True) or ""
                if "super().__init__" not in text:
                    lines += [line.removeprefix(" " * 8) for line in text.splitlines()]
    return lines


def onnx_operators(call: Call) -> list[str]:
    """The operators of the call's model, each once, in order; those of a loop's body behind it. Constants and what
    computes sizes included."""
    graph = call.graph()
    model = build_model(graph, draw_weights(graph.weights(), 0))
    return list(dict.fromkeys(_operators(model.graph)))


def _operators(graph: Graph) -> Iterator[str]:
    for node in graph.nodes:
        yield node.op_type
        for inner in node.graphs:
            yield from _operators(inner)
