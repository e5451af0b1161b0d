"""Noise for models whose draws are inputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dlc.compiler.onnx.elements import numpy_type
from dlc.compiler.types import DType

Array = np.ndarray[Any, Any]


def draw_noise(random: np.random.Generator, distribution: str, dtype: DType, shape: Sequence[int]) -> Array:
    """Independent numbers: standard `normal`, or `uniform` from 0 to below 1."""
    due = np.dtype(numpy_type(dtype))
    precise: Any = due if due.itemsize > 2 else np.float32  # what the generator makes
    if distribution == "normal":
        return np.asarray(random.standard_normal(shape, precise), due)
    return np.minimum(np.asarray(random.random(shape, precise), due), np.nextafter(due.type(1), due.type(0)))
