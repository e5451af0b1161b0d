"""`train` blocks: the instances that are trained, the settings, and what one step does to one batch."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace

from dlc.compiler.dim import Dim
from dlc.compiler.elaborate import batches, binding, reach, reports, statements
from dlc.compiler.elaborate.compilation import Compilation
from dlc.compiler.elaborate.frame import Frame, Slot, fix
from dlc.compiler.elaborate.parameters import Parameters
from dlc.compiler.elaborate.results import bind_results
from dlc.compiler.elaborate.scope import Scope
from dlc.compiler.elaborate.settings import settings_of
from dlc.compiler.elaborate.values import BlockDef, DataParts, Instance, Recipe
from dlc.compiler.errors import (
    DuplicateName,
    Misplaced,
    NeedsOver,
    NoReturn,
    NotAveraged,
    NothingTrained,
    OpenWeight,
    Stale,
)
from dlc.compiler.graph import Graph, Module, Value, weights_of
from dlc.compiler.measuring import Measuring
from dlc.compiler.program import DataSpec, Minimize, Procedure, Step, TrainSpec
from dlc.compiler.types import Tensor
from dlc.compiler.weights import sizes_of
from dlc.grammar import ast
from dlc.grammar.diagnostics import Label, Refusal, Sink
from dlc.grammar.suggest import nearest


def elaborate_train(compilation: Compilation, tree: ast.Train, data: DataSpec, scope: Scope) -> TrainSpec:
    """Checks a `train` block. Raises Refusal where it cannot be trained."""
    top = Frame(compilation, Graph(tree.name.id, tree.name.span), Scope(scope))
    bound = [item for item in tree.items if isinstance(item, ast.Assign)]
    statements.run(top, [item.replace(origin=None) for item in bound])
    origins = {item.targets[0].id: str(item.origin.value) for item in bound if item.origin is not None}
    for instance in _instances(top):
        _override_parameters(top, instance)
    models = dict(_models(top))
    phases = _phases(top, tree)
    steps = {
        name: _step(top, phases[name], data, [phase for other, phase in phases.items() if other != name])
        for name in _STEPS
        if name in phases
    }
    procedures = {
        name: procedure
        for name, phase in phases.items()
        if name not in _STEPS and (procedure := _procedure(top, phase)) is not None
    }
    settings = settings_of(top, tree, data, steps)
    instances = top.modules()
    if top.failed or settings is None:
        raise Refusal()
    for graph in (*(step.graph for step in steps.values()), *(made.graph for made in procedures.values())):
        graph.borrowed.update(instances)
    _check_sizes(top, instances)
    _check_reach(top, steps["step"], instances, origins)
    if top.failed:
        raise Refusal()
    evaluate = steps.get("evaluate")
    return TrainSpec(
        tree.name.id,
        data,
        instances,
        models,
        settings,
        steps["step"],
        tree.name.span,
        tree.doc,
        evaluate=evaluate,
        procedures=procedures,
        origins=origins,
    )


_STEPS = ("step", "evaluate")


def _phases(top: Frame, tree: ast.Train) -> dict[str, ast.Phase]:
    """The blocks of a train block by name; a step is among them."""
    phases: dict[str, ast.Phase] = {}
    for phase in (item for item in tree.items if isinstance(item, ast.Phase)):
        name = phase.name.id
        if name in phases:
            labels = (Label(phases[name].name.span, "first here"),)
            top.refuse(DuplicateName(f"`{tree.name.id}` has two `{name}:`", phase.name.span, labels=labels))
        elif name in _STEPS and phase.parameters is not None:
            top.refuse(Misplaced(f"`{name}` has no parameters: the data's fields are in scope", phase.name.span))
        phases.setdefault(name, phase)
    if "step" not in phases:
        near = next((phase for name, phase in phases.items() if nearest(name, ["step"])), None)
        place = near.name.span if near else tree.name.span
        help = "did you mean `step`?" if near else None
        raise Refusal(NothingTrained(f"`{tree.name.id}` has no `step:`", place, help=help))
    return phases


def _override_parameters(top: Frame, instance: Instance) -> None:
    """Gives an instance of a model what the command line sets of the model's parameters."""
    layer = instance.layer
    if not isinstance(layer, Recipe) or not isinstance(layer.callee, BlockDef) or layer.callee.tree.kind != "model":
        return
    overrides = top.compilation.overrides.parameters(layer.callee.tree)
    if overrides:
        given = binding.distribute(layer.callee, layer.arguments, layer.span).statics
        named = {name: replace(arguments[0], name=name) for name, arguments in given.items()}
        instance.layer = Recipe(layer.callee, tuple((named | overrides).values()), layer.span)


