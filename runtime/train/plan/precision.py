"""The precision of products of fp32 matrices: PyTorch's `medium` may take a faster library, or may round to bf16.

Which of the two it does depends on the processor, so that it is not assumed: products of the network's own shapes are
held against float64.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

_ROWS, _LARGEST, _SHAPES = 128, 768, 4
_WORSE = 4.0  # times the error of fp32 itself, which another order of summation may cost


@contextmanager
def medium() -> Generator[None, None, None]:
    """Products of fp32 matrices as PyTorch's `medium` computes them."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def stays_accurate(instances: Iterable[nn.Module], device: torch.device) -> bool:
    """Whether products of the shapes of these modules' weights are as good under `medium` as in fp32.

    A training's three products are probed for up to four weights: forward, and both backward.
    """
    random = torch.Generator().manual_seed(0)
    for rows, columns in _shapes(instances):
        x, g, w = (torch.randn(shape, generator=random) for shape in ((_ROWS, columns), (_ROWS, rows), (rows, columns)))
        for a, b in ((x, w.T), (g, w), (g.T, x)):
            exact = a.double() @ b.double()
            at_best = _error(a.to(device), b.to(device), exact)
            with medium():
                found = _error(a.to(device), b.to(device), exact)
            if found > _WORSE * at_best:
                return False
    return True


def _shapes(instances: Iterable[nn.Module]) -> Iterator[tuple[int, int]]:
    shapes = {
        (min(weight.shape[0], _LARGEST), min(weight.shape[1], _LARGEST))
        for module in instances
        for weight in module.parameters()
        if weight.dim() == 2
    }
    yield from sorted(shapes, key=lambda shape: -shape[0] * shape[1])[:_SHAPES]


def _error(a: Tensor, b: Tensor, exact: Tensor) -> float:
    return float(((a @ b).double().cpu() - exact).abs().max() / exact.abs().max())
