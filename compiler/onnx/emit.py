"""A graph as an ONNX model, written node by node from the operations' own lowerings."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlc.compiler.dim import Dim, Symbol
from dlc.compiler.graph import Graph, Loop, ModelRef, Node, ReadWeight, Value, weights_of
from dlc.compiler.naming import Names
from dlc.compiler.onnx import metadata
from dlc.compiler.onnx.elements import numpy_type, onnx_type
from dlc.compiler.onnx.errors import NoOnnxOperator, OpenSize, WeightMismatch
from dlc.compiler.onnx.lowering import NodeContext
from dlc.compiler.onnx.results import OPSET
from dlc.compiler.onnx.sizes import Sizes, UnknownSize
from dlc.compiler.onnx.writer import Writer
from dlc.compiler.op import Op, Weight
from dlc.compiler.passes import EXPORT, run
from dlc.compiler.types import Tensor
from dlc.grammar.diagnostics import Diagnostic, Refusal
from dlc.grammar.source import Span

if TYPE_CHECKING:
    import numpy as np
    import onnx
    import onnx_ir as ir

IR_VERSION = 10  # that of the opset's first release
_MAX_FILE = 2**31 - 2**24  # a protobuf message ends at 2 GiB; what is not weights fits in the rest


def emit_model(graph: Graph, weights: Mapping[str, np.ndarray[Any, Any]]) -> onnx.ModelProto:
    """The model as a protobuf message, for what fits in one (2 GiB). See `build_model`."""
    import onnx_ir as ir

    return ir.to_proto(build_model(graph, weights))


def build_model(graph: Graph, weights: Mapping[str, np.ndarray[Any, Any]]) -> ir.Model:
    """The model of a graph, with `weights` by their paths; arrays are referred to, not copied.

    The graph is flat. Inputs, outputs and initialisers have the spec's names, symbolic sizes are `dim_param`s, and
    each node tells the line that it comes from. Equal graphs and weights give the same bytes. Raises Refusal
    where an operation has no lowering, a size cannot be computed from the inputs' shapes, or a weight is missing or
    does not fit.
    """
    return _Emitter(run(EXPORT, graph), weights).model()


def save_model(model: ir.Model, path: Path) -> None:
    """Writes the model at once or not at all; weights that exceed a file's limit go to `<name>.data` beside it."""
    import onnx_ir as ir

    size = sum(value.const_value.nbytes for value in model.graph.initializers.values() if value.const_value)
    written = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        external = f"{path.name}.data" if size > _MAX_FILE else None
        ir.save(model, written, external_data=external)  # pyright: ignore[reportUnknownMemberType] (a bare PathLike)
        written.replace(path)
    finally:
        written.unlink(missing_ok=True)


