"""The settings of a train block: each is known and within its bounds; the command line replaces what the spec says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dlc.compiler.dim import Dim
from dlc.compiler.elaborate import choosing, effects, evaluation, reports
from dlc.compiler.elaborate.demands import check_demands
from dlc.compiler.elaborate.frame import Frame
from dlc.compiler.elaborate.values import Arg, describe, is_sequence
from dlc.compiler.errors import BadSetting, StaticType, UnknownSetting
from dlc.compiler.graph import blocks_of
from dlc.compiler.program import DataSpec, Step
from dlc.compiler.settings import Average, CheckpointInterval, Optimizer, Schedule, Settings, StopEarly
from dlc.grammar import ast
from dlc.grammar.diagnostics import Label, Refusal
from dlc.grammar.source import Span
from dlc.grammar.suggest import nearest

_EPOCHS_OR_STEPS = "a training lasts a number of epochs or a number of steps, not both"
_FAMILIES = {"optimizer": Optimizer, "schedule": Schedule, "average": Average}
_FORMS = {"stop_early": StopEarly, "checkpoint": CheckpointInterval}


def settings_of(top: Frame, tree: ast.Train, data: DataSpec, steps: Mapping[str, Step]) -> Settings | None:
    """The settings of a train block, whose instances and steps are known. steps: `step`, and `evaluate` if any."""
    trees, place = _given(top, tree)
    overrides = top.compilation.overrides.settings()
    trees.update({name: value for name, value in overrides.items() if "." not in name})
    values: dict[str, Any] = {}
    spans: dict[str, Span] = {}
    for name, value in trees.items():
        try:
            values[name] = _value(top, name, value, overrides, data)
            spans[name], spans[f"{name}.on"] = value.span, _watched(value)
        except Refusal as refusal:
            top.report(refusal)
    if top.failed:
        return None
    for name, value in overrides.items():
        family = name.partition(".")[0]
        if family not in Settings.fields() or ("." in name and family not in trees):
            top.refuse(_unknown(name, family, value.span))
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
    settings = _made(top, values, spans, place)
    if settings is not None:
        check_demands(top, settings, spans, data, steps)
    return settings


def _given(top: Frame, tree: ast.Train) -> tuple[dict[str, ast.Expr], Span]:
    """The settings that a train block gives, by name, and the place where they stand."""
    trees: dict[str, ast.Expr] = {}
    place = tree.name.span
    for block in (item for item in tree.items if isinstance(item, ast.Settings)):
        place = Span(block.span.source, block.span.start, block.span.start + len("settings"))
        for item in block.items:
            name = item.name.id
            if name not in Settings.fields():
                top.refuse(_unknown(name, name, item.name.span))
            elif name in trees:
                labels = (Label(trees[name].span, "here already"),)
                top.refuse(BadSetting(f"`{name}` is set twice", item.name.span, labels=labels))
            else:
                trees[name] = item.value
    return trees, place


def _watched(tree: ast.Expr) -> Span:
    """Where a setting says what it goes by, or else all of it."""
    given = tree.arguments if isinstance(tree, ast.Call) else tree.fields if isinstance(tree, ast.RecordExpr) else ()
    named = [item.value.span for item in given if item.name and item.name.id == "on"]
    return named[0] if named else tree.span


def _unknown(name: str, family: str, span: Span) -> UnknownSetting:
    near = nearest(family, Settings.fields())
    help = f"did you mean `{near}`?" if near else "the settings are " + ", ".join(Settings.fields())
    return UnknownSetting(f"there is no setting `{name}`", span, help=help)


def _made(top: Frame, values: Mapping[str, Any], spans: Mapping[str, Span], place: Span) -> Settings | None:
    try:
        return Settings(**values)
    except ValueError as error:
        for problem in reports.refused(error, "settings", values, spans, place):
            top.refuse(BadSetting(problem.message, problem.span, label=problem.label))
    return None


# --- one setting ------------------------------------------------------------------------------------------------


def _value(top: Frame, name: str, tree: ast.Expr, overrides: Mapping[str, ast.Expr], data: DataSpec) -> Any:
    if name in _FAMILIES:
        return choosing.choose(top, name, _FAMILIES[name], tree, _overridden(top, name, overrides))
    if name in _FORMS:
        return choosing.fill(top, name, _FORMS[name], tree, _overridden(top, name, overrides))
    if name == "rates":
        return _rates(top, tree)
    if name == "bucket":
        return _bucket(tree, data)
    if name == "recompute":
        return _recompute(top, tree)
    if name == "batch" and isinstance(tree, ast.Name) and tree.id == "all":
        return "all"
    if name == "batch" and isinstance(tree, ast.Name) and tree.id not in top.scope:
        raise Refusal(BadSetting("a batch is a number of examples, or `all`", tree.span))
    if name in ("precision", "plan") and isinstance(tree, ast.Name) and tree.id not in top.scope:
        raise Refusal(BadSetting(f"`{name}` is a string", tree.span, help=f'it stands in quotes: "{tree.id}"'))
    value = evaluation.evaluate(top, tree)
    if not is_sequence(value) and not isinstance(value, Dim | float | bool | str | None):
        raise Refusal(StaticType(f"`{name}` is a number or a string, and this is {describe(value)}", tree.span))
    return value


def _bucket(tree: ast.Expr, data: DataSpec) -> str | None:
    """The field that tells an example's length."""
    if isinstance(tree, ast.Literal) and tree.value is None:
        return None
    numbers = [name for name, field in data.fields.items() if field.type.rank == 0]
    if isinstance(tree, ast.Name) and tree.id in numbers:
        return tree.id
    near = nearest(tree.id, numbers) if isinstance(tree, ast.Name) else None
    known = f"{data.name} has {', '.join(numbers)}" if numbers else f"{data.name} has none: add one, as length: int[]"
    message = "`bucket` names a field with a number for each example, its length"
    raise Refusal(BadSetting(message, tree.span, help=f"did you mean `{near}`?" if near else known))


