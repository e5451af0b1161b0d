"""PyTorch's operations on lists of tensors, one kernel for many of them. Its own optimisers are written with them;
they have neither types nor public names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

_torch: Any = torch

adam_: Callable[..., None] = _torch._fused_adam_
adamw_: Callable[..., None] = _torch._fused_adamw_
"""(weights, gradients, first moments, second moments, [], steps, and the numbers of Adam by name)."""
add_: Callable[..., None] = _torch._foreach_add_
"""(xs, ys, alpha=1): x + alpha y in place of each x."""
clamp_min_: Callable[[Sequence[Tensor], float], None] = _torch._foreach_clamp_min_
clamp_max_: Callable[[Sequence[Tensor], float], None] = _torch._foreach_clamp_max_
multiply_and_check_: Callable[[Sequence[Tensor], Tensor, Tensor], None]
multiply_and_check_ = _torch._amp_foreach_non_finite_check_and_unscale_
"""(xs, found, by): multiplies each x, and sets the float `found` to 1 where an x has an infinity or a NaN. One pass
over memory, where a norm takes several calls for each tensor."""
lerp: Callable[[Sequence[Tensor], Sequence[Tensor], float], list[Tensor]] = _torch._foreach_lerp
"""(xs, ys, share): x + share (y - x) for each x and y."""
lerp_: Callable[[Sequence[Tensor], Sequence[Tensor], float], None] = _torch._foreach_lerp_
mul_: Callable[[Sequence[Tensor], float], None] = _torch._foreach_mul_
sign_: Callable[[Sequence[Tensor]], None] = _torch._foreach_sign_
