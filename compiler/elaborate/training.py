"""`train` blocks: the instances that are trained, the settings, and what one step does to one batch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from dlc.compiler.dim import Dim
from dlc.compiler.elaborate import calls, expressions, reports, statements
from dlc.compiler.elaborate.compilation import Compilation
from dlc.compiler.elaborate.frame import Frame, Slot
from dlc.compiler.elaborate.scope import Scope
from dlc.compiler.elaborate.values import Arg, BlockDef, Instance, Origin, Recipe, describe, is_sequence
from dlc.compiler.errors import (
    BadSetting,
    DuplicateName,
    Misplaced,
    NotBuilt,
    NothingTrained,
    OpenWeight,
    StaticType,
    UnknownSetting,
)
from dlc.compiler.graph import Graph, ModelRef, Module, Value, weights_of
from dlc.compiler.program import DataSpec, Effect, Minimize, Step, TrainSpec
from dlc.compiler.settings import Optimizer, Schedule, Settings
from dlc.compiler.types import Tensor
from dlc.grammar import ast
from dlc.grammar.diagnostics import Label, Refusal
from dlc.grammar.source import Span
from dlc.grammar.suggest import nearest


def elaborate_train(compilation: Compilation, tree: ast.Train, data: DataSpec, scope: Scope) -> TrainSpec:
    """Checks a `train` block. Raises Refusal where it cannot be trained."""
    top = Frame(compilation, Graph(tree.name.id, tree.name.span), Scope(scope))
    phases = [item for item in tree.items if isinstance(item, ast.Phase)]
    statements.run(top, [item for item in tree.items if isinstance(item, ast.Assign)])
    models = dict(_models(top))
    for phase in phases:
        if phase.name.id != "step":
            message = f"this version has no `{phase.name.id}:` in a train block, only `step:`"
            help = "did you mean `step`?" if nearest(phase.name.id, ["step"]) else None
            top.refuse(NotBuilt(message, phase.name.span, help=help))
    steps = [phase for phase in phases if phase.name.id == "step"]
    for again in steps[1:]:
        labels = (Label(steps[0].name.span, "first here"),)
        top.refuse(DuplicateName(f"`{tree.name.id}` has two `step:`", again.name.span, labels=labels))
    step_tree = steps[0] if steps else None
    if not phases:
        top.refuse(NothingTrained(f"`{tree.name.id}` has no `step:`", tree.name.span, label="nothing to do"))
    step = _step(top, step_tree, data) if step_tree else None
    settings = _settings(top, tree)
    instances = top.modules()
    if top.failed or step is None or settings is None:
        raise Refusal()
    step.graph.borrowed.update(instances)
    _check_sizes(top, instances)
    _check_reach(top, step, instances)
    if top.failed:
        raise Refusal()
    return TrainSpec(tree.name.id, data, instances, models, settings, step, tree.name.span, tree.doc)


def _models(top: Frame) -> Iterator[tuple[str, str]]:
    """The block that each instance is one of."""
    for name, slot in top.slots().items():
        if isinstance(slot, Instance) and isinstance(slot.layer, Recipe) and isinstance(slot.layer.callee, BlockDef):
            yield name, slot.layer.callee.name


# --- the step ---------------------------------------------------------------------------------------------------


def _step(top: Frame, tree: ast.Phase, data: DataSpec) -> Step:
    graph = Graph(tree.name.id, tree.name.span)
    frame = Frame(top.compilation, graph, Scope(top.scope), owns=False)
    frame.borrowed = top.slots()
    frame.effects = []
    batch = Dim.symbol("N").at(Origin(data.span, "`N` is the number of examples in a batch"))
    frame.scope.bind("N", batch, data.span)
    graph.statics["N"] = batch
    for field in data.fields.values():
        type = Tensor(field.type.dtype, (batch, *field.type.shape), field.type.below)
        graph.inputs[field.name] = Value(type, field.span, field.name)
        frame.scope.bind(field.name, graph.inputs[field.name], field.span)
    returned = statements.run(frame, tree.body)
    if returned is not None:
        frame.refuse(Misplaced("a step returns nothing; it minimises and reports", returned.span))
    if not frame.failed and not any(isinstance(effect, Minimize) for _, effect in frame.effects):
        frame.refuse(NothingTrained("the step minimises nothing", tree.name.span))
    top.failed = top.failed or frame.failed
    return Step(graph, tuple(frame.effects))


def _check_sizes(top: Frame, instances: Mapping[str, Module]) -> None:
    """In training every weight's size is a number."""
    for path, weight in weights_of(instances):
        for size in weight.shape:
            if size.is_constant:
                continue
            slot = top.slots()[path.partition(".")[0]]
            place = _first_instance(slot)
            shape = ", ".join(map(str, weight.shape))
            top.refuse(
                OpenWeight(
                    f"the weight `{path}` has the shape [{shape}], and {size} is not known before a batch is there",
                    place.fixed_at or place.span if place else top.graph.span,
                    labels=reports.origins([size], apart_from=top.graph.span),
                    help="a weight cannot depend on the number of examples in a batch",
                )
            )


