"""The nodes of a flat graph in ONNX: operations by their own lowerings, loops with their bodies."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from dlc.compiler.dim import Symbol
from dlc.compiler.graph import Loop, ModelRef, Node, ReadWeight, Value
from dlc.compiler.onnx import loops, metadata
from dlc.compiler.onnx import model as onnx
from dlc.compiler.onnx.errors import OpenSize
from dlc.compiler.onnx.initializers import Initializers
from dlc.compiler.onnx.lowering import NodeContext
from dlc.compiler.onnx.sizes import Sizes, UnknownSize
from dlc.compiler.onnx.writer import Writer
from dlc.compiler.op import Op
from dlc.compiler.types import Tensor
from dlc.grammar.diagnostics import Diagnostic
from dlc.grammar.source import Span


class Lowering:
    """What the graph and the bodies of its loops share while their nodes are written.

    Sizes are computed in the graph itself, also for the bodies. diagnostics: what cannot be written, found on the
    way. symbol: the text for a symbol. newest: the newest opset that the model may be written in.
    """

    def __init__(self, sizes: Sizes, weights: Initializers, symbol: Callable[[Symbol], str], newest: int) -> None:
        self.values: dict[Value, onnx.Value] = {}
        self.diagnostics: list[Diagnostic] = []
        self._sizes = sizes
        self._weights = weights
        self._symbol = symbol
        self._newest = newest

    def run(self, nodes: Iterable[Node], writer: Writer) -> None:
        """Writes the nodes in their order."""
        for node in nodes:
            self._node(node, writer)

    def enter(self, given: onnx.Value, value: Value) -> onnx.Value:
        """Makes an input of the graph, or of a loop's body, known as that value."""
        self.values[value] = given
        self.describe(given, value.type)
        return given

    def describe(self, value: onnx.Value, type: Tensor) -> None:
        """Declares the element type and the shape of a value."""
        value.dtype = type.dtype
        value.shape = tuple(int(size) if size.is_constant else size.render(self._symbol) for size in type.shape)

    def open(self, span: Span, symbol: Symbol) -> None:
        """Notes that a size is needed which the inputs do not tell."""
        self.diagnostics.append(
            OpenSize(
                f"the inputs do not tell `{symbol.name}` when the model runs",
                span,
                label=f"`{symbol.name}` is needed here",
                help=f"give it a value, as in `--set {symbol.name}=8`",
            )
        )

    def _node(self, node: Node, writer: Writer) -> None:
        start = len(writer.nodes)
        base = node.module if node.module is not None else str(node.outputs[0].name)
        try:
            results = self._lower(node, writer, base)
        except UnknownSize as unknown:
            self.open(node.span, unknown.symbol)
            results = tuple(onnx.Value() for _ in node.outputs)
        for output, result in zip(node.outputs, results, strict=True):
            self._settle(node, output, result, writer, start)
            self.values[output] = result
        writer.label(start, base, metadata.place(node.span), node.scope)

    def _lower(self, node: Node, writer: Writer, name: str) -> tuple[onnx.Value, ...]:
        match node.action:
            case Op() as op:
                context = NodeContext(
                    writer,
                    self._sizes,
                    node.operand_types,
                    tuple(output.type for output in node.outputs),
                    lambda part: self._weights.weight(f"{node.module}.{part}"),
                    name,
                    self._newest,
                )
                results = op.onnx(context, *map(self._operand, node.inputs))
                return results if isinstance(results, tuple) else (results,)
            case ReadWeight():
                assert node.module is not None
                return (self._weights.weight(node.module),)
            case Loop() as loop:
                return loops.write(self, self._sizes, writer, node, loop, name)
            case _:
                raise TypeError("calls are inlined before a graph is emitted")

    def _operand(self, operand: Any) -> Any:
        """A tensor as its value, a model as the values of its learned weights; the rest stays."""
        match operand:
            case Value():
                return self.values[operand]
            case ModelRef(path=path):
                return tuple(self._weights.learned(path))
            case _:
                return operand

    def _settle(self, node: Node, output: Value, result: onnx.Value, writer: Writer, start: int) -> None:
        """Names and describes a result, unless the operation gave back something that was there before."""
        if result.dtype is not None and result.dtype is not output.type.dtype:
            given, due = result.dtype.value, output.type.dtype.value
            raise TypeError(f"{metadata.place(node.span)}: {node.action!r} lowers to {given}, not {due}")
        if result.name is None and result.node in writer.nodes[start:]:
            result.name = writer.value_names.claim(str(output.name))
            self.describe(result, output.type)
