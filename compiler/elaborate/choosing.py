"""What is chosen by name, as in `adamw(lr=1e-3)`, or given as a record of named values, as in `(patience=5)`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from dlc.compiler.checked import Checked
from dlc.compiler.choice import Choice
from dlc.compiler.elaborate import binding, pipes
from dlc.compiler.elaborate.frame import Frame
from dlc.compiler.elaborate.values import Arg
from dlc.compiler.errors import BadSetting
from dlc.grammar import ast
from dlc.grammar.diagnostics import Refusal
from dlc.grammar.suggest import nearest

Kind = TypeVar("Kind", bound=Choice)
Form = TypeVar("Form", bound=Checked)


def choose(frame: Frame, what: str, family: type[Kind], tree: ast.Expr, instead: Sequence[Arg] = ()) -> Kind:
    """One of a family by its name, as in `adamw(lr=1e-3)`; `instead` replaces arguments of the same name."""
    choices = family.choices()
    function, given = (tree.function, tree.arguments) if isinstance(tree, ast.Call) else (tree, ())
    if not isinstance(function, ast.Name) or function.id not in choices:
        near = nearest(function.id, choices) if isinstance(function, ast.Name) else None
        help = f"did you mean `{near}`?" if near else f"there are {', '.join(choices)}"
        if isinstance(tree, ast.Literal) and tree.value in choices:
            help = f"it stands without quotes: {tree.value}"
        raise Refusal(BadSetting(f"`{function.span.text}` is no {what}", function.span, help=help))
    return binding.construct(choices[function.id], _replaced(frame, given, instead), tree.span)


def fill(frame: Frame, what: str, form: type[Form], tree: ast.Expr, instead: Sequence[Arg] = ()) -> Form:
    """A record of named values, as in `(patience=5, on="valid loss")`; `instead` replaces those of the same name."""
    if not isinstance(tree, ast.RecordExpr):
        names = list(form.fields())
        first = next((name for name, field in form.fields().items() if field.required), names[0])
        message = f"`{what}` is a record of {', '.join(names[:-1])} and {names[-1]}"
        raise Refusal(BadSetting(message, tree.span, help=f"as in {what} = ({first}=5)"))
    return binding.construct(form, _replaced(frame, tree.fields, instead), tree.span, what)


def _replaced(frame: Frame, given: Sequence[ast.Argument], instead: Sequence[Arg]) -> list[Arg]:
    replaced = {argument.name for argument in instead}
    arguments = [argument for argument in pipes.arguments(frame, given) if argument.name not in replaced]
    return [*arguments, *instead]