def _first_instance(slot: Slot) -> Instance | None:
    while isinstance(slot, list):
        slot = slot[0]
    return slot if isinstance(slot, Instance) else None


def _check_reach(top: Frame, step: Step, instances: Mapping[str, Module]) -> None:
    """Every `minimize` reaches a weight, and every instance that can learn is reached by one."""
    reached: set[str] = set()
    for _, effect in step.effects:
        if not isinstance(effect, Minimize):
            continue
        found = {name for name in _reached(step.graph, effect) if _learns(instances[name])}
        if not found:
            top.refuse(
                NothingTrained(
                    "this reaches no weight, so there is nothing to learn from it",
                    effect.span,
                    label="computed without any of the instances",
                )
            )
        reached |= found
    for name, module in instances.items():
        slot = top.slots()[name]
        if name not in reached and _learns(module) and not top.failed:
            place = _first_instance(slot)
            top.refuse(NothingTrained(f"nothing trains `{name}`", place.span if place else top.graph.span))


def _learns(module: Module) -> bool:
    return any(weight.trainable for _, weight in weights_of({"": module}))


def _reached(graph: Graph, effect: Effect) -> set[str]:
    """The instances whose weights a loss is computed from."""
    needed = {id(effect.value)}
    reached: set[str] = set()
    for node in reversed(graph.nodes):
        if not any(id(output) in needed for output in node.outputs):
            continue
        needed.update(id(value) for value in node.values)
        paths = [operand.path for operand in node.inputs if isinstance(operand, ModelRef)]
        if node.module is not None:
            paths.append(node.module)
        reached.update(path.partition(".")[0] for path in paths)
    return reached


# --- settings ---------------------------------------------------------------------------------------------------

_EPOCHS_OR_STEPS = "a training lasts a number of epochs or a number of steps, not both"
_FAMILIES: dict[str, type[Optimizer] | type[Schedule]] = {"optimizer": Optimizer, "schedule": Schedule}


def _settings(top: Frame, tree: ast.Train) -> Settings | None:
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
    choices = _FAMILIES[name].choices()
    function, given = (tree.function, tree.arguments) if isinstance(tree, ast.Call) else (tree, ())
    if not isinstance(function, ast.Name) or function.id not in choices:
        near = nearest(function.id, choices) if isinstance(function, ast.Name) else None
        help = f"did you mean `{near}`?" if near else f"there are {', '.join(choices)}"
        if isinstance(tree, ast.Literal) and tree.value in choices:
            help = f"it stands without quotes: {tree.value}"
        raise Refusal(BadSetting(f"`{function.span.text}` is no {name}", function.span, help=help))
    arguments = expressions.arguments(top, given)
    for path, value in overrides.items():
        family, _, key = path.partition(".")
        if family == name and key:
            arguments = [argument for argument in arguments if argument.name != key]
            arguments.append(Arg(key, expressions.evaluate(top, value), value.span, value.span))
    return calls.construct(choices[function.id], arguments, tree.span)
