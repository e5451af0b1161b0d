"""The settings of a train block: each is known and within its bounds; the command line replaces what the spec says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from dlc.compiler.dim import Dim
from dlc.compiler.elaborate import calls, expressions, reports
from dlc.compiler.elaborate.frame import Frame
from dlc.compiler.elaborate.values import Arg, describe, is_sequence
from dlc.compiler.errors import BadSetting, StaticType, UnknownSetting
from dlc.compiler.settings import Choice, Optimizer, Schedule, Settings
from dlc.grammar import ast
from dlc.grammar.diagnostics import Label, Refusal
from dlc.grammar.source import Span
from dlc.grammar.suggest import nearest

Kind = TypeVar("Kind", bound=Choice)

_EPOCHS_OR_STEPS = "a training lasts a number of epochs or a number of steps, not both"
_FAMILIES: dict[str, type[Optimizer] | type[Schedule]] = {"optimizer": Optimizer, "schedule": Schedule}


def settings_of(top: Frame, tree: ast.Train) -> Settings | None:
    values: dict[str, Any] = {}
    spans: dict[str, Span] = {}
    trees: dict[str, ast.Expr] = {}
    place = tree.name.span
    for block in (item for item in tree.items if isinstance(item, ast.Settings)):
        place = Span(block.span.source, block.span.start, block.span.start + len("settings"))
        for item in block.items:
            name = item.name.id
            if name not in Settings.fields():
                near = nearest(name, Settings.fields())
                help = f"did you mean `{near}`?" if near else "the settings are " + ", ".join(Settings.fields())
                top.refuse(UnknownSetting(f"there is no setting `{name}`", item.name.span, help=help))
            elif name in trees:
                labels = (Label(trees[name].span, "here already"),)
                top.refuse(BadSetting(f"`{name}` is set twice", item.name.span, labels=labels))
            else:
                trees[name] = item.value
    overrides = top.compilation.overrides.settings()
    trees.update({name: value for name, value in overrides.items() if "." not in name})
    for name, value in trees.items():
        try:
            values[name] = _value(top, name, value, overrides)
            spans[name] = value.span
        except Refusal as refusal:
            top.report(refusal)
    if top.failed:
        return None
    for name, value in overrides.items():
        family = name.partition(".")[0]
        if family not in Settings.fields() or ("." in name and family not in trees):
            near = nearest(family, Settings.fields())
            help = f"did you mean `{near}`?" if near else "the settings are " + ", ".join(Settings.fields())
            top.refuse(UnknownSetting(f"there is no setting `{name}`", value.span, help=help))
    if top.failed:
        return None
    if "epochs" in overrides:
        values.pop("steps", None)
    elif "steps" in overrides:
        values.pop("epochs", None)
    if "epochs" in values and "steps" in values:
        labels = (Label(spans["epochs"], "and epochs"),)
        top.refuse(BadSetting(_EPOCHS_OR_STEPS, spans["steps"], label="steps", labels=labels))
        return None
    try:
        return Settings(**values)
    except ValueError as error:
        for problem in reports.refused(error, "settings", values, spans, place):
            top.refuse(BadSetting(problem.message, problem.span, label=problem.label))
        return None


def _value(top: Frame, name: str, tree: ast.Expr, overrides: Mapping[str, ast.Expr]) -> Any:
    if name == "batch" and isinstance(tree, ast.Name) and tree.id == "all":
        return "all"
    if name == "batch" and isinstance(tree, ast.Name) and tree.id not in top.scope:
        raise Refusal(BadSetting("a batch is a number of examples, or `all`", tree.span))
    if name not in _FAMILIES:
        value = expressions.evaluate(top, tree)
        if not is_sequence(value) and not isinstance(value, Dim | float | bool | str | None):
            raise Refusal(StaticType(f"`{name}` is a number or a string, and this is {describe(value)}", tree.span))
        return value
    return choose(top, name, _FAMILIES[name], tree, _given(top, name, overrides))


def _given(top: Frame, family: str, overrides: Mapping[str, ast.Expr]) -> list[Arg]:
    """What the command line sets of one setting's arguments."""
    return [
        Arg(key, expressions.evaluate(top, value), value.span, value.span)
        for name, _, key, value in ((*path.partition("."), value) for path, value in overrides.items())
        if name == family and key
    ]


def choose(frame: Frame, what: str, family: type[Kind], tree: ast.Expr, instead: list[Arg] | None = None) -> Kind:
    """One of a family by its name, as in `adamw(lr=1e-3)`; `instead` replaces arguments of the same name."""
    choices = family.choices()
    function, given = (tree.function, tree.arguments) if isinstance(tree, ast.Call) else (tree, ())
    if not isinstance(function, ast.Name) or function.id not in choices:
        near = nearest(function.id, choices) if isinstance(function, ast.Name) else None
        help = f"did you mean `{near}`?" if near else f"there are {', '.join(choices)}"
        if isinstance(tree, ast.Literal) and tree.value in choices:
            help = f"it stands without quotes: {tree.value}"
        raise Refusal(BadSetting(f"`{function.span.text}` is no {what}", function.span, help=help))
    replaced = {argument.name for argument in instead or ()}
    arguments = [argument for argument in expressions.arguments(frame, given) if argument.name not in replaced]
    return calls.construct(choices[function.id], [*arguments, *(instead or ())], tree.span)
