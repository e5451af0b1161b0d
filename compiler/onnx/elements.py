"""Element types as ONNX and NumPy know them."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from dlc.compiler.types import DType

if TYPE_CHECKING:
    import numpy as np
    import onnx_ir as ir

_NAMES = {
    DType.FLOAT: "FLOAT",
    DType.FLOAT64: "DOUBLE",
    DType.FLOAT16: "FLOAT16",
    DType.BFLOAT16: "BFLOAT16",
    DType.INT: "INT64",
    DType.INT32: "INT32",
    DType.INT8: "INT8",
    DType.UINT8: "UINT8",
    DType.BOOL: "BOOL",
}


@cache
def onnx_type(dtype: DType) -> ir.DataType:
    """The element type in ONNX; `float` is exported in single precision."""
    import onnx_ir as ir

    return ir.DataType[_NAMES[dtype]]


@cache
def numpy_type(dtype: DType) -> np.dtype[Any]:
    """The element type in NumPy (`bfloat16` is that of ml_dtypes)."""
    return onnx_type(dtype).numpy()
