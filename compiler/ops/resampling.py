"""Images made larger: channels turned into pixels, and pixels interpolated."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from dlc.compiler.dim import Dim
from dlc.compiler.flow.reading import WHOLE, Flow, Group, Name, Near, Reads, along
from dlc.compiler.kept import NOTHING
from dlc.compiler.op import Example, Op, Positive, Sizes
from dlc.compiler.types import ShapeError, Tensor, axes, require_filled, require_float, require_rank

if TYPE_CHECKING:
    from dlc.compiler.onnx.context import OnnxContext, OnnxValue
    from dlc.compiler.torch.context import Code, TorchContext


class PixelShuffle(Op):
    """[N, C*f*f, H, W] to [N, C, H*f, W*f]: each f by f square of pixels from f*f channels. Shi et al., 2016."""

    factor: Positive
    examples = (Example("N 12 H W", factor=2, gives="N 3 2*H 2*W"), Example("N 9*C H W", factor=3, gives="N C 3*H 3*W"))
    kept = NOTHING

    def infer(self, x: Tensor) -> Tensor:
        require_rank("x", x, 4)
        count, channels, height, width = x.shape
        left = channels.divide(self.factor**2)
        if left is None:
            raise ShapeError(
                "factor",
                f"{channels} channels do not divide by {self.factor}*{self.factor}",
                label=str(x),
                sizes=(channels,),
            )
        return x.reshaped((count, left, height * self.factor, width * self.factor))

    def flow(self, to: tuple[Tensor, ...], x: Tensor) -> Flow:
        size = Dim.of(self.factor)
        sizes: dict[Name, Dim] = {"n": x.shape[0], "c": to[0].shape[1], "h": x.shape[2], "w": x.shape[3]}
        reads: Reads = (("n",), ("c", "down", "right"), ("h",), ("w",))
        result: tuple[Group, ...] = (("n",), ("c",), ("h", "down"), ("w", "right"))
        return Flow((reads,), result, sizes | {"down": size, "right": size}, keeps=True)

    def torch(self, t: TorchContext, x: Code) -> Code:
        return t.call("F.pixel_shuffle", x, self.factor)

    def onnx(self, g: OnnxContext, x: OnnxValue) -> OnnxValue:
        return g.op("DepthToSpace", x, blocksize=self.factor, mode="CRD")


_LINEAR = {3: "linear", 4: "bilinear", 5: "trilinear"}


class Resize(Op):
    """The axes behind the channels `factor` times as large, or of the sizes `size`, by interpolation.

    `nearest` repeats the nearest element; `linear` weights the neighbours along each axis (for images this is
    `bilinear`), with the corners of the outermost pixels aligned; `bicubic` is for images.
    """

    factor: Positive | None = None
    size: Sizes | None = None
    mode: Literal["nearest", "linear", "bilinear", "bicubic"] = "nearest"
    examples = (
        Example("N C H W", factor=2, gives="N C 2*H 2*W"),
        Example("N C T", factor=3, mode="linear", gives="N C 3*T"),
        Example("N C H W", factor=2, mode="bilinear", gives="N C 2*H 2*W"),
        Example("N C H W", size=(5, 12), gives="N C 5 12"),
        Example("N C H W", size=("W", "2*H"), mode="bilinear", gives="N C W 2*H"),
        Example("N C H W", factor=2, mode="bicubic", gives="N C 2*H 2*W", tolerance=1e-4),
    )
    kept = NOTHING

    def target(self, x: Tensor) -> tuple[Dim, ...]:
        if (self.factor is None) == (self.size is None):
            raise ShapeError(None, "resize takes a factor or a size, one of the two", help="resize(x, 2)")
        if self.size is None:
            return tuple(size * (self.factor or 1) for size in x.shape[2:])
        if len(self.size) != x.rank - 2:
            raise ShapeError(
                "size",
                f"the size is for {axes(len(self.size))}, and there are {x.rank - 2} behind the channels",
                label=str(x),
            )
        return self.size

    def infer(self, x: Tensor) -> Tensor:
        require_float("x", x)
        require_rank("x", x, 3, 5)
        require_filled("x", x, range(1, x.rank))
        if self.mode in ("bilinear", "bicubic") and x.rank != 4:
            raise ShapeError("mode", f'"{self.mode}" is for images, of 4 axes', label=str(x), help='mode="linear"')
        return x.reshaped((*x.shape[:2], *self.target(x)))

    def flow(self, to: tuple[Tensor, ...], x: Tensor) -> Flow:
        behind = range(2, x.rank)
        if self.mode == "nearest" and self.factor is not None:
            return along(x, to[0], {axis: Near(axis, 1 - self.factor, 0, per=self.factor) for axis in behind})
        return along(x, to[0], dict.fromkeys(behind, WHOLE), fixed=behind, known=False)

    def torch(self, t: TorchContext, x: Code) -> Code:
        mode = _LINEAR[t.inputs[0].rank] if self.mode == "linear" else self.mode
        if self.size is not None:
            return t.call("F.interpolate", x, self.size, mode=mode)
        return t.call("F.interpolate", x, scale_factor=self.factor, mode=mode)

    def onnx(self, g: OnnxContext, x: OnnxValue) -> OnnxValue:
        nearest, cubic = self.mode == "nearest", self.mode == "bicubic"
        return g.op(
            "Resize",
            x,
            None,
            None,
            g.sizes(g.outputs[0].shape),
            mode="nearest" if nearest else "cubic" if cubic else "linear",
            coordinate_transformation_mode="asymmetric" if nearest else "pytorch_half_pixel",
            nearest_mode="floor" if nearest else None,
            cubic_coeff_a=-0.75 if cubic else None,
        )
