"""The form of attention: PyTorch's fused kernel, or the products and the softmax that it stands for.

The emitted text calls `F.scaled_dot_product_attention`; here another function takes that place in its module.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import cache
from types import ModuleType
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from dlc.runtime.train.plan.text import called
from dlc.runtime.train.task import Task

_NAME = "scaled_dot_product_attention"

Attention = Callable[..., Tensor]


def written_out(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """`F.scaled_dot_product_attention`, as the operations that its documentation defines it by."""
    if enable_gqa:
        shares = query.shape[-3] // key.shape[-3]
        key, value = key.repeat_interleave(shares, -3), value.repeat_interleave(shares, -3)
    factor = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    scores = (query * factor) @ key.transpose(-2, -1)
    if is_causal:
        ahead = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).triu(1)
        scores = scores.masked_fill(ahead, -math.inf)
    if attn_mask is not None:
        scores = scores.masked_fill(~attn_mask, -math.inf) if attn_mask.dtype is torch.bool else scores + attn_mask
    if attn_mask is None:
        weights = scores.softmax(-1)
    else:  # a query that may see nothing gets nothing, and a gradient of nothing
        blind = (scores == -math.inf).all(-1, keepdim=True)
        weights = scores.masked_fill(blind, 0.0).softmax(-1).masked_fill(blind, 0.0)
    return functional.dropout(weights, dropout_p, training=dropout_p > 0) @ value


def at_highest(*operands: Any, **options: Any) -> Tensor:
    """`F.scaled_dot_product_attention`, forward and backward, with products of matrices at PyTorch's `highest`.

    The fused kernel calls products of small blocks: for these, what `medium` chooses costs more than it gains.
    """
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        result = functional.scaled_dot_product_attention(*operands, **options)
    finally:
        torch.set_float32_matmul_precision(before)
    node: Any = result.grad_fn
    if node is not None:
        node.register_prehook(_set("highest"))
        node.register_hook(_set(before))
    return result


def _set(precision: str) -> Callable[..., None]:
    """Called by autograd before or behind a node, with gradients that it leaves as they are."""

    def call(*gradients: Any) -> None:
        torch.set_float32_matmul_precision(precision)

    return call


@contextmanager
def replaced(task: Task, attention: Attention) -> Generator[None, None, None]:
    """The task with another form of attention."""
    changed = _functions(attention)
    spaces = [space for space in task.namespaces() if "F" in space]
    before = [space["F"] for space in spaces]
    for space in spaces:
        space["F"] = changed
    try:
        yield
    finally:
        for space, was in zip(spaces, before, strict=True):
            space["F"] = was


@cache
def _functions(attention: Attention) -> ModuleType:
    """`torch.nn.functional` with another attention: one module for each, as compiled code holds for that very one."""
    changed = ModuleType("F")
    changed.__dict__.update(functional.__dict__)
    changed.__dict__[_NAME] = attention
    return changed


def attends(task: Task) -> bool:
    """Whether the emitted text has attention in it."""
    return _NAME in called(task)
