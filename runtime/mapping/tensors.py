"""The tensors of a .safetensors file, each read when it is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlc.grammar.diagnostics import Refusal
from dlc.runtime.mapping.errors import UnreadableTensors

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

# Element types of the format by their names, and those that hold all their values.
_WIDER = {
    "F16": ("float16", "float32", "float64"),
    "BF16": ("bfloat16", "float32", "float64"),
    "F32": ("float32", "float64"),
    "F64": ("float64",),
    "U8": ("uint8", "int32", "int64"),
    "I8": ("int8", "int32", "int64"),
    "I32": ("int32", "int64"),
    "I64": ("int64",),
    "BOOL": ("bool",),
}


@dataclass(frozen=True, slots=True)
class Stored:
    """What the file tells of a tensor before it is read. dtype: the element type's name in the format, as in F32."""

    shape: tuple[int, ...]
    dtype: str

    def fits(self, dtype: str, cast: bool) -> bool:
        """Whether it can be an element type of NumPy: without loss, or by `cast` from any float to any."""
        wider = _WIDER.get(self.dtype, ())
        return dtype in wider or (cast and bool(wider) and "float" in wider[0] and "float" in dtype)


class TensorFile:
    """An open .safetensors file. Raises Refusal where it cannot be read."""

    def __init__(self, path: Path) -> None:
        import_module("ml_dtypes")  # NumPy learns bfloat16 by it
        safetensors: Any = import_module("safetensors")  # whose types are not told
        self.path = path
        try:
            self._file: Any = safetensors.safe_open(path, "numpy")
            slices = {name: self._file.get_slice(name) for name in self._file.keys()}  # noqa: SIM118
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise Refusal(UnreadableTensors(f"{path} cannot be read: {reason}", None)) from error
        except safetensors.SafetensorError as error:
            message = f"{path} is no .safetensors file"
            raise Refusal(UnreadableTensors(message, None, notes=(str(error),))) from error
        self.stored: Mapping[str, Stored] = {
            name: Stored(tuple(part.get_shape()), part.get_dtype()) for name, part in slices.items()
        }

    def read(self, name: str) -> Array:
        """The numbers of one tensor."""
        return self._file.get_tensor(name)
