"""What convolution and pooling share: windows that slide over the spatial axes of `[N, C, H, W]` and its kin."""

from __future__ import annotations

from collections.abc import Sequence

from dlc.compiler.dim import Dim
from dlc.compiler.types import ShapeError, Tensor


def require_image(name: str, x: Tensor) -> None:
    """Refuses what has no batch, no channels, or not one to three spatial axes."""
    if not 3 <= x.rank <= 5:
        raise ShapeError(
            name,
            f"{name} has {x.rank} axes, and an image has a batch axis, a channel axis and 1 to 3 spatial ones",
            label=str(x),
        )


def per_axis(name: str, given: int | tuple[int, ...], x: Tensor) -> tuple[int, ...]:
    """One number for each spatial axis of `x`."""
    axes = x.rank - 2
    if isinstance(given, int):
        return (given,) * axes
    if len(given) != axes:
        raise ShapeError(
            name,
            f"{name} has {len(given)} {'entry' if len(given) == 1 else 'entries'}, "
            f"and {x} has {axes} spatial {'axis' if axes == 1 else 'axes'}",
            against="x",
        )
    return given


def short(given: Sequence[int]) -> int | tuple[int, ...]:
    """One number where all are the same, as a person writes it."""
    return given[0] if len(set(given)) == 1 else tuple(given)


def slide(
    x: Tensor,
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    pads: tuple[tuple[int, int], ...],
    dilation: tuple[int, ...],
) -> tuple[Dim, ...]:
    """How many places a window has along each spatial axis."""
    sizes: list[Dim] = []
    for axis, size in enumerate(x.shape[2:]):
        padded = size + sum(pads[axis])
        extent = dilation[axis] * (kernel[axis] - 1) + 1
        if padded.less(extent):
            spread = f" ({kernel[axis]} spread by dilation {dilation[axis]})" if dilation[axis] > 1 else ""
            room = f" with its padding of {sum(pads[axis])}" if sum(pads[axis]) else ""
            raise ShapeError(
                "kernel",
                f"the window is larger than the image: {extent}{spread} against {padded}{room}, along axis {axis + 2}",
                label=f"{extent} along axis {axis + 2}",
                against="x",
                sizes=(size,),
            )
        sizes.append((padded - extent) // stride[axis] + 1)
    return tuple(sizes)
