"""Adam's kernel called directly makes the very steps of PyTorch's optimiser."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils._pytree import tree_map

from dlc.runtime.train.kernel import OneKernel

MAKERS: dict[str, Callable[..., torch.optim.Optimizer]] = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}


def both(maker: Callable[..., torch.optim.Optimizer]) -> list[tuple[list[nn.Parameter], torch.optim.Optimizer]]:
    made: list[tuple[list[nn.Parameter], torch.optim.Optimizer]] = []
    for _ in range(2):
        torch.manual_seed(0)
        weights = [nn.Parameter(torch.randn(shape)) for shape in ((7, 5), (5,), (3,))]
        groups = [{"params": weights[:2], "factor": 1.0}, {"params": weights[2:], "lr": 0.5, "factor": 2.0}]
        made.append((weights, maker(groups, lr=0.1, weight_decay=0.3, betas=(0.8, 0.9), fused=True)))
    return made


def grant(weights: Sequence[nn.Parameter], seed: int, present: Sequence[bool]) -> None:
    torch.manual_seed(seed)
    for weight, is_there in zip(weights, present, strict=True):
        drawn = torch.randn_like(weight)
        weight.grad = drawn if is_there else None


@pytest.mark.parametrize("maker", MAKERS.values(), ids=MAKERS)
def test_the_steps_are_pytorchs_to_the_last_bit(maker: Callable[..., torch.optim.Optimizer]) -> None:
    (ours, optimizer), (theirs, reference) = both(maker)
    assert OneKernel.runs(optimizer)
    kernel = OneKernel(optimizer)
    there = [[True, True, True]] * 3 + [[True, False, True], [True, True, False], [False, False, False], [True] * 3]
    for seed, present in enumerate(there):
        for group, same in zip(optimizer.param_groups, reference.param_groups, strict=True):
            group["lr"] = same["lr"] = 0.1 / (seed + 1) * group["factor"]
        grant(ours, seed, present)
        grant(theirs, seed, present)
        kernel.step()
        reference.step()
        for one, other in zip(ours, theirs, strict=True):
            assert torch.equal(one, other)
    assert str(optimizer.state_dict()) == str(reference.state_dict())


def test_what_was_read_back_is_gone_on_with() -> None:
    (ours, optimizer), (theirs, reference) = both(torch.optim.AdamW)
    kernel = OneKernel(optimizer)
    start: Any = None

    def copied(tree: Any) -> Any:
        return tree_map(lambda leaf: leaf.clone() if isinstance(leaf, torch.Tensor) else leaf, tree)

    for seed in range(4):
        grant(ours, seed, [True] * 3)
        kernel.step()
        if seed == 1:
            start = copied((optimizer.state_dict(), [weight.detach() for weight in ours]))
    state, values = start
    optimizer.load_state_dict(copied(state))
    kernel.forget()
    reference.load_state_dict(copied(state))
    with torch.no_grad():
        for one, other, value in zip(ours, theirs, values, strict=True):
            one.copy_(value)
            other.copy_(value)
    for seed in range(3):
        grant(ours, seed, [True] * 3)
        grant(theirs, seed, [True] * 3)
        kernel.step()
        reference.step()
    for one, other in zip(ours, theirs, strict=True):
        assert torch.equal(one, other)


def test_other_optimisers_take_their_own_steps() -> None:
    weights = [nn.Parameter(torch.randn(3))]
    assert not OneKernel.runs(torch.optim.AdamW(weights))
    assert not OneKernel.runs(torch.optim.SGD(weights, fused=True))
    assert not OneKernel.runs(torch.optim.Adam(weights, fused=True, amsgrad=True))
    mixed = [*weights, nn.Parameter(torch.randn(3, dtype=torch.float64))]
    assert not OneKernel.runs(torch.optim.Adam(mixed, fused=True))