def _recompute(top: Frame, tree: ast.Expr) -> str | None:
    """The block whose instances compute their activations again."""
    if isinstance(tree, ast.Literal) and tree.value is None:
        return None
    blocks = sorted({block.graph.name for _, block in blocks_of(top.modules())})
    if isinstance(tree, ast.Name) and tree.id in blocks:
        return tree.id
    near = nearest(tree.id, blocks) if isinstance(tree, ast.Name) else None
    known = f"there are {', '.join(blocks)}" if blocks else "there are none: what it holds is to be a block of its own"
    message = "`recompute` names a block that has weights and is a part of what is trained"
    raise Refusal(BadSetting(message, tree.span, help=f"did you mean `{near}`?" if near else known))


def _overridden(top: Frame, family: str, overrides: Mapping[str, ast.Expr]) -> list[Arg]:
    """What the command line sets of one setting's arguments."""
    return [
        Arg(key, evaluation.evaluate(top, value), value.span, value.span)
        for name, _, key, value in ((*path.partition("."), value) for path, value in overrides.items())
        if name == family and key
    ]


def _rates(top: Frame, tree: ast.Expr) -> tuple[tuple[str, Any], ...]:
    """`[(net.body, 0.1), (net.head.bias, 2)]`: factors of the learning rate by the paths of parts."""
    help = "as in rates = [(net.body, 0.1)]"
    if not isinstance(tree, ast.ListExpr):
        raise Refusal(BadSetting("`rates` is a list of pairs, a part and its factor", tree.span, help=help))
    rates: dict[str, Any] = {}
    for item in tree.items:
        if not isinstance(item, ast.TupleExpr) or len(item.items) != 2:
            raise Refusal(BadSetting("a part and its factor are due here", item.span, help=help))
        part, factor = item.items
        path = effects.located(top, part).path
        value = evaluation.evaluate(top, factor)
        number = value.constant if isinstance(value, Dim) else value
        if not isinstance(number, int | float) or isinstance(number, bool) or number < 0:
            message = f"a factor of the learning rate is a number from 0 up, and this is {describe(value)}"
            raise Refusal(BadSetting(message, factor.span))
        if path in rates:
            raise Refusal(BadSetting(f"`{path}` has a factor already", part.span))
        rates[path] = number
    return tuple(rates.items())
