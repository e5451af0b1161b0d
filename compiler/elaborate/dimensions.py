"""Element types and sizes, as a tensor's type writes them."""

from __future__ import annotations

from dlc.compiler.dim import Dim
from dlc.compiler.elaborate.evaluation import evaluate
from dlc.compiler.elaborate.frame import Frame
from dlc.compiler.elaborate.values import Origin, describe
from dlc.compiler.errors import BadDeclaration, StaticType
from dlc.compiler.types import DType
from dlc.grammar import ast
from dlc.grammar.diagnostics import Refusal
from dlc.grammar.suggest import nearest

DTYPES = {dtype.value: dtype for dtype in DType}


def element_type(tree: ast.TypeExpr) -> DType:
    """The element type that a tensor type names."""
    if tree.name.id in DTYPES:
        return DTYPES[tree.name.id]
    near = nearest(tree.name.id, DTYPES)
    help = f"did you mean `{near}`?" if near else "there are " + ", ".join(DTYPES)
    raise Refusal(BadDeclaration(f"there is no element type `{tree.name.id}`", tree.name.span, help=help))


def size(frame: Frame, dim: ast.Expr) -> Dim:
    """A dimension's value: a size is a whole number and not negative."""
    value = evaluate(frame, dim)
    if not isinstance(value, Dim):
        raise Refusal(StaticType(f"a dimension is a whole number, and this is {describe(value)}", dim.span))
    if value.constant is not None and value.constant < 0:
        raise Refusal(StaticType(f"a dimension cannot be negative, and this is {value}", dim.span))
    return value if value.origin is not None else value.at(Origin(dim.span, f"{value} is due here"))


def promise(frame: Frame, tree: ast.TypeExpr) -> Dim | None:
    """The range that a type promises, `int[N] < vocab`."""
    if tree.below is None:
        return None
    if not element_type(tree).is_int:
        raise Refusal(BadDeclaration("only ints have a range", tree.span, label=f"{tree.name.id} has none"))
    return size(frame, tree.below)