class _Emitter:
    def __init__(self, graph: Graph, weights: Mapping[str, np.ndarray[Any, Any]]) -> None:
        import onnx_ir as ir

        self._graph = graph
        self._arrays = weights
        self._declared: dict[str, Weight] = dict(weights_of({**graph.modules, **graph.borrowed}))
        self._symbols = _SymbolNames()
        self._paths: dict[str, ir.Value] = {}
        self._values: dict[Value, ir.Value] = {}
        self._diagnostics: list[Diagnostic] = []
        self._writer = Writer((*graph.inputs, *graph.output_names, *self._declared))
        self._inputs: list[ir.Value] = []
        for name, value in graph.inputs.items():
            self._inputs.append(ir.Value(name=name))
            self._values[value] = self._inputs[-1]
            self._describe(self._inputs[-1], value.type)
        types = [value.type for value in graph.inputs.values()]
        self._sizes = Sizes(self._writer, list(zip(self._inputs, types, strict=True)), self._symbols)

    def model(self) -> ir.Model:
        import onnx_ir as ir

        graph = self._graph
        self._refuse_unwritable()
        self._refuse_unknown_checks()
        for node in graph.nodes:
            self._node(node)
        if self._diagnostics:
            raise Refusal(*self._diagnostics)
        outputs = list(self._outputs())
        body = ir.Graph(
            self._inputs,
            outputs,
            nodes=self._writer.nodes,
            initializers=self._writer.initializers,
            doc_string=graph.doc or None,
            opset_imports={"": OPSET, **dict.fromkeys(sorted(self._writer.domains), 1)},
            name=graph.name,
        )
        return ir.Model(
            body,
            ir_version=IR_VERSION,
            producer_name=metadata.PRODUCER,
            producer_version=metadata.producer_version(),
            metadata_props=metadata.describe(graph, self._symbols),
        )

    def _refuse_unwritable(self) -> None:
        for node in self._graph.nodes:
            if isinstance(node.action, Loop):
                self._diagnostics.append(NoOnnxOperator("loops at run time are not exported to ONNX", node.span))
            elif isinstance(node.action, Op) and node.action.no_onnx is not None:
                self._diagnostics.append(
                    NoOnnxOperator(
                        f"`{node.action.name}` cannot be exported to ONNX", node.span, label=node.action.no_onnx
                    )
                )
        if self._diagnostics:
            raise Refusal(*self._diagnostics)

    def _refuse_unknown_checks(self) -> None:
        for check in self._graph.checks:
            for symbol in sorted(check.left.symbols() | check.right.symbols(), key=lambda symbol: symbol.key):
                if not self._sizes.knows(symbol):
                    self._open(check.span, symbol)

    def _node(self, node: Node) -> None:
        import onnx_ir as ir

        start = len(self._writer.nodes)
        try:
            results = self._lower(node)
        except UnknownSize as unknown:
            self._open(node.span, unknown.symbol)
            results = tuple(ir.Value() for _ in node.outputs)
        for output, result in zip(node.outputs, results, strict=True):
            self._settle(node, output, result, start)
            self._values[output] = result
        base = node.module if node.module is not None else str(node.outputs[0].name)
        self._writer.label(start, base, metadata.place(node.span))

    def _lower(self, node: Node) -> tuple[ir.Value, ...]:
        match node.action:
            case Op() as op:
                context = NodeContext(
                    self._writer,
                    self._sizes,
                    node.operand_types,
                    tuple(output.type for output in node.outputs),
                    lambda name: self._weight(f"{node.module}.{name}"),
                )
                results = op.onnx(context, *map(self._operand, node.inputs))
                return results if isinstance(results, tuple) else (results,)
            case ReadWeight():
                assert node.module is not None
                return (self._weight(node.module),)
            case _:
                raise TypeError("calls are inlined before a graph is emitted")

    def _operand(self, operand: Any) -> Any:
        """A tensor as its value, a model as the values of its learned weights; the rest stays."""
        match operand:
            case Value():
                return self._values[operand]
            case ModelRef(path=path):
                return tuple(self._learned(path))
            case _:
                return operand

    def _learned(self, module: str) -> Iterator[ir.Value]:
        for path, weight in self._declared.items():
            if weight.trainable and (path == module or path.startswith(f"{module}.")):
                yield self._weight(path)

    def _weight(self, path: str) -> ir.Value:
        if path not in self._paths:
            self._paths[path] = self._writer.initializer(path, self._array(path))
        return self._paths[path]

    def _array(self, path: str) -> np.ndarray[Any, Any]:
        weight = self._declared[path]
        if path not in self._arrays:
            raise Refusal(WeightMismatch(f"the weights hold no `{path}`", None))
        array = self._arrays[path]
        due = numpy_type(weight.dtype)
        shape = f"[{', '.join(size.render(self._symbols) for size in weight.shape)}]"
        if len(array.shape) != len(weight.shape) or any(map(_differ, array.shape, weight.shape)):
            raise Refusal(WeightMismatch(f"the weight `{path}` is {list(array.shape)}, and {shape} is due", None))
        if array.dtype != due:
            raise Refusal(WeightMismatch(f"the weight `{path}` is {array.dtype}, and {due} is due", None))
        return array

    def _settle(self, node: Node, output: Value, result: ir.Value, start: int) -> None:
        """Names and describes a result, unless the operation gave back something that was there before."""
        if result.dtype is not None and result.dtype != onnx_type(output.type.dtype):
            raise TypeError(
                f"{metadata.place(node.span)}: {node.action!r} lowers to {result.dtype}, not {output.type.dtype.value}"
            )
        if result.name is None and result.producer() in self._writer.nodes[start:]:
            result.name = self._writer.value_names.claim(str(output.name))
            self._describe(result, output.type)

    def _outputs(self) -> Iterator[ir.Value]:
        """The results under the names of the outputs; what cannot take on that name is passed through a node."""
        taken: set[int] = set()
        for output, name in zip(self._graph.outputs, self._graph.output_names, strict=True):
            value = self._values[output]
            if value.producer() is None or id(value) in taken:
                start = len(self._writer.nodes)
                (value,) = self._writer.add("Identity", (value,), {})
                self._writer.label(start, name, metadata.place(output.span))
            taken.add(id(value))
            value.name = name
            self._describe(value, output.type)
            yield value

    def _describe(self, value: ir.Value, type: Tensor) -> None:
        import onnx_ir as ir

        value.type = ir.TensorType(onnx_type(type.dtype))
        value.shape = ir.Shape([int(size) if size.is_constant else size.render(self._symbols) for size in type.shape])

    def _open(self, span: Span, symbol: Symbol) -> None:
        self._diagnostics.append(
            OpenSize(
                f"the inputs do not tell `{symbol.name}` when the model runs",
                span,
                label=f"`{symbol.name}` is needed here",
                help=f"give it a value, as in `--set {symbol.name}=8`",
            )
        )


class _SymbolNames:
    """The text for each symbol, in the order in which they are met: two of the same name are told apart."""

    def __init__(self) -> None:
        self._names = Names()
        self._known: dict[Symbol, str] = {}

    def __call__(self, symbol: Symbol) -> str:
        if symbol not in self._known:
            self._known[symbol] = self._names.claim(symbol.name)
        return self._known[symbol]


def _differ(size: int, due: Dim) -> bool:
    return due.is_constant and size != int(due)
