"""Ints among floats are floats in every product, in PyTorch and in onnxruntime as in NumPy."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnxruntime
import pytest
import torch

from dlc.compiler.onnx.emit import emit_model
from dlc.compiler.types import DType

from .specs import emitted, graph, run

PRODUCTS: dict[str, tuple[str, Callable[..., np.ndarray]]] = {
    "i @ x": ("float[N, 3]", lambda i, x: i @ x),
    "x.T @ i.T": ("float[3, N]", lambda i, x: x.T @ i.T),
    'einsum("n k, k c -> n c", i, x)': ("float[N, 3]", lambda i, x: i @ x),
    'einsum("k c, n k, k c -> n c", x, i, x)': ("float[N, 3]", lambda i, x: i @ (x * x)),
    "dot(i[0], x[:, 0])": ("float[]", lambda i, x: i[0] @ x[:, 0]),
    "outer(x[0], i[0])": ("float[3, 2]", lambda i, x: np.outer(x[0], i[0])),
    "i @ i.T": ("int[N, N]", lambda i, x: i @ i.T),
}


@pytest.mark.parametrize("product", PRODUCTS)
def test_ints_among_floats_become_floats(product: str) -> None:
    type, expected = PRODUCTS[product]
    text = f"""
        model Net(i: int[N, 2], x: float[2, 3]) -> (y: {type}, z: float[2, 3]):
            return {product}, x + i[0, 0]
    """
    made = graph(text)
    i, x = np.array([[1, -2], [3, 0], [5, 7]]), np.arange(6, dtype=np.float32).reshape(2, 3) / 4 - 1
    due = expected(i, x)
    module = run(emitted(text))["Net"]()
    by_torch = module(torch.from_numpy(i), torch.from_numpy(x))[0]
    session = onnxruntime.InferenceSession(emit_model(made, {}).SerializeToString())
    by_onnx = session.run(None, {"i": i, "x": x})[0]
    assert made.outputs[0].type.dtype is (DType.INT if due.dtype.kind == "i" else DType.FLOAT)
    assert by_torch.dtype is (torch.int64 if due.dtype.kind == "i" else torch.float32)
    np.testing.assert_allclose(by_torch.numpy(), due, rtol=1e-6)
    np.testing.assert_allclose(by_onnx, due, rtol=1e-6)
