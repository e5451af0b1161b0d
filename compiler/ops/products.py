"""Products with matrices that are values of the graph, as the passes over loops write them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dlc.compiler.dim import Dim
from dlc.compiler.flow.reading import Flow, Name, aligned, flow
from dlc.compiler.kept import Casting, Kept
from dlc.compiler.op import Example, Op
from dlc.compiler.torch.context import Code, TorchContext
from dlc.compiler.types import ShapeError, Tensor, broadcast, product, require_axes, require_float, require_rank

if TYPE_CHECKING:
    from dlc.compiler.onnx.context import OnnxContext, OnnxValue


class Affine(Op):
    """x W^T + b over the last axis, as `linear`, with a matrix and a bias that are given."""

    hidden = True
    examples = (
        Example("N T 8", "10 8", "10", gives="N T 10"),
        Example("N 8", "3 8", "3", gives="N 3"),
        Example("N 8", "3 8", None, gives="N 3"),
    )
    kept = Kept((0, 1))
    casting = Casting.LOWER

    def infer(self, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        require_float("x", x)
        require_axes("x", x, 1)
        require_rank("weight", weight, 2)
        if x.shape[-1] != weight.shape[1]:
            raise ShapeError("weight", "the shapes do not fit", sizes=(x.shape[-1], weight.shape[1]))
        if bias is not None and bias.shape != weight.shape[:1]:
            raise ShapeError("bias", f"the bias is {bias}, and the matrix {weight}")
        return x.reshaped((*x.shape[:-1], weight.shape[0]))

    def flow(self, to: tuple[Tensor, ...], x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Flow:
        last = x.rank - 1
        rows = [*((axis,) for axis in range(last)), ("inner",)]
        return flow(to[0], rows, [(last,), ("inner",)], aligned(bias, to[0]), inner={"inner": x.shape[-1]})

    def torch(self, t: TorchContext, x: Code, weight: Code, bias: Code | None = None) -> Code:
        return t.call("F.linear", x, weight, bias)

    def onnx(self, g: OnnxContext, x: OnnxValue, weight: OnnxValue, bias: OnnxValue | None = None) -> OnnxValue:
        if g.inputs[0].rank == 2:
            return g.op("Gemm", x, weight, *([bias] if bias is not None else []), transB=1)
        y = g.op("MatMul", x, g.op("Transpose", weight, perm=[1, 0]))
        return y if bias is None else g.op("Add", y, bias)

    def macs(self, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Dim:
        return product(x.shape) * weight.shape[0]


class AddMatmul(Op):
    """c + x @ W, of matrices: what a turn of a loop adds to what all turns had computed at once."""

    hidden = True
    examples = (Example("N 3", "N 8", "8 3", gives="N 3"), Example("3", "N 8", "8 3", gives="N 3"))
    kept = Kept((1, 2))
    casting = Casting.LOWER

    def infer(self, c: Tensor, x: Tensor, weight: Tensor) -> Tensor:
        require_float("x", x)
        require_rank("x", x, 2)
        require_rank("weight", weight, 2)
        if x.shape[1] != weight.shape[0]:
            raise ShapeError("weight", "the shapes do not fit", sizes=(x.shape[1], weight.shape[0]))
        result = x.reshaped((x.shape[0], weight.shape[1]))
        if broadcast(c, result) != result.shape:
            raise ShapeError("c", f"c is {c}, and the product {result}")
        return result

    def flow(self, to: tuple[Tensor, ...], c: Tensor, x: Tensor, weight: Tensor) -> Flow:
        inner: dict[Name, Dim] = {"inner": x.shape[1]}
        return flow(to[0], aligned(c, to[0]), [(0,), ("inner",)], [("inner",), (1,)], inner=inner)

    def torch(self, t: TorchContext, c: Code, x: Code, weight: Code) -> Code:
        return t.call("torch.addmm", c, x, weight)

    def onnx(self, g: OnnxContext, c: OnnxValue, x: OnnxValue, weight: OnnxValue) -> OnnxValue:
        return g.op("Gemm", x, weight, c)

    def macs(self, c: Tensor, x: Tensor, weight: Tensor) -> Dim:
        return product(x.shape) * weight.shape[1]
