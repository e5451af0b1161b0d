"""Batch normalisation by the statistics of the whole batch, of which each process has its part.

PyTorch's SyncBatchNorm is for GPUs alone, and takes the variance from sums of squares; here it is that of the centred
values, in two rounds, so that the result is that of one process but for rounding.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn

from dlc.runtime.train.normalisation import batch_norms
from dlc.runtime.train.several.team import Several


class _Sum(torch.autograd.Function):
    """The sum over all processes. As each one's loss is a part of the whole, its gradient is the sum of theirs."""

    @staticmethod
    def forward(ctx: Any, team: Several, value: Tensor) -> Tensor:
        ctx.team = team
        return team.sum_of(value)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        return None, _sum(ctx.team, gradients[0])


def synchronise(instances: Mapping[str, nn.Module], team: Several) -> None:
    """Has the batch norms of these modules normalise by the whole batch while they are trained."""
    for norm in batch_norms(instances):
        norm.forward = MethodType(_forward(team, norm.forward), norm)


def _forward(team: Several, own: Any) -> Any:
    def forward(norm: Any, x: Tensor) -> Tensor:
        return _normalised(norm, x, team) if norm.training else own(x)

    return forward


def _normalised(norm: Any, x: Tensor, team: Several) -> Tensor:
    share = team.now
    counts = float(not share.idle)
    axes = [axis for axis in range(x.dim()) if axis != 1]
    shape = [1, -1, *[1] * (x.dim() - 2)]
    wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
    number = share.count * (x.numel() // x.shape[1] // (share.stop - share.start))
    mean = _sum(team, wide.sum(axes) * counts) / number
    centred = wide - mean.view(shape)
    variance = _sum(team, centred.square().sum(axes) * counts) / number
    with torch.no_grad():
        norm.num_batches_tracked.add_(1)
        factor = norm.momentum if norm.momentum is not None else 1 / float(norm.num_batches_tracked)
        norm.running_mean.lerp_(mean.detach().to(norm.running_mean.dtype), factor)
        norm.running_var.lerp_((variance.detach() * (number / (number - 1))).to(norm.running_var.dtype), factor)
    scale = torch.rsqrt(variance + norm.eps)
    if norm.affine:
        return (centred * (scale * norm.weight).view(shape) + norm.bias.view(shape)).to(x.dtype)
    return (centred * scale.view(shape)).to(x.dtype)


def _sum(team: Several, value: Tensor) -> Tensor:
    untyped: Any = _Sum
    return untyped.apply(team, value)
