"""Products of matrices and vectors, and diagonals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from dlc.compiler.dim import Dim
from dlc.compiler.flow.known import Known, square
from dlc.compiler.flow.reading import WHOLE, Flow, Gate, Group, Near, Read, flow, leading
from dlc.compiler.kept import NOTHING, Casting, Kept, Tape, factors
from dlc.compiler.op import Example, Op
from dlc.compiler.types import (
    DType,
    ShapeError,
    Tensor,
    TypeMismatch,
    broadcast,
    product,
    require_axes,
    require_number,
    require_rank,
)

if TYPE_CHECKING:
    from dlc.compiler.onnx.context import OnnxContext, OnnxValue
    from dlc.compiler.torch.context import Code, TorchContext


def same_type(names: Sequence[str], operands: Sequence[Tensor]) -> DType:
    """The one element type of operands that are multiplied. Raises TypeMismatch."""
    for name, operand in zip(names, operands, strict=True):
        require_number(name, operand)
    due = next((operand.dtype for operand in operands if operand.dtype.is_float), operands[0].dtype)
    for name, operand in zip(names, operands, strict=True):
        if operand.dtype is not due:
            raise TypeMismatch(
                name,
                f"{operand.dtype.value} and {due.value} cannot be multiplied as matrices",
                label=str(operand),
                help=f'cast({name}, "{due.value}")',
            )
    return due


class Matmul(Op):
    """The matrix product: leading axes are broadcast, a vector is a row on the left and a column on the right."""

    examples = (
        Example("N 3", "3 T", gives="N T"),
        Example("N T 6", "6 C", gives="N T C"),
        Example("N 4 T C", "N 4 C T", gives="N 4 T T"),
        Example("N 1 T C", "3 C T", gives="N 3 T T"),
        Example("N D", "D", gives="N"),
        Example("D", "D T", gives="T"),
        Example("D", "D", gives=""),
        Example("D", "N D T", gives="N T"),
        Example("int N D", "int D T", gives="int N T"),
    )
    casting = Casting.LOWER
    promotes = True

    def infer(self, left: Tensor, right: Tensor) -> Tensor:
        dtype = same_type(("left", "right"), (left, right))
        for name, operand in (("left", left), ("right", right)):
            if not operand.rank:
                raise ShapeError(name, "a scalar has no matrix product", label=str(operand), help="multiply with *")
        inner, other = left.shape[-1], right.shape[-2 if right.rank > 1 else -1]
        if inner != other:
            transposed = right.rank == 2 and right.shape[-1] == inner
            raise ShapeError(
                None,
                "the shapes do not fit",
                label=f"{inner} columns against {other} rows",
                sizes=(inner, other),
                help="transpose the right side, as in a @ b.T" if transposed else None,
            )
        batch = broadcast(left.reshaped(left.shape[:-2]), right.reshaped(right.shape[:-2]))
        return Tensor(dtype, (*batch, *left.shape[-2:-1], *(right.shape[-1:] if right.rank > 1 else ())))

    def flow(self, to: tuple[Tensor, ...], left: Tensor, right: Tensor) -> Flow:
        result = to[0]
        columns = right.rank > 1
        rows = left.rank > 1
        inner: Group = ("inner",)
        first: list[Read] = [*leading(left, result, 2 - (not rows), rows + columns)]
        first += [(result.rank - 1 - columns,), inner] if rows else [inner]
        second: list[Read] = [*leading(right, result, 2 - (not columns), rows + columns)]
        second += [inner, (result.rank - 1,)] if columns else [inner]
        return flow(result, first, second, inner={"inner": left.shape[-1]}, gates=(Gate(0, 1, 0), Gate(1, 0, 0)))

    def keeps(self, tape: Tape, to: tuple[Tensor, ...], *sides: Tensor) -> Kept:
        return Kept(factors(*tape.needs))

    def torch(self, t: TorchContext, left: Code, right: Code) -> Code:
        return t.binary("@", left, right)

    def onnx(self, g: OnnxContext, left: OnnxValue, right: OnnxValue) -> OnnxValue:
        return g.op("MatMul", left, right)

    def macs(self, left: Tensor, right: Tensor) -> Dim:
        return product(self.infer(left, right).shape) * left.shape[-1]


class Dot(Op):
    """The sum of the products of two vectors."""

    examples = (Example("D", "D", gives=""), Example("int D", "int D", gives="int"))
    promotes = True

    def infer(self, x: Tensor, y: Tensor) -> Tensor:
        dtype = same_type(("x", "y"), (x, y))
        require_rank("x", x, 1)
        require_rank("y", y, 1)
        if x.shape != y.shape:
            raise ShapeError(
                "y", f"a vector of {y.shape[0]} elements against one of {x.shape[0]}", sizes=(x.shape[0], y.shape[0])
            )
        return Tensor(dtype, ())

    def flow(self, to: tuple[Tensor, ...], x: Tensor, y: Tensor) -> Flow:
        gates = (Gate(0, 1, 0), Gate(1, 0, 0))
        return flow(to[0], [("inner",)], [("inner",)], inner={"inner": x.shape[0]}, gates=gates)

    def keeps(self, tape: Tape, to: tuple[Tensor, ...], *sides: Tensor) -> Kept:
        return Kept(factors(*tape.needs))

    def torch(self, t: TorchContext, x: Code, y: Code) -> Code:
        return t.call("torch.dot", x, y)

    def onnx(self, g: OnnxContext, x: OnnxValue, y: OnnxValue) -> OnnxValue:
        return g.op("MatMul", x, y)

    def macs(self, x: Tensor, y: Tensor) -> Dim:
        return x.shape[0]


class Outer(Op):
    """The matrix of the products of each element of x with each of y."""

    examples = (Example("N", "T", gives="N T"), Example("int N", "int T", gives="int N T"))
    promotes = True

    def infer(self, x: Tensor, y: Tensor) -> Tensor:
        dtype = same_type(("x", "y"), (x, y))
        require_rank("x", x, 1)
        require_rank("y", y, 1)
        return Tensor(dtype, x.shape + y.shape)

    def flow(self, to: tuple[Tensor, ...], x: Tensor, y: Tensor) -> Flow:
        return flow(to[0], [(0,)], [(1,)], gates=(Gate(0, 1, 0), Gate(1, 0, 0)))

    def keeps(self, tape: Tape, to: tuple[Tensor, ...], *sides: Tensor) -> Kept:
        return Kept(factors(*tape.needs))

    def torch(self, t: TorchContext, x: Code, y: Code) -> Code:
        return t.call("torch.outer", x, y)

    def onnx(self, g: OnnxContext, x: OnnxValue, y: OnnxValue) -> OnnxValue:
        return g.op("Mul", g.op("Unsqueeze", x, g.ints([1])), y)

    def macs(self, x: Tensor, y: Tensor) -> Dim:
        return x.shape[0] * y.shape[0]


class Trace(Op):
    """The sum of the diagonal of the last two axes."""

    examples = (Example("N N", gives=""), Example("N T 3", gives="N"), Example("int 3 4", gives="int"))
    kept = NOTHING

    def infer(self, x: Tensor) -> Tensor:
        require_number("x", x)
        require_axes("x", x, 2)
        return Tensor(x.dtype if x.dtype.is_float else DType.INT, x.shape[:-2])

    def flow(self, to: tuple[Tensor, ...], x: Tensor) -> Flow:
        inner: Read = ("inner",) if x.shape[-1] == x.shape[-2] else WHOLE
        reads: list[Read] = [*((axis,) for axis in range(x.rank - 2)), inner, inner]
        return flow(to[0], reads, inner={"inner": x.shape[-1]})

    def torch(self, t: TorchContext, x: Code) -> Code:
        if t.inputs[0].rank == 2:
            return t.call("torch.trace", x)
        return t.method(t.method(x, "diagonal", dim1=-2, dim2=-1), "sum", -1)

    def onnx(self, g: OnnxContext, x: OnnxValue) -> OnnxValue:
        rows, columns = g.inputs[0].shape[-2:]
        dtype = g.outputs[0].dtype
        on = g.op("Equal", g.op("Unsqueeze", _places(g, rows), g.ints([1])), _places(g, columns))
        kept = g.op("Where", on, g.cast(x, dtype), g.constant(0, dtype))
        return g.op("ReduceSum", kept, g.ints([-2, -1]), keepdims=0)


class Diag(Op):
    """Of a vector, the matrix with it on the diagonal and zeros elsewhere; of a matrix, its diagonal."""

    examples = (Example("N", gives="N N"), Example("N N", gives="N"), Example("int 3 N", gives="int min(3,N)"))
    kept = NOTHING

    def infer(self, x: Tensor) -> Tensor:
        require_rank("x", x, 1, 2)
        if x.rank == 1:
            return Tensor(x.dtype, x.shape * 2)
        return x.reshaped([x.shape[0] if x.shape[0] == x.shape[1] else Dim.minimum(*x.shape)])

    def flow(self, to: tuple[Tensor, ...], x: Tensor) -> Flow:
        if x.rank == 1:
            return flow(to[0], [(0,)], fixed=(0, 1))
        whole = x.shape[0] == x.shape[1]
        return flow(to[0], [(0,), (0,)] if whole else [Near(0, 0, 0), Near(0, 0, 0)])

    def known(self, to: Tensor, x: Known) -> Known | None:
        return square(to) if to.rank == 2 else None

    def torch(self, t: TorchContext, x: Code) -> Code:
        return t.call("torch.diag", x)

    def onnx(self, g: OnnxContext, x: OnnxValue) -> OnnxValue:
        places = _places(g, g.outputs[0].shape[0])
        column = g.op("Unsqueeze", places, g.ints([1]))
        if g.inputs[0].rank == 1:
            return g.op("Where", g.op("Equal", column, places), x, g.constant(0, g.outputs[0].dtype))
        return g.op("GatherND", x, g.op("Concat", column, column, axis=1))


def _places(g: OnnxContext, size: Dim) -> OnnxValue:
    return g.op("Range", g.constant(0, DType.INT), g.size(size), g.constant(1, DType.INT))
