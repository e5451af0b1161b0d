"""Linear algebra: products of matrices and vectors, and what matrices decompose into."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from dlc.compiler.dim import Dim
from dlc.compiler.op import Example, Op
from dlc.compiler.types import (
    DType,
    ShapeError,
    Tensor,
    TypeMismatch,
    broadcast,
    product,
    require_axes,
    require_float,
    require_number,
    require_rank,
    unify,
)

if TYPE_CHECKING:
    from dlc.compiler.onnx.context import OnnxContext, OnnxValue
    from dlc.compiler.torch.context import Code, TorchContext


def same_type(names: Sequence[str], operands: Sequence[Tensor]) -> DType:
    """The one element type of operands that are multiplied; PyTorch mixes none here. Raises TypeMismatch."""
    first = operands[0]
    for name, operand in zip(names, operands, strict=True):
        require_number(name, operand)
        if operand.dtype is not first.dtype:
            raise TypeMismatch(
                name,
                f"{first.dtype.value} and {operand.dtype.value} cannot be multiplied as matrices",
                label=str(operand),
                help=f'cast({name}, "{first.dtype.value}")',
            )
    return first.dtype


def _square(name: str, x: Tensor) -> Dim:
    require_axes(name, x, 2)
    rows, columns = x.shape[-2:]
    if rows != columns:
        raise ShapeError(
            name, f"a square matrix is due, and {name} has {rows} rows and {columns} columns", label=str(x),
            sizes=(rows, columns),
        )
    return unify(rows, columns)


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

    def torch(self, t: TorchContext, left: Code, right: Code) -> Code:
        return t.binary("@", left, right)

    def onnx(self, g: OnnxContext, left: OnnxValue, right: OnnxValue) -> OnnxValue:
        return g.op("MatMul", left, right)

    def macs(self, left: Tensor, right: Tensor) -> Dim:
        return product(self.infer(left, right).shape) * left.shape[-1]


class Dot(Op):
    """The sum of the products of two vectors."""

    examples = (Example("D", "D", gives=""), Example("int D", "int D", gives="int"))

    def infer(self, x: Tensor, y: Tensor) -> Tensor:
        dtype = same_type(("x", "y"), (x, y))
        require_rank("x", x, 1)
        require_rank("y", y, 1)
        if x.shape != y.shape:
            raise ShapeError(
                "y", f"a vector of {y.shape[0]} elements against one of {x.shape[0]}", sizes=(x.shape[0], y.shape[0])
            )
        return Tensor(dtype, ())

    def torch(self, t: TorchContext, x: Code, y: Code) -> Code:
        return t.call("torch.dot", x, y)

    def onnx(self, g: OnnxContext, x: OnnxValue, y: OnnxValue) -> OnnxValue:
        return g.op("MatMul", x, y)

    def macs(self, x: Tensor, y: Tensor) -> Dim:
        return x.shape[0]


class Outer(Op):
    """The matrix of the products of each element of x with each of y."""

    examples = (Example("N", "T", gives="N T"), Example("int N", "int T", gives="int N T"))

    def infer(self, x: Tensor, y: Tensor) -> Tensor:
        dtype = same_type(("x", "y"), (x, y))
        require_rank("x", x, 1)
        require_rank("y", y, 1)
        return Tensor(dtype, x.shape + y.shape)

    def torch(self, t: TorchContext, x: Code, y: Code) -> Code:
        return t.call("torch.outer", x, y)

    def onnx(self, g: OnnxContext, x: OnnxValue, y: OnnxValue) -> OnnxValue:
        return g.op("Mul", g.op("Unsqueeze", x, g.ints([1])), y)

    def macs(self, x: Tensor, y: Tensor) -> Dim:
        return x.shape[0] * y.shape[0]


class Trace(Op):
    """The sum of the diagonal of the last two axes."""

    examples = (Example("N N", gives=""), Example("N T 3", gives="N"), Example("int 3 4", gives="int"))

    def infer(self, x: Tensor) -> Tensor:
        require_number("x", x)
        require_axes("x", x, 2)
        return Tensor(x.dtype if x.dtype.is_float else DType.INT, x.shape[:-2])

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

    def infer(self, x: Tensor) -> Tensor:
        require_rank("x", x, 1, 2)
        if x.rank == 1:
            return Tensor(x.dtype, x.shape * 2)
        return x.reshaped([x.shape[0] if x.shape[0] == x.shape[1] else Dim.minimum(*x.shape)])

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


class Det(Op):
    """The determinant of square matrices."""

    examples = (Example("3 3", gives=""), Example("N 4 4", gives="N", tolerance=1e-4))

    def infer(self, x: Tensor) -> Tensor:
        require_float("x", x)
        _square("x", x)
        return Tensor(x.dtype, x.shape[:-2])

    def torch(self, t: TorchContext, x: Code) -> Code:
        return t.call("torch.linalg.det", x)

    def onnx(self, g: OnnxContext, x: OnnxValue) -> OnnxValue:
        return g.op("Det", x)


class Solve(Op):
    """The X of A X = B, for square A; B is a vector or a matrix of columns, leading axes are broadcast."""

    examples = (
        Example("3 3", "3", gives="3"),
        Example("3 3", "3 T", gives="3 T"),
        Example("N D D", "N D 2", gives="N D 2"),
    )
    no_onnx = "ONNX has no operator that solves linear equations"

    def infer(self, a: Tensor, b: Tensor) -> Tensor:
        require_float("a", a)
        if same_type(("a", "b"), (a, b)) and not b.rank:
            raise ShapeError("b", "b is a scalar, and a vector or a matrix is due", label=str(b))
        size = _square("a", a)
        vector = b.rank == 1
        rows = b.shape[-1 if vector else -2]
        if rows != size:
            raise ShapeError("b", f"{size} equations against {rows} right-hand sides", label=str(b), sizes=(size, rows))
        if vector:
            if a.rank > 2:
                raise ShapeError("b", "one vector for a batch of matrices", label=str(b), help="unsqueeze(b, -1)")
            return b
        batch = broadcast(a.reshaped(a.shape[:-2]), b.reshaped(b.shape[:-2]))
        return Tensor(a.dtype, (*batch, *b.shape[-2:]))

    def torch(self, t: TorchContext, a: Code, b: Code) -> Code:
        return t.call("torch.linalg.solve", a, b)

    def macs(self, a: Tensor, b: Tensor) -> Dim:
        """As Gaussian elimination does it: n^3 / 3 for the matrix, n^2 for each right-hand side."""
        size = a.shape[-1]
        columns = b.shape[-1] if b.rank > 1 else Dim.of(1)
        return product(a.shape[:-2]) * (size**3 // 3 + size**2 * columns)


class SquareMap(Op, abstract=True):
    """A square matrix from a square matrix, over any leading axes."""

    function: ClassVar[str]

    def infer(self, x: Tensor) -> Tensor:
        require_float("x", x)
        _square("x", x)
        return x

    def torch(self, t: TorchContext, x: Code) -> Code:
        return t.call(self.function, x)


class Inverse(SquareMap):
    """The inverse of square matrices; where it is to multiply something, `solve` is faster and more accurate."""

    examples = (Example("3 3", gives="3 3"), Example("N D D", gives="N D D"))
    function = "torch.linalg.inv"
    no_onnx = "ONNX has no operator that inverts a matrix"


class Cholesky(SquareMap):
    """The lower triangular L of x = L L^T, for symmetric positive definite x."""

    examples = (Example("N N", gives="N N", definite=True, smooth=False),)
    function = "torch.linalg.cholesky"
    no_onnx = "ONNX has no operator that decomposes a matrix"


class Decomposition(Op, abstract=True):
    """Several factors of a matrix."""

    no_onnx = "ONNX has no operator that decomposes a matrix"
    function: ClassVar[str]

    def torch(self, t: TorchContext, x: Code) -> Code:
        return t.call(self.function, x)


def _least(x: Tensor) -> Dim:
    require_float("x", x)
    require_axes("x", x, 2)
    rows, columns = x.shape[-2:]
    return rows if rows == columns else Dim.minimum(rows, columns)


class Svd(Decomposition):
    """The U, S and V^T of x = U diag(S) V^T: orthonormal columns, singular values in descending order, rows."""

    examples = (
        Example("4 3", gives=("4 3", "3", "3 3"), smooth=False),
        Example("N 3 T", gives=("N 3 min(3,T)", "N min(3,T)", "N min(3,T) T"), smooth=False),
    )
    function = "torch.linalg.svd"

    def infer(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        least, batch = _least(x), x.shape[:-2]
        return (
            x.reshaped((*batch, x.shape[-2], least)),
            x.reshaped((*batch, least)),
            x.reshaped((*batch, least, x.shape[-1])),
        )

    def torch(self, t: TorchContext, x: Code) -> Code:
        return t.call(self.function, x, full_matrices=False)


class Eigh(Decomposition):
    """The eigenvalues of symmetric matrices, in ascending order, and their eigenvectors as columns."""

    examples = (Example("3 3", gives=("3", "3 3"), smooth=False),)
    function = "torch.linalg.eigh"

    def infer(self, x: Tensor) -> tuple[Tensor, Tensor]:
        require_float("x", x)
        _square("x", x)
        return x.reshaped(x.shape[:-1]), x


class Qr(Decomposition):
    """The Q and R of x = Q R: orthonormal columns and an upper triangle."""

    examples = (
        Example("4 3", gives=("4 3", "3 3")),
        Example("N 3 T", gives=("N 3 min(3,T)", "N min(3,T) T"), smooth=False),
    )
    function = "torch.linalg.qr"

    def infer(self, x: Tensor) -> tuple[Tensor, Tensor]:
        least, batch = _least(x), x.shape[:-2]
        return x.reshaped((*batch, x.shape[-2], least)), x.reshaped((*batch, least, x.shape[-1]))
