"""An ONNX graph while it is being written: its nodes in order, its initialisers, the names that are taken."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from dlc.compiler.naming import Names
from dlc.compiler.onnx.elements import numpy_type
from dlc.compiler.onnx.results import attributes_of, result_types
from dlc.compiler.types import DType

if TYPE_CHECKING:
    import numpy as np
    import onnx_ir as ir


class Writer:
    """Collects nodes and initialisers.

    Nodes are added in topological order. The names of nodes and of values are two name spaces; what is added
    without a name gets one from `label`.
    """

    def __init__(self, reserved: Iterable[str]) -> None:
        self.nodes: list[ir.Node] = []
        self.initializers: list[ir.Value] = []
        self.domains: set[str] = set()
        self.value_names = Names(reserved)
        self.node_names = Names()
        self._constants: dict[tuple[DType, tuple[int, ...], bytes], ir.Value] = {}

    def add(
        self,
        kind: str,
        inputs: Iterable[ir.Value | None],
        attributes: Mapping[str, Any],
        results: int = 1,
        domain: str = "",
        name: str | None = None,
    ) -> tuple[ir.Value, ...]:
        """A node and its results, whose element types are set as far as the operator's schema tells them.

        name: what the node and its first result are called; without it they wait for `label`.
        """
        import onnx_ir as ir

        given = list(inputs)
        while given and given[-1] is None:
            given.pop()
        written = attributes_of(kind, domain, attributes)
        node = ir.Node(domain, kind, given, written, num_outputs=results)
        if domain:
            self.domains.add(domain)
        else:
            for output, type in zip(node.outputs, result_types(kind, given, written, results), strict=True):
                if type is not None:
                    output.type = ir.TensorType(type)
        if name is not None:
            node.name = self.node_names.claim(name)
            node.outputs[0].name = self.value_names.claim(name)
        self.nodes.append(node)
        return tuple(node.outputs)

    def label(self, start: int, base: str, place: str) -> None:
        """Names those nodes from the position `start` on that have no name yet, and their results.

        A node that is alone is called `base`, several are called `base/Kind`. place: the line of the spec that
        they come from, as `file:line`, stored with each.
        """
        nodes = self.nodes[start:]
        for node in nodes:
            node.metadata_props["dlc.line"] = place
        fresh = [node for node in nodes if node.name is None]
        for node in fresh:
            name = base if len(fresh) == 1 else f"{base}/{node.op_type}"
            node.name = self.node_names.claim(name)
            for output in node.outputs:
                if output.name is None:
                    output.name = self.value_names.claim(name)

    def initializer(self, name: str, array: np.ndarray[Any, Any]) -> ir.Value:
        """An array that is stored with the model, not copied."""
        import onnx_ir as ir

        tensor = ir.Tensor(array, name=name)
        value = ir.Value(name=name, type=ir.TensorType(tensor.dtype), shape=ir.Shape(array.shape), const_value=tensor)
        self.initializers.append(value)
        return value

    def constant(self, value: Any, dtype: DType) -> ir.Value:
        """A constant, one however often it is asked for."""
        import numpy as np

        array = np.ascontiguousarray(value, numpy_type(dtype)).reshape(np.shape(value))
        key = (dtype, array.shape, array.tobytes())
        if key not in self._constants:
            self._constants[key] = self.initializer(self.value_names.claim("constant"), array)
        return self._constants[key]
