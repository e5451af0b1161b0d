"""Element types as ONNX and NumPy know them; `float` is exported in single precision."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from dlc.compiler.types import DType

if TYPE_CHECKING:
    import numpy as np
    import onnx_ir as ir

_NAMES = {
    DType.FLOAT: ("FLOAT", "float32"),
    DType.FLOAT64: ("DOUBLE", "float64"),
    DType.FLOAT16: ("FLOAT16", "float16"),
    DType.BFLOAT16: ("BFLOAT16", "bfloat16"),
    DType.INT: ("INT64", "int64"),
    DType.INT32: ("INT32", "int32"),
    DType.INT8: ("INT8", "int8"),
    DType.UINT8: ("UINT8", "uint8"),
    DType.BOOL: ("BOOL", "bool"),
}


@cache
def onnx_type(dtype: DType) -> ir.DataType:
    import onnx_ir as ir

    return ir.DataType[_NAMES[dtype][0]]


@cache
def numpy_type(dtype: DType) -> np.dtype[Any]:
    """The element type in NumPy, `bfloat16` being that of ml_dtypes."""
    import numpy as np

    if dtype is DType.BFLOAT16:
        import ml_dtypes

        return np.dtype(ml_dtypes.bfloat16)
    return np.dtype(_NAMES[dtype][1])


def from_onnx(number: int) -> DType | None:
    """The element type that has this number in ONNX, none for one that the language does not know."""
    import onnx

    known = {onnx.TensorProto.DataType.Value(name): dtype for dtype, (name, _) in _NAMES.items()}
    return known.get(number)
