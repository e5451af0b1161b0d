"""Along one axis, of unchanged length or chosen from it: running sums, softmax, order, the place of extremes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar

from dlc.compiler.dim import Dim
from dlc.compiler.flow.known import NOWHERE, Known
from dlc.compiler.flow.reading import WHOLE, Flow, Near, along, chosen, mixed
from dlc.compiler.kept import NOTHING, RESULT, Casting, Kept
from dlc.compiler.op import Example, Int, Op, Size
from dlc.compiler.types import DType, ShapeError, Tensor, require_filled, require_float, require_number, resolve_axis

if TYPE_CHECKING:
    from dlc.compiler.onnx.context import OnnxContext, OnnxValue
    from dlc.compiler.torch.context import Code, TorchContext


class Cumulation(Op, abstract=True):
    """Each element with all before it along `axis`."""

    axis: Int = -1

    def infer(self, x: Tensor) -> Tensor:
        require_number("x", x)
        resolve_axis(self.axis, x.rank)
        return Tensor(x.dtype if x.dtype.is_float else DType.INT, x.shape)

    def flow(self, to: tuple[Tensor, ...], x: Tensor) -> Flow:
        axis = resolve_axis(self.axis, x.rank)
        return along(x, to[0], {axis: Near(axis, None, 0)})

    def torch(self, t: TorchContext, x: Code) -> Code:
        return t.method(x, self.name, dim=self.axis)


class Cumsum(Cumulation):
    """The sum of each element and all before it along `axis`."""

    examples = (Example("N T", axis=1, gives="N T"), Example("int N T", axis=-2, gives="int N T"))
    kept = NOTHING

    def onnx(self, g: OnnxContext, x: OnnxValue) -> OnnxValue:
        return g.op("CumSum", g.cast(x, g.outputs[0].dtype), g.constant(self.axis, DType.INT))


class Cumprod(Cumulation):
    """The product of each element and all before it along `axis`."""

    examples = (
        Example("T", axis=0, gives="T", positive=True),
        Example("N T 2", axis=1, gives="N T 2"),
        Example("int N 3", axis=-1, gives="int N 3"),
    )
    kept = Kept((0,), (0,))

    def onnx(self, g: OnnxContext, x: OnnxValue) -> OnnxValue:
        """ONNX has no running product: row i of a square multiplies what stands at or before place i."""
        of, dtype = g.inputs[0], g.outputs[0].dtype
        axis = resolve_axis(self.axis, of.rank)
        zero, one = g.constant(0, DType.INT), g.constant(1, DType.INT)
        places = g.op("Range", zero, g.size(of.shape[axis]), one)
        behind = list(range(1, of.rank - axis))
        row = g.op("Unsqueeze", places, g.ints([1, *(place + 1 for place in behind)]))
        column = g.op("Unsqueeze", places, g.ints(behind)) if behind else places
        square = g.op("Unsqueeze", g.cast(x, dtype), g.ints([axis]))
        factors = g.op("Where", g.op("LessOrEqual", column, row), square, g.constant(1, dtype))
        return g.op("ReduceProd", factors, g.ints([axis + 1]), keepdims=0)


class Normalised(Op, abstract=True):
    """Exponentials along `axis` over their sum, or the logarithm of that."""

    axis: Int = -1
    torch_name: ClassVar[str]
    onnx_name: ClassVar[str]
    least: ClassVar[float]  # what minus infinity becomes
    kept = RESULT
    casting = Casting.FULL

    def infer(self, x: Tensor) -> Tensor:
        require_float("x", x)
        resolve_axis(self.axis, x.rank)
        return x

    def flow(self, to: tuple[Tensor, ...], x: Tensor) -> Flow:
        return mixed(x, to[0], [resolve_axis(self.axis, x.rank)])

    def known(self, to: Tensor, x: Known) -> Known | None:
        region = x.outside(-math.inf)
        return None if region is None or region == NOWHERE else Known(None, ((self.least, region),))

    def torch(self, t: TorchContext, x: Code) -> Code:
        return t.call(self.torch_name, x, dim=self.axis)

    def onnx(self, g: OnnxContext, x: OnnxValue) -> OnnxValue:
        return g.op(self.onnx_name, x, axis=self.axis)


class Softmax(Normalised):
    """exp(x) / sum(exp(x)) along `axis`: positive numbers that add up to 1."""

    examples = (Example("N T", gives="N T"), Example("N C H W", axis=1, gives="N C H W"))
    torch_name = "F.softmax"
    onnx_name = "Softmax"
    least = 0.0


class LogSoftmax(Normalised):
    """The logarithm of softmax along `axis`, without overflow."""

    examples = (Example("N T", gives="N T"), Example("N C H W", axis=1, gives="N C H W"))
    torch_name = "F.log_softmax"
    onnx_name = "LogSoftmax"
    least = -math.inf


class Place(Op, abstract=True):
    """The position of an extreme element along `axis`."""

    axis: Int = -1
    keep: bool = False
    onnx_name: ClassVar[str]

    def infer(self, x: Tensor) -> Tensor:
        require_number("x", x)
        axis = resolve_axis(self.axis, x.rank)
        require_filled("x", x, [axis])
        middle = (Dim.of(1),) if self.keep else ()
        return Tensor(DType.INT, (*x.shape[:axis], *middle, *x.shape[axis + 1 :]), x.shape[axis])

    def flow(self, to: tuple[Tensor, ...], x: Tensor) -> Flow:
        return chosen(x, to[0], [resolve_axis(self.axis, x.rank)], keep=self.keep)

    def torch(self, t: TorchContext, x: Code) -> Code:
        return t.method(x, self.name, dim=self.axis, **({"keepdim": True} if self.keep else {}))

    def onnx(self, g: OnnxContext, x: OnnxValue) -> OnnxValue:
        return g.op(self.onnx_name, x, axis=self.axis, keepdims=int(self.keep))


class Argmax(Place):
    """The position of the greatest element along `axis`."""

    examples = (Example("N T", gives="int N < T"), Example("N C H W", axis=1, keep=True, gives="int N 1 H W < C"))
    onnx_name = "ArgMax"


class Argmin(Place):
    """The position of the least element along `axis`."""

    examples = (Example("N T", gives="int N < T"), Example("N T", axis=0, keep=True, gives="int 1 T < N"))
    onnx_name = "ArgMin"


class Sort(Op):
    """The elements in order along `axis`, and where each of them stood."""

    axis: Int = -1
    descending: bool = False
    examples = (
        Example("N T", gives=("N T", "int N T < T")),
        Example("N T 3", axis=1, descending=True, gives=("N T 3", "int N T 3 < T")),
    )
    kept = Kept(results=(1,))

    def infer(self, x: Tensor) -> tuple[Tensor, Tensor]:
        require_number("x", x)
        return x, Tensor(DType.INT, x.shape, x.shape[resolve_axis(self.axis, x.rank)])

    def flow(self, to: tuple[Tensor, ...], x: Tensor) -> Flow:
        axis = resolve_axis(self.axis, x.rank)
        return along(x, to[0], {axis: WHOLE}, fixed=(axis,))

    def torch(self, t: TorchContext, x: Code) -> Code:
        return t.method(x, "sort", dim=self.axis, **({"descending": True} if self.descending else {}))

    def onnx(self, g: OnnxContext, x: OnnxValue) -> tuple[OnnxValue, ...]:
        size = g.sizes([g.inputs[0].shape[self.axis]])
        return g.multi("TopK", x, size, results=2, axis=self.axis, largest=int(self.descending))


class Topk(Op):
    """The `k` greatest elements along `axis`, the greatest first, and where they stood; or the least."""

    k: Size
    axis: Int = -1
    largest: bool = True
    examples = (
        Example("N T", k=2, gives=("N 2", "int N 2 < T")),
        Example("N T C", k=3, axis=1, largest=False, gives=("N 3 C", "int N 3 C < T")),
    )
    kept = Kept(results=(1,))

    def infer(self, x: Tensor) -> tuple[Tensor, Tensor]:
        require_number("x", x)
        axis = resolve_axis(self.axis, x.rank)
        if x.shape[axis].less(self.k):
            raise ShapeError("k", f"the {self.k} greatest of {x.shape[axis]} elements are asked for", label=str(x))
        if self.k.less(1):
            raise ShapeError("k", f"k is {self.k}, and it must be positive")
        shape = (*x.shape[:axis], self.k, *x.shape[axis + 1 :])
        return x.reshaped(shape), Tensor(DType.INT, shape, x.shape[axis])

    def flow(self, to: tuple[Tensor, ...], x: Tensor) -> Flow:
        axis = resolve_axis(self.axis, x.rank)
        return along(x, to[0], {axis: WHOLE}, fixed=(axis,))

    def torch(self, t: TorchContext, x: Code) -> Code:
        return t.method(x, "topk", self.k, dim=self.axis, **({} if self.largest else {"largest": False}))

    def onnx(self, g: OnnxContext, x: OnnxValue) -> tuple[OnnxValue, ...]:
        return g.multi("TopK", x, g.sizes([self.k]), results=2, axis=self.axis, largest=int(self.largest))
