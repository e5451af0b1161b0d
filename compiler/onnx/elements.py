"""Element types as ONNX and NumPy know them; `float` is exported in single precision."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from dlc.compiler.types import DType

if TYPE_CHECKING:
    import numpy as np

# The number in ONNX (TensorProto.DataType), the type in the schemas of operators, in NumPy, and the bytes of an item.
_KNOWN = {
    DType.FLOAT: (1, "float", "float32", 4),
    DType.FLOAT64: (11, "double", "float64", 8),
    DType.FLOAT16: (10, "float16", "float16", 2),
    DType.BFLOAT16: (16, "bfloat16", "bfloat16", 2),
    DType.INT: (7, "int64", "int64", 8),
    DType.INT32: (6, "int32", "int32", 4),
    DType.INT8: (3, "int8", "int8", 1),
    DType.UINT8: (2, "uint8", "uint8", 1),
    DType.BOOL: (9, "bool", "bool", 1),
}
_BY_NUMBER = {number: dtype for dtype, (number, *_) in _KNOWN.items()}
_BY_NAME = {f"tensor({name})": dtype for dtype, (_, name, *_) in _KNOWN.items()}
_BY_NUMPY = {name: dtype for dtype, (_, _, name, _) in _KNOWN.items()}


def onnx_type(dtype: DType) -> int:
    """The number of the element type in ONNX."""
    return _KNOWN[dtype][0]


def item_size(dtype: DType) -> int:
    """How many bytes an element takes."""
    return _KNOWN[dtype][3]


@cache
def numpy_type(dtype: DType) -> np.dtype[Any]:
    """The element type in NumPy, `bfloat16` being that of ml_dtypes."""
    import numpy as np

    if dtype is DType.BFLOAT16:
        import ml_dtypes

        return np.dtype(ml_dtypes.bfloat16)
    return np.dtype(_KNOWN[dtype][2])


def from_numpy(dtype: np.dtype[Any]) -> DType | None:
    """The element type of an array, none for one that the language does not know."""
    return _BY_NUMPY.get(dtype.name)


def from_onnx(number: int) -> DType | None:
    """The element type that has this number in ONNX, none for one that the language does not know."""
    return _BY_NUMBER.get(number)


def from_schema(type: str) -> DType | None:
    """The element type that a schema calls `tensor(int64)`, none for one that the language does not know."""
    return _BY_NAME.get(type)


def schema_type(dtype: DType) -> str:
    """What schemas and kernels call the element type, `tensor(int64)`."""
    return f"tensor({_KNOWN[dtype][1]})"
