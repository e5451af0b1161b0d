"""Random draws of one process that are its part of those that one process would make for the whole batch.

Every process draws for all examples and keeps what belongs to its own, so that the generators of all stay where one
process's would be, and a mask or a noise is the same however many processes there are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode

from dlc.compiler.elaborate.values import is_sequence
from dlc.runtime.train.several.team import Several

_FACTORIES = frozenset({"randn", "rand", "randint", "normal"})


class _Whole(TorchDispatchMode):
    """Operations that draw do so for the whole batch. axis: along which the examples lie."""

    def __init__(self, team: Several, axis: int) -> None:
        super().__init__()  # pyright: ignore[reportUnknownMemberType]
        share = team.now
        self._axis = axis
        self._own = share.stop - share.start
        self._share = share

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        named = dict(kwargs or {})
        if torch.Tag.nondeterministic_seeded not in func.tags or self._share.count == self._own:
            return func(*args, **named)
        name = func.overloadpacket.__name__
        if name == "multinomial" and args[0].dim() == 1:  # as many numbers as there are examples, by the same weights
            return self._part(func(args[0], *self._size([args[1]]), *args[2:], **named))
        given: list[Any] = [self._embedded(each) if isinstance(each, Tensor) else each for each in args]
        if name in _FACTORIES and not isinstance(args[0], Tensor):
            given = [self._size(each) if is_sequence(each) else each for each in args]
        elif not isinstance(args[0], Tensor):
            raise NotImplementedError(f"{name} cannot be drawn for a batch of which several processes have their parts")
        found = func(*given, **named)
        if name.endswith("_"):
            return args[0].copy_(self._part(given[0]))
        return tuple(map(self._part, found)) if isinstance(found, tuple) else self._part(found)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]

    def _per(self, size: int) -> int:
        """How many positions along the axis an example has."""
        per, rest = divmod(size, self._own)
        assert not rest
        return per

    def _size(self, size: Sequence[int]) -> list[int]:
        whole = list(size)
        whole[self._axis] = self._per(whole[self._axis]) * self._share.count
        return whole

    def _embedded(self, tensor: Tensor) -> Tensor:
        """A tensor as it would be for the whole batch: where it is another's, a half, which is a probability too.

        What is drawn follows the order in memory, which is that of the tensor.
        """
        order = sorted(range(tensor.dim()), key=lambda axis: -torch.empty_like(tensor, device="meta").stride(axis))
        size = self._size(tensor.shape)
        whole = torch.full([size[axis] for axis in order], 0.5, dtype=tensor.dtype, device=tensor.device)
        whole = whole.permute([order.index(axis) for axis in range(tensor.dim())])
        self._part(whole).copy_(tensor)
        return whole

    def _part(self, tensor: Tensor) -> Tensor:
        per = tensor.shape[self._axis] // self._share.count
        return tensor.narrow(self._axis, self._share.start * per, self._own * per)


def draw_of_batch(team: Several) -> Callable[[Callable[[], Tensor], int], Tensor]:
    """What emitted code calls as `of_batch`: a draw for the examples along an axis."""

    def of_batch(draw: Callable[[], Tensor], axis: int) -> Tensor:
        # A fused attention draws inside its kernel, where no part of a larger draw can be had.
        with sdpa_kernel(SDPBackend.MATH), _Whole(team, axis):
            return draw()

    return of_batch
