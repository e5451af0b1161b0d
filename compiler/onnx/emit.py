"""A graph as an ONNX model, written node by node from the operations' own lowerings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dlc.compiler.calls import every_node
from dlc.compiler.dim import Dim, Symbol
from dlc.compiler.flow.apart import counted_apart
from dlc.compiler.graph import Assign, Check, Functional, Gradient, Graph, Node, ReadModel, weights_of
from dlc.compiler.naming import Names
from dlc.compiler.onnx import metadata
from dlc.compiler.onnx.errors import NoGradients, NoOnnxOperator
from dlc.compiler.onnx.initializers import Initializers
from dlc.compiler.onnx.model import Graph as OnnxGraph
from dlc.compiler.onnx.model import Model, Value
from dlc.compiler.onnx.nodes import Lowering
from dlc.compiler.onnx.opset import NEWEST, OPSET, ir_version, opset_for
from dlc.compiler.onnx.rewriting import used
from dlc.compiler.onnx.save import save_model
from dlc.compiler.onnx.sizes import Sizes
from dlc.compiler.onnx.skips import keep_apart
from dlc.compiler.onnx.wire import encode
from dlc.compiler.onnx.writer import Writer
from dlc.compiler.op import Op
from dlc.compiler.ops.recurrent import Recurrent
from dlc.compiler.passes import export, run
from dlc.grammar.diagnostics import Refusal

if TYPE_CHECKING:
    import numpy as np
    import onnx

__all__ = ["build_model", "emit_model", "save_model"]


def emit_model(graph: Graph, weights: Mapping[str, np.ndarray[Any, Any]]) -> onnx.ModelProto:
    """The model as a protobuf message, for what fits in one (2 GiB). See `build_model`."""
    import onnx

    return onnx.ModelProto.FromString(encode(build_model(graph, weights)))


def build_model(graph: Graph, weights: Mapping[str, np.ndarray[Any, Any]], newest: int = NEWEST) -> Model:
    """The model of a graph, with `weights` by their paths, whose arrays are asked for when they are written.

    The graph is flat. Inputs, outputs and initialisers have the spec's names, symbolic sizes are `dim_param`s, and
    each node tells the line that it comes from. Equal graphs and weights give the same bytes. newest: the newest opset
    whose operators may be used, for runtimes that do not know later ones, from 21 on. Raises Refusal
    where an operation has no lowering, a size cannot be computed from the inputs' shapes, or a weight is missing or
    does not fit.
    """
    flat = run(export(newest), graph)
    examples = None if any(map(_draws, every_node(flat))) else counted_apart(graph, flat.checks)
    return _Emitter(flat, weights, examples, newest).model()


class _Emitter:
    def __init__(
        self, graph: Graph, weights: Mapping[str, np.ndarray[Any, Any]], examples: Symbol | None, newest: int
    ) -> None:
        graph = replace(graph, checks=[*graph.checks, *_filled(graph)])
        declared = dict(weights_of({**graph.modules, **graph.borrowed}))
        self._graph, self._examples = graph, examples
        self._symbols = _SymbolNames()
        self._writer = Writer((*graph.inputs, *graph.output_names, *declared))
        inputs = [(Value(name), value) for name, value in graph.inputs.items()]
        self._inputs = [value for value, _ in inputs]
        self._sizes = Sizes(self._writer, [(given, value.type) for given, value in inputs], self._symbols)
        initializers = Initializers(self._writer, declared, weights, self._symbols)
        usable = OPSET if any(_draws(node) for node in every_node(graph)) else newest
        self._lowering = Lowering(self._sizes, initializers, self._symbols, usable)
        for given, value in inputs:
            self._lowering.enter(given, value)

    def model(self) -> Model:
        graph = self._graph
        _refuse_unwritable(graph)
        self._refuse_unknown_checks()
        self._lowering.run(graph.nodes, self._writer)
        if self._lowering.diagnostics:
            raise Refusal(*self._lowering.diagnostics)
        outputs = list(self._outputs())
        nodes, _ = used(self._writer.nodes, outputs)
        body = OnnxGraph(graph.name, self._inputs, outputs, nodes, self._writer.initializers, graph.doc)
        if keep_apart(body):
            self._writer.kinds.add("Sum")
        opset = opset_for(self._writer.kinds)
        return Model(
            body,
            ir_version(opset),
            {"": opset, **dict.fromkeys(sorted(self._writer.domains), 1)},
            metadata.PRODUCER,
            metadata.producer_version(),
            metadata.describe(graph, self._symbols, self._examples),
        )

    def _refuse_unknown_checks(self) -> None:
        for check in self._graph.checks:
            for symbol in sorted(check.left.symbols() | check.right.symbols(), key=lambda symbol: symbol.key):
                if not self._sizes.knows(symbol):
                    self._lowering.open(check.span, symbol)

    def _outputs(self) -> Iterator[Value]:
        """The results under the names of the outputs; what cannot take on that name is passed through a node."""
        taken: set[int] = set()
        for output, name in zip(self._graph.outputs, self._graph.output_names, strict=True):
            value = self._lowering.values[output]
            if value.node is None or id(value) in taken:
                start = len(self._writer.nodes)
                (value,) = self._writer.add("Identity", (value,), {})
                self._writer.label(start, name, metadata.place(output.span))
            taken.add(id(value))
            value.name = name
            self._lowering.describe(value, output.type)
            yield value


def _filled(graph: Graph) -> Iterator[Check]:
    """That sequences are not empty which recurrent layers run over: onnxruntime's end the process at one that is."""
    known = {symbol for value in graph.inputs.values() for size in value.type.shape for symbol in size.symbols()}
    for node in every_node(graph):
        if isinstance(node.action, Recurrent):
            x = next(iter(node.values))
            for size in x.type.shape[:2]:
                if size.less(1) is not False and size.symbols() <= known:
                    message = f"onnxruntime's `{node.action.name}` takes no empty sequence"
                    yield Check(size, ">=", Dim.of(1), message, node.span)


def _refuse_unwritable(graph: Graph) -> None:
    refused = [
        NoOnnxOperator(f"`{node.action.name}` cannot be exported to ONNX", node.span, label=node.action.no_onnx)
        for node in every_node(graph)
        if isinstance(node.action, Op) and node.action.no_onnx is not None
    ]
    trained = [
        NoGradients("gradients are not taken in ONNX", node.span, help="`dlc call` runs the procedure in PyTorch")
        for node in every_node(graph)
        if isinstance(node.action, Gradient | Assign | ReadModel | Functional)
    ]
    if refused or trained:
        raise Refusal(*refused, *trained[:1])


def _draws(node: Node) -> bool:
    return isinstance(node.action, Op) and node.action.random


class _SymbolNames:
    """The text for each symbol, in the order in which they are met: two of the same name are told apart."""

    def __init__(self) -> None:
        self._names = Names()
        self._known: dict[Symbol, str] = {}

    def __call__(self, symbol: Symbol) -> str:
        if symbol not in self._known:
            self._known[symbol] = self._names.claim(symbol.name)
        return self._known[symbol]
