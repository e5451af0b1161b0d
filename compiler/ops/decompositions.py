"""Square matrices solved and inverted, and what matrices decompose into."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from dlc.compiler.dim import Dim
from dlc.compiler.flow.reading import WHOLE, Flow, Read, batched, flow, leading
from dlc.compiler.op import Example, Op
from dlc.compiler.ops.linalg import same_type
from dlc.compiler.types import DType, ShapeError, Tensor, broadcast, product, require_axes, require_float, unify

if TYPE_CHECKING:
    from dlc.compiler.onnx.context import OnnxContext, OnnxValue
    from dlc.compiler.torch.context import Code, TorchContext


def _square(name: str, x: Tensor) -> Dim:
    require_axes(name, x, 2)
    rows, columns = x.shape[-2:]
    if rows != columns:
        raise ShapeError(
            name,
            f"a square matrix is due, and {name} has {rows} rows and {columns} columns",
            label=str(x),
            sizes=(rows, columns),
        )
    return unify(rows, columns)


class Det(Op):
    """The determinant of square matrices."""

    examples = (Example("3 3", gives=""), Example("N 4 4", gives="N", tolerance=1e-4))

    def infer(self, x: Tensor) -> Tensor:
        require_float("x", x)
        _square("x", x)
        return Tensor(x.dtype, x.shape[:-2])

    def flow(self, to: tuple[Tensor, ...], x: Tensor) -> Flow:
        return batched(to[0], x, axes=x.rank - 2)

    def torch(self, t: TorchContext, x: Code) -> Code:
        return t.call("torch.linalg.det", x)

    def onnx(self, g: OnnxContext, x: OnnxValue) -> OnnxValue:
        return g.op("Det", x)


class Solve(Op):
    """The X of A X = B, for square A; B is a vector or a matrix of columns, leading axes are broadcast."""

    examples = (
        Example("3 3", "3", gives="3", tolerance=1e-4),
        Example("3 3", "3 T", gives="3 T", tolerance=1e-4),
        Example("N D D", "N D 2", gives="N D 2", tolerance=1e-4),
    )

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

    def flow(self, to: tuple[Tensor, ...], a: Tensor, b: Tensor) -> Flow:
        result, trailing = to[0], min(b.rank, 2)
        left: list[Read] = [*leading(a, result, 2, trailing), WHOLE, WHOLE]
        right: list[Read] = [*leading(b, result, trailing, trailing), WHOLE]
        right += [(result.rank - 1,)] if trailing == 2 else []
        return flow(result, left, right, fixed=(result.rank - trailing,))

    def torch(self, t: TorchContext, a: Code, b: Code) -> Code:
        return t.call("torch.linalg.solve", a, b)

    def onnx(self, g: OnnxContext, a: OnnxValue, b: OnnxValue) -> OnnxValue:
        if g.inputs[1].rank > 1:
            return _eliminated(g, a, g.inputs[0], b, g.inputs[1])
        column = g.op("Unsqueeze", b, g.ints([1]))
        size = g.inputs[1].shape[0]
        return g.op("Squeeze", _eliminated(g, a, g.inputs[0], column, g.inputs[1].reshaped([size, 1])), g.ints([1]))

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

    def flow(self, to: tuple[Tensor, ...], x: Tensor) -> Flow:
        return batched(to[0], x, axes=x.rank - 2)

    def torch(self, t: TorchContext, x: Code) -> Code:
        return t.call(self.function, x)


class Inverse(SquareMap):
    """The inverse of square matrices; where it is to multiply something, `solve` is faster and more accurate."""

    examples = (Example("3 3", gives="3 3", tolerance=1e-4), Example("N D D", gives="N D D", tolerance=1e-4))
    function = "torch.linalg.inv"

    def onnx(self, g: OnnxContext, x: OnnxValue) -> OnnxValue:
        type = g.inputs[0]
        square = type.reshaped(type.shape[-2:])
        zeros = g.op("Expand", g.constant(0, type.dtype), g.sizes(square.shape))
        return _eliminated(g, x, type, g.op("EyeLike", zeros), square)


def _eliminated(g: OnnxContext, a: OnnxValue, left: Tensor, b: OnnxValue, right: Tensor) -> OnnxValue:
    """The X of A X = B by Gauss-Jordan elimination with partial pivoting, for a and b of these types.

    Golub and Van Loan, "Matrix Computations", section 3.4. One turn of a loop clears one column in all matrices of
    the batch at once.
    """
    batch = broadcast(left.reshaped(left.shape[:-2]), right.reshaped(right.shape[:-2]))
    size, columns = right.shape[-2:]

    def flat(x: OnnxValue, width: Dim) -> OnnxValue:
        whole = g.op("Expand", x, g.sizes((*batch, size, width)))
        return g.op("Reshape", whole, g.sizes((product(batch), size, width)), allowzero=1)

    rows = g.op("Range", g.constant(0, DType.INT), g.size(size), g.constant(1, DType.INT))
    down = g.op("Unsqueeze", rows, g.ints([1]))

    def turn(number: OnnxValue, matrix: OnnxValue) -> tuple[OnnxValue]:
        here = g.op("Unsqueeze", number, g.ints([0]))
        column = g.op("Abs", g.op("Gather", matrix, number, axis=2))
        candidates = g.op("Where", g.op("Less", rows, number), g.constant(-1, left.dtype), column)
        best = g.op("ArgMax", candidates, axis=1, keepdims=1)
        chosen = g.op("GatherND", matrix, g.op("Unsqueeze", best, g.ints([2])), batch_dims=1)
        pivot = g.op("Div", chosen, g.op("Gather", chosen, here, axis=2))
        # The chosen row is made the current one, and the current one moves to where the chosen one was.
        moved = g.op("Equal", down, g.op("Unsqueeze", best, g.ints([2])))
        swapped = g.op("Where", moved, g.op("Gather", matrix, here, axis=1), matrix)
        factors = g.op("Gather", swapped, here, axis=2)
        cleared = g.op("Sub", swapped, g.op("Mul", factors, pivot))
        return (g.op("Where", g.op("Equal", down, number), pivot, cleared),)

    both = g.op("Concat", flat(a, size), flat(b, columns), axis=2)
    (reduced,) = g.loop(size, (both,), turn)
    solved = g.op("Slice", reduced, g.sizes([size]), g.sizes([size + columns]), g.ints([2]))
    return g.op("Reshape", solved, g.sizes((*batch, size, columns)), allowzero=1)


class Cholesky(SquareMap):
    """The lower triangular L of x = L L^T, for symmetric positive definite x."""

    examples = (Example("N N", gives="N N", definite=True, smooth=False),)
    function = "torch.linalg.cholesky"
    no_onnx = "ONNX has no operator that decomposes a matrix"


class Decomposition(Op, abstract=True):
    """Several factors of a matrix."""

    no_onnx = "ONNX has no operator that decomposes a matrix"
    function: ClassVar[str]

    def flow(self, to: tuple[Tensor, ...], x: Tensor) -> tuple[Flow, ...]:
        return tuple(batched(result, x, axes=x.rank - 2) for result in to)

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