def _models(top: Frame) -> Iterator[tuple[str, str]]:
    """The block that each instance is one of."""
    for name, slot in top.slots().items():
        if isinstance(slot, Instance) and isinstance(slot.layer, Recipe) and isinstance(slot.layer.callee, BlockDef):
            yield name, slot.layer.callee.name


# --- the step ---------------------------------------------------------------------------------------------------


def _step(top: Frame, tree: ast.Phase, data: DataSpec, others: Sequence[ast.Phase]) -> Step:
    """A step, elaborated again where it uses the weights of an instance above the line that first applies it, or
    leaves that to another phase."""
    compilation, unfixed = top.compilation, [instance for instance in _instances(top) if instance.module is None]
    outer, compilation.sink = compilation.sink, Sink()
    step, frame = _attempt(top, tree, data)
    if frame.failed and unfixed:
        told = compilation.sink
        _apply_elsewhere(top, data, others)
        compilation.sink = told
        if any(instance.module is not None for instance in unfixed):
            compilation.sink = Sink()
            step, frame = _attempt(top, tree, data)
    outer.extend(compilation.sink)
    compilation.sink = outer
    top.failed = top.failed or frame.failed
    return step


def _apply_elsewhere(top: Frame, data: DataSpec, phases: Sequence[ast.Phase]) -> None:
    """Fixes instances that other phases apply; what is left takes after one of the same block with the same arguments,
    as a teacher does after its student."""
    failed = top.failed
    for phase in phases:
        top.compilation.sink = Sink()  # what is wrong there is told in its turn
        if phase.name.id in _STEPS:
            _attempt(top, phase, data)
        else:
            _procedure(top, phase)
    top.failed = failed
    for instance in _instances(top):
        if instance.module is None:
            twin = next((other for other in _instances(top) if other.module and _alike(instance, other)), None)
            if twin is not None and twin.module is not None:
                fix(instance, twin.module, twin.fixed_at or twin.span)
                instance.applied = True  # by the average that it is


def _alike(one: Instance, other: Instance) -> bool:
    """Whether two instances are of one block, called with the same static arguments as they are written."""
    a, b = one.layer, other.layer
    if not isinstance(a, Recipe) or not isinstance(b, Recipe) or a.callee is not b.callee:
        return False
    written = [[(argument.name, argument.span.text) for argument in recipe.arguments] for recipe in (a, b)]
    return written[0] == written[1]


def _instances(top: Frame) -> Iterator[Instance]:
    pending = list(top.slots().values())
    while pending:
        slot = pending.pop()
        if isinstance(slot, list):
            pending += slot
        elif isinstance(slot, Instance):
            yield slot


def _attempt(top: Frame, tree: ast.Phase, data: DataSpec) -> tuple[Step, Frame]:
    graph = Graph(tree.name.id, tree.name.span)
    frame = Frame(top.compilation, graph, Scope(top.scope), owns=False)
    frame.borrowed = top.slots()
    frame.effects = []
    frame.assigns = tree.name.id == "step"
    frame.scope.bind(data.name, _parts(graph, data), data.span)
    batches.enter(frame, data.fields, data.span)
    returned = statements.run(frame, tree.body)
    if returned is not None:
        frame.refuse(Misplaced(f"`{tree.name.id}` returns nothing; it minimises and reports", returned.span))
    step = Step(graph, tuple(frame.effects))
    if not frame.failed:
        _check_effects(frame, tree, step)
    return step, frame


def _parts(graph: Graph, data: DataSpec) -> DataParts:
    """What a step can ask of its data as a whole: of a text, the share of each token in the training part."""

    def frequencies() -> Value:
        name = f"{data.name}_frequencies"
        while name in data.fields:
            name += "_"
        type = Tensor.of(data.schema.vocabulary or 0)
        return graph.inputs.setdefault(name, Value(type, data.span, name))

    return DataParts(data.name, {} if data.schema.vocabulary is None else {"frequencies": frequencies})


