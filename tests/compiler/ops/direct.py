"""The lowerings of one operation without the emitters: sizes are numbers, inputs are the function's arguments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import torch
from onnx_ir.tape import Tape

from dlc.compiler.dim import Dim, Symbol
from dlc.compiler.torch.context import Code, TorchContext
from dlc.compiler.types import DType, Scalar, Tensor

from .examples import Case, numpy_dtype

Array = np.ndarray[Any, Any]


class DirectTorch(torch.nn.Module):
    def __init__(self, case: Case, binding: Mapping[Symbol, int]) -> None:
        super().__init__()
        operands: list[Any] = []
        self._names: list[str] = []
        floats: list[str] = []
        for operand in case.inputs:
            if isinstance(operand, Tensor):
                name = f"x{len(self._names)}"
                self._names.append(name)
                floats += [name] if operand.dtype.is_float else []
                operands.append(Code(name))
            elif isinstance(operand, Scalar):
                operands.append(Code(str(operand.value)))
            else:
                operands.append(operand)
        t = TorchContext(
            case.inputs,
            case.gives,
            module=f"self.{case.op.name}",
            sizes=lambda dim: Code(str(dim.evaluate(binding))),
            anchor=self._names[0] if self._names else None,
            float_anchor=floats[0] if floats else None,
        )
        self._scope: dict[str, Any] = {"torch": torch, "nn": torch.nn, "F": torch.nn.functional}
        if case.op.weights(*case.inputs) or case.op.stateful:
            setattr(self, case.op.name, eval(case.op.torch_module(t, *operands), self._scope))
        self.code = case.op.torch(t, *operands)
        for statement in [*t.imports, *t.functions.values()]:
            exec(statement, self._scope)

    def forward(self, *inputs: torch.Tensor) -> Any:
        return eval(self.code, self._scope | dict(zip(self._names, inputs, strict=True)) | {"self": self})


class DirectOnnx:
    def __init__(self, case: Case, binding: Mapping[Symbol, int], weights: Mapping[str, Array]) -> None:
        self.inputs = case.inputs
        self.outputs = case.gives
        self.tape = Tape()
        self._binding = binding
        self._weights = weights
        self._dtypes: dict[int, DType] = {}
        self._count = 0

    def op(self, kind: str, *inputs: Any, domain: str = "", **attributes: Any) -> Any:
        return self.multi(kind, *inputs, results=1, domain=domain, **attributes)[0]

    def multi(self, kind: str, *inputs: Any, results: int, domain: str = "", **attributes: Any) -> tuple[Any, ...]:
        given = {name: value for name, value in attributes.items() if value is not None}
        return tuple(self.tape.op_multi_out(kind, inputs, given, num_outputs=results, domain=domain))

    def weight(self, name: str) -> Any:
        value = next(value for path, value in self._weights.items() if path.rpartition(".")[2] == name)
        return self._initializer(value)

    def tensor(self, operand: Any, dtype: DType) -> Any:
        if isinstance(operand, Scalar):
            value = operand.value
            return self.constant(value.evaluate(self._binding) if isinstance(value, Dim) else value, dtype)
        return self.cast(operand, dtype)

    def constant(self, value: Any, dtype: DType) -> Any:
        constant = self._initializer(np.asarray(value, numpy_dtype(dtype)))
        self._dtypes[id(constant)] = dtype
        return constant

    def ints(self, values: Sequence[int]) -> Any:
        return self.constant(list(values), DType.INT)

    def size(self, dim: Dim) -> Any:
        return self.constant(dim.evaluate(self._binding), DType.INT)

    def sizes(self, dims: Sequence[Dim]) -> Any:
        return self.ints([dim.evaluate(self._binding) for dim in dims])

    def cast(self, value: Any, dtype: DType) -> Any:
        if self._dtypes.get(id(value)) is dtype:
            return value
        to = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(numpy_dtype(dtype)))
        return self.op("Cast", value, to=to)

    def declare(self, value: Any, dtype: DType) -> None:
        self._dtypes[id(value)] = dtype

    def _initializer(self, array: Array) -> Any:
        self._count += 1
        return self.tape.initializer(ir.tensor(array, name=f"constant_{self._count}"))


def direct_onnx(case: Case, binding: Mapping[Symbol, int], weights: Mapping[str, Array]) -> onnx.ModelProto:
    g = DirectOnnx(case, binding, weights)
    inputs: list[Any] = []
    operands: list[Any] = []
    names = list(case.graph().inputs)
    for operand in case.inputs:
        if isinstance(operand, Tensor):
            value = _value(names[len(inputs)], operand, binding)
            g.declare(value, operand.dtype)
            inputs.append(value)
            operands.append(value)
        else:
            operands.append(operand)
    results = case.op.onnx(g, *operands)
    results = results if isinstance(results, tuple) else (results,)
    outputs: list[Any] = []
    for place, (result, type) in enumerate(zip(results, case.gives, strict=True)):
        output = g.op("Identity", result)
        output.name = f"output_{place}"
        described = _value(output.name, type, binding)
        output.dtype, output.shape = described.dtype, described.shape
        outputs.append(output)
    graph = ir.Graph(
        inputs, outputs, nodes=g.tape.nodes, initializers=g.tape.initializers, opset_imports={"": 23}, name="example"
    )
    return ir.to_proto(ir.Model(graph, ir_version=10))


def _value(name: str, type: Tensor, binding: Mapping[Symbol, int]) -> Any:
    shape = ir.Shape([size.evaluate(binding) for size in type.shape])
    kind = ir.TensorType(ir.DataType.from_numpy(np.dtype(numpy_dtype(type.dtype))))
    return ir.Value(name=name, type=kind, shape=shape)
