"""The names that sizes are written with."""

from __future__ import annotations

from dlc.grammar import ast


def names_of(parameter: ast.Parameter) -> list[ast.Name]:
    """Those in the shape of a parameter."""
    dims = (parameter.type.dims or ()) if parameter.type is not None else ()
    return [name for dim in dims for name in names_in(dim)]


def names_in(tree: ast.Expr) -> list[ast.Name]:
    """The names in a dimension, in the order of the text."""
    match tree:
        case ast.Name():
            return [tree]
        case ast.Binary():
            return names_in(tree.left) + names_in(tree.right)
        case ast.Unary():
            return names_in(tree.operand)
        case ast.Index():
            return names_in(tree.value)
        case ast.Call():
            return [name for argument in tree.arguments for name in names_in(argument.value)]
        case _:
            return []