def _check_effects(frame: Frame, tree: ast.Phase, step: Step) -> None:
    """A step learns something, and each of several gradient steps says what it updates; measuring changes nothing."""
    minimized = [effect for _, effect in step.effects if isinstance(effect, Minimize)]
    if tree.name.id == "evaluate":
        for effect in minimized:
            frame.refuse(Misplaced("`evaluate` measures, it does not learn", effect.span))
    elif not minimized and not any(reach.assigned(step.graph)):
        frame.refuse(NothingTrained("the step minimises nothing and assigns nothing", tree.name.span))
    measuring = Measuring(step)
    for report in step.reports:
        op = measuring.hidden(report)
        if op is not None:
            frame.refuse(
                NotAveraged(
                    f"`{report.name}` would be an average over batches, and `{op.name}` does not average",
                    report.span,
                    help=f"apply `{op.name}` in the step itself, and compute the report from what it gives",
                )
            )
    if len(minimized) > 1:
        for effect in minimized:
            if not effect.over:
                other = next(another for another in minimized if another is not effect)
                frame.refuse(
                    NeedsOver(
                        "a step with several gradient steps says of each what it updates",
                        effect.span,
                        label="this says nothing",
                        labels=(Label(other.span, "another one"),),
                        help="add what it updates, as in `… over G`",
                    )
                )


def _procedure(top: Frame, tree: ast.Phase) -> Procedure | None:
    """A named block of a train block as a graph, its parameters at their defaults or as the command line sets them."""
    graph = Graph(tree.name.id, tree.name.span)
    frame = Frame(top.compilation, graph, Scope(top.scope), owns=False)
    frame.borrowed = top.slots()
    block = ast.Block(tree.span, "procedure", tree.name, tree.parameters or (), None, tree.body)
    try:
        statics = top.compilation.overrides.procedure(tree)
        Parameters(frame, block, None, statics, {}).bind()
        returned = statements.run(frame, tree.body)
        if returned is None and not frame.failed:
            raise Refusal(NoReturn(f"`{tree.name.id}` returns nothing", tree.name.span, help="end it with `return …`"))
        if returned is not None:
            bind_results(frame, block, returned.values, returned.spans, returned.span)
    except Refusal as refusal:
        frame.report(refusal)
    top.failed = top.failed or frame.failed
    return None if frame.failed else Procedure(tree.name.id, graph, tree.span)


def _check_sizes(top: Frame, instances: Mapping[str, Module]) -> None:
    """In training every weight's size is a number."""
    told: set[tuple[str, Dim]] = set()  # one place in the spec may open several weights
    for path, weight in weights_of(instances):
        for size in sizes_of(weight):
            if size.is_constant or (path.partition(".")[0], size) in told:
                continue
            told.add((path.partition(".")[0], size))
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


def _check_reach(top: Frame, step: Step, instances: Mapping[str, Module], origins: Collection[str]) -> None:
    """Every `minimize` reaches a weight that it is to update, none uses what has changed since, and every instance
    that can learn is updated, or has learned before: origins are those that start from a run."""
    updated = set(reach.assigned(step.graph))
    for _, effect in step.effects:
        if not isinstance(effect, Minimize):
            continue
        over = effect.over or tuple(name for name, module in instances.items() if _learns(module))
        found = {used for _, node in reach.differentiated(step, effect, over) for used in reach.uses(node)}
        idle = [path for path in over if not any(reach.overlap(path, used) for used in found)]
        if not over or (idle and (effect.over or len(idle) == len(over))):
            told = f"`{idle[0]}`" if effect.over else "any weight"
            unreached = [_first_instance(top.slots()[path.partition(".")[0]]) for path in idle[:1]]
            labels = tuple(Label(place.span, "bound here") for place in unreached if place is not None)
            where = reach.cut(step, effect, idle)
            label = "computed without it" if effect.over else "computed without any of the instances"
            if where is not None:
                labels = (*labels, Label(where.span, "no gradient passes this"))
                label = ""
            message = f"this does not reach {told}, so there is nothing to learn from it"
            top.refuse(NothingTrained(message, effect.span, label=label, labels=labels))
        updated |= found if not effect.over else set(over)
    for effect, node, changed in reach.stale(step, tuple(instances)):
        labels = (Label(node.span, "computed here, with the weights as they were"), Label(changed, "changed here"))
        help = "compute it again below the change, or cut it off with stop(…)"
        message = "this learns through weights that have changed since"
        top.refuse(Stale(message, effect.span, labels=labels, help=help))
    for name, module in instances.items():
        if name in origins:
            continue
        if _learns(module) and not any(reach.overlap(name, path) for path in updated) and not top.failed:
            place = _first_instance(top.slots()[name])
            labels = tuple(
                Label(effect.span, "this does not reach it")
                for _, effect in step.effects
                if isinstance(effect, Minimize)
            )
            told = f"nothing trains `{name}`"
            top.refuse(NothingTrained(told, place.span if place else top.graph.span, label="bound here", labels=labels))


def _learns(module: Module) -> bool:
    return any(weight.trainable for _, weight in weights_of({"": module}))
