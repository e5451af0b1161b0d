"""Calls: what applying a layer adds to the graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dlc.compiler.dim import Dim
from dlc.compiler.elaborate.binding import Filled, distribute, not_a_tensor, signature, validate
from dlc.compiler.elaborate.borrowing import holds_instance
from dlc.compiler.elaborate.frame import Frame, fix, model_ref, owns_weights
from dlc.compiler.elaborate.values import (
    Arg,
    BlockDef,
    Composition,
    Instance,
    Layer,
    Part,
    Recipe,
    carries_tensor,
    is_layer,
    is_sequence,
)
from dlc.compiler.errors import (
    InstanceDisagrees,
    Misplaced,
    MissingArgument,
    NotALayer,
    UnknownAttribute,
)
from dlc.compiler.graph import BlockModule, ListModule, OpModule, Value, WeightModule, weights_of
from dlc.compiler.op import Op, TensorParameter, operations
from dlc.compiler.types import Scalar
from dlc.grammar.diagnostics import Label, Refusal
from dlc.grammar.source import Span


def applies_at_once(recipe: Recipe, given: Sequence[Arg]) -> bool:
    """Whether a call without tensors is already an application: `zeros(N, 8)`, and `l2(net)` of a model."""
    parameters = signature(recipe.callee).tensors
    if any(parameter.model for parameter in parameters):
        return any(is_layer(argument.value) for argument in given)
    return all(parameter.optional or parameter.scalar for parameter in parameters)


def with_arguments(layer: Recipe, given: Sequence[Arg], span: Span) -> Recipe:
    """A layer with more of its arguments given. What can be wrong about them alone is told at once."""
    recipe = Recipe(layer.callee, (*layer.arguments, *given), span)
    distribute(recipe.callee, recipe.arguments, span)
    return recipe


def apply(frame: Frame, layer: Layer, given: Sequence[Arg], span: Span) -> Any:
    """Applies a layer to arguments, tensors among them."""
    match layer:
        case Composition():
            return _compose(frame, layer, given)
        case Recipe():
            return _apply_recipe(frame, layer, given, span, None)
        case Instance(layer=Recipe() as recipe):
            return _apply_recipe(frame, recipe, given, span, layer)
        case Instance():
            return frame.compilation.apply_composition(frame, layer, given, span)
        case Part():
            return _apply_part(frame, layer, given, span)


def _compose(frame: Frame, layer: Composition, given: Sequence[Arg]) -> Any:
    match layer.kind:
        case "branch":
            return tuple(apply(frame, stage, given, stage.span) for stage in layer.stages)
        case "residual":
            inner = apply(frame, layer.stages[0], given, layer.stages[0].span)
            spans = {"x": given[0].span, "y": layer.span}
            return frame.apply(operations()["add"](), [given[0].value, inner], layer.span, spans)
        case "repeat" if frame.owns and not holds_instance(layer):
            path = frame.claim("repeat")
            instance = Instance(layer, path, frame, layer.span)
            frame.fill(path, instance)
            result = apply(frame, instance, given, layer.span)
            if instance.module is None:
                frame.release(path)
            return result
        case _:
            arguments = list(given)
            for stage in layer.stages:
                arguments = [Arg(None, apply(frame, stage, arguments, stage.span), stage.span)]
            return arguments[0].value if len(arguments) == 1 else tuple(argument.value for argument in arguments)


def _apply_part(frame: Frame, part: Part, given: Sequence[Arg], span: Span) -> Any:
    match part.module:
        case OpModule(op=op):
            filled = distribute(type(op), given, span)
            return _apply_op(frame, op, filled, span, part)
        case BlockModule(graph=graph):
            return frame.compilation.apply_part(frame, part, graph, given, span)
        case ListModule() | WeightModule():
            raise Refusal(NotALayer(f"`{part.path}` is not a layer, so it cannot be applied", span))


def _apply_recipe(frame: Frame, recipe: Recipe, given: Sequence[Arg], span: Span, instance: Instance | None) -> Any:
    tensors = [argument for argument in given if argument.name is None and carries_tensor(argument.value)]
    others = [argument for argument in given if argument not in tensors]
    # a direct call keeps its order; a layer's own arguments stand between the tensors and what is given later
    arguments = [*tensors, *recipe.arguments, *others] if recipe.arguments else list(given)
    filled = distribute(recipe.callee, arguments, span)
    for parameter in signature(recipe.callee).tensors:
        if parameter.name not in filled.tensors and not parameter.optional and not parameter.variadic:
            raise Refusal(MissingArgument(f"`{recipe.name}` needs a tensor as its `{parameter.name}`", span, help=None))
    for needed in signature(recipe.callee).statics:
        if needed.required and not needed.variadic and needed.name not in filled.statics:
            raise Refusal(
                MissingArgument(
                    f"`{recipe.name}` needs a value for `{needed.name}`",
                    recipe.span if recipe.arguments else span,
                    help=f"as in {recipe.name}({needed.name}=…)",
                )
            )
    if isinstance(recipe.callee, BlockDef):
        return frame.compilation.apply_block(frame, recipe.callee, filled, span, instance)
    op = _make_op(recipe.callee, filled, span)
    return _apply_op(frame, op, filled, span, instance)


def _make_op(callee: type[Op], filled: Filled, span: Span) -> Op:
    values: dict[str, Any] = {}
    for entry in callee.signature().statics:
        given = filled.statics.get(entry.name)
        if given is None:
            if entry.variadic and entry.required:
                values[entry.name] = ()
            continue
        if entry.variadic and not (len(given) == 1 and is_sequence(given[0].value)):
            values[entry.name] = tuple(argument.value for argument in given)
        else:
            values[entry.name] = given[0].value
    if callee.keywords is not None and filled.keywords:
        values[callee.keywords] = {name: argument.value for name, argument in filled.keywords.items()}
    places = [name for name, given in filled.statics.items() if given[0].name is None]
    return validate(callee, callee.name, values, filled.spans(), span, places)


def _apply_op(frame: Frame, op: Op, filled: Filled, span: Span, instance: Instance | Part | None) -> Any:
    inputs: list[Any] = []
    for parameter in op.signature().tensors:
        given = filled.tensors.get(parameter.name, [])
        inputs += [_operand(frame, op, parameter, argument) for argument in given]
        if not given and not parameter.variadic:
            inputs.append(None)
    while inputs and inputs[-1] is None:
        inputs.pop()
    types = [operand.type if isinstance(operand, Value) else operand for operand in inputs]
    start = len(frame.graph.nodes)
    result = frame.apply(op, inputs, span, filled.spans())
    weights = op.weights(*types)
    if weights or op.stateful:
        node = frame.graph.nodes[start]
        node.module = module_path(frame, OpModule(op, tuple(types), weights), op.name, span, instance)
    elif isinstance(instance, Instance):
        instance.applied = True
    return result


def _operand(frame: Frame, op: Op, parameter: TensorParameter, argument: Arg) -> Any:
    value = argument.value
    match value:
        case Value() if parameter.tensor:
            return value
        case Dim() | float() | bool() if parameter.scalar:
            return Scalar(value)
        case Instance() | Part() if parameter.model:
            if value.module is None and not frame.failed:
                raise Refusal(_without_weights(value, argument.span))
            return model_ref(value)
        case None if parameter.optional:
            return None
        case _:
            raise Refusal(not_a_tensor(type(op), parameter.name, argument))


def _without_weights(layer: Instance | Part, span: Span) -> UnknownAttribute:
    return UnknownAttribute(
        f"`{layer.path}` has no weights before it is first applied", span, labels=(Label(layer.span, "bound here"),)
    )


def module_path(
    frame: Frame, module: OpModule | BlockModule, name: str, span: Span, instance: Instance | Part | None
) -> str | None:
    """The path of the module that an application uses: a fresh one, or the instance's, whose weights must agree."""
    if instance is None:
        if frame.owns:
            return frame.claim(name, module)
        if owns_weights(module):
            if frame.effects is None:
                message = f"data has no weights to learn, and `{name}` would make some"
                raise Refusal(Misplaced(message, span, help="a layer that learns belongs in a model"))
            raise Refusal(
                Misplaced(
                    f"this would make the weights of `{name}` anew in every step",
                    span,
                    help=f"bind it at the top of the train block, as in `net = {name}(…)`, and apply `net` here",
                )
            )
        return None
    if isinstance(instance, Instance):
        instance.applied = True
        if instance.module is None:
            fix(instance, module, span)
            return instance.path
    assert instance.module is not None
    ours = {path: weight.shape for path, weight in weights_of({"": instance.module})}
    theirs = {path: weight.shape for path, weight in weights_of({"": module})}
    if ours != theirs:
        raise Refusal(_disagreement(instance, ours, theirs, span))
    return instance.path


def _disagreement(instance: Instance | Part, ours: Any, theirs: Any, span: Span) -> InstanceDisagrees:
    path = next((path for path in ours if theirs.get(path) != ours[path]), "")
    fixed = instance.fixed_at if isinstance(instance, Instance) else instance.instance.fixed_at

    def told(shape: Any) -> str:
        return "no such weight" if shape is None else f"[{', '.join(map(str, shape))}]"

    return InstanceDisagrees(
        f"`{instance.path}` is one instance, and this application needs weights of other sizes",
        span,
        label=f"needs `{path.lstrip('.')}` {told(theirs.get(path))}",
        labels=(Label(fixed, f"fixed `{path.lstrip('.')}` as {told(ours.get(path))}"),) if fixed else (),
        help="an application of the layer itself, without a name, makes weights of its own",
    )
