"""Calls: which argument fills which parameter, and what applying a layer adds to the graph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from dlc.compiler.checked import Checked
from dlc.compiler.dim import Dim
from dlc.compiler.elaborate import reports, static
from dlc.compiler.elaborate.borrowing import holds_instance
from dlc.compiler.elaborate.elsewhere import parameter_here
from dlc.compiler.elaborate.frame import Frame, fix, model_ref, owns_weights
from dlc.compiler.elaborate.values import (
    Arg,
    BlockDef,
    Callee,
    Composition,
    Instance,
    Layer,
    Part,
    Recipe,
    carries_tensor,
    describe,
    is_layer,
    is_sequence,
)
from dlc.compiler.errors import (
    DuplicateArgument,
    InstanceDisagrees,
    LossNotScalar,
    Misplaced,
    MissingArgument,
    NotALayer,
    ShapeMismatch,
    TensorExpected,
    TooManyArguments,
    UnknownAttribute,
    UnknownParameter,
)
from dlc.compiler.graph import BlockModule, Gradient, ListModule, OpModule, Value, WeightModule, weights_of
from dlc.compiler.op import Op, Signature, StaticParameter, TensorParameter, operations
from dlc.compiler.types import DType, Scalar, ShapeError, resolve_axis
from dlc.grammar import ast
from dlc.grammar.diagnostics import Label, Refusal
from dlc.grammar.source import Span
from dlc.grammar.suggest import nearest

Kind = TypeVar("Kind", bound=Checked)

_BLOCK_SIGNATURES: dict[int, Signature] = {}


def signature(callee: Callee) -> Signature:
    """The parameters of an operation or a block."""
    return block_signature(callee.tree) if isinstance(callee, BlockDef) else callee.signature()


def block_signature(tree: ast.Block) -> Signature:
    """A block's parameters: those whose type has brackets are tensors, all others static."""
    tensors: list[TensorParameter] = []
    statics: list[StaticParameter] = []
    for parameter in tree.parameters:
        name = parameter.name.id
        if parameter.type is not None and parameter.type.dims is not None:
            optional = parameter.default is not None
            tensors.append(TensorParameter(name, optional, variadic=False, scalar=False, tensor=True, model=False))
        else:
            statics.append(StaticParameter(name, parameter.default is None, None, variadic=False))
    return Signature(tuple(tensors), tuple(statics), None)


@dataclass(slots=True)
class Filled:
    """Parameters with their arguments; a variadic parameter has several. keywords: names that are no parameter's."""

    tensors: dict[str, list[Arg]] = field(default_factory=dict[str, list[Arg]])
    statics: dict[str, list[Arg]] = field(default_factory=dict[str, list[Arg]])
    keywords: dict[str, Arg] = field(default_factory=dict[str, Arg])

    def span(self, name: str) -> Span | None:
        given = self.tensors.get(name) or self.statics.get(name)
        return given[0].span.to(given[-1].span) if given else None

    def spans(self) -> dict[str, Span]:
        """The place of each parameter, and of each of several arguments of one: `xs[1]`."""
        spans = {name: span for name in (*self.tensors, *self.statics) if (span := self.span(name))}
        for name, given in self.tensors.items():
            spans.update((f"{name}[{place}]", argument.span) for place, argument in enumerate(given))
        spans.update((name, argument.span) for name, argument in self.keywords.items())
        return spans


def distribute(callee: Callee, given: Sequence[Arg], span: Span) -> Filled:
    """Fills parameters: positional tensors the tensor parameters in order, positional static values the static ones,
    names either. A tuple fills several tensor parameters. Parameters may stay empty."""
    parameters = signature(callee)
    filled = Filled()
    for argument in given:
        if argument.name is None:
            singles = spread(argument)
            if len(singles) > len(parameters.tensors) and not any(p.variadic for p in parameters.tensors):
                _refuse_several(callee, parameters, argument, len(singles))
            for single in singles:
                _fill_by_place(callee, parameters, filled, single)
        else:
            _fill_by_name(callee, parameters, filled, argument)
    return filled


def spread(argument: Arg) -> list[Arg]:
    """The tensors of a tuple or list as arguments of their own."""
    if is_sequence(argument.value) and carries_tensor(argument.value):
        return [Arg(None, item, argument.span) for item in argument.value]
    return [argument]


def _fill_by_place(callee: Callee, parameters: Signature, filled: Filled, argument: Arg) -> None:
    value = argument.value
    free = next((p for p in parameters.tensors if p.variadic or p.name not in filled.tensors), None)
    if isinstance(value, Value):
        if free is None or not free.tensor:
            raise Refusal(_too_many_tensors(callee, parameters, filled, argument))
        filled.tensors.setdefault(free.name, []).append(argument)
        return
    takes_number = free is not None and free.scalar and isinstance(value, Dim | float | bool)
    takes_model = free is not None and free.model and is_layer(value)
    if free is not None and (takes_number or takes_model):
        filled.tensors.setdefault(free.name, []).append(argument)
        return
    static = next((p for p in parameters.statics if p.variadic or p.name not in filled.statics), None)
    if static is None and free is not None:
        raise Refusal(not_a_tensor(callee, free.name, argument))
    if static is None:
        count = len(parameters.statics)
        raise Refusal(
            TooManyArguments(
                f"`{callee.name}` takes {_count(count, 'static value')}, and this is one more",
                argument.span,
                label=describe(value),
            )
        )
    filled.statics.setdefault(static.name, []).append(argument)


def _fill_by_name(callee: Callee, parameters: Signature, filled: Filled, argument: Arg) -> None:
    name = argument.name
    assert name is not None
    tensor = any(p.name == name for p in parameters.tensors)
    static = any(p.name == name for p in parameters.statics)
    if not tensor and not static and parameters.keywords is not None:
        filled.keywords[name] = argument
        return
    if not tensor and not static:
        names = [p.name for p in (*parameters.tensors, *parameters.statics)]
        near = nearest(name, names)
        raise Refusal(
            UnknownParameter(
                f"`{callee.name}` has no parameter `{name}`",
                argument.name_span or argument.span,
                help=parameter_here(name, names)
                or (f"did you mean `{near}`?" if near else f"its parameters are {', '.join(names) or 'none'}"),
            )
        )
    into = filled.tensors if tensor and (not static or carries_tensor(argument.value)) else filled.statics
    if into is filled.statics and carries_tensor(argument.value):
        message = f"`{name}` of `{callee.name}` must be known at compile time, and this is {describe(argument.value)}"
        help = f"a parameter for a tensor has its type: {name}: float[]" if isinstance(callee, BlockDef) else None
        raise Refusal(TensorExpected(message, argument.span, help=help))
    if name in into:
        raise Refusal(
            DuplicateArgument(
                f"`{name}` of `{callee.name}` is given twice",
                argument.span,
                labels=(Label(into[name][0].span, "here already"),),
            )
        )
    into[name] = [argument]


def _too_many_tensors(
    callee: Callee, parameters: Signature, filled: Filled, argument: Arg
) -> TensorExpected | TooManyArguments:
    free = next((p for p in parameters.statics if p.name not in filled.statics), None)
    count = _count(len(parameters.tensors), "tensor")
    if free is None or free.variadic:
        return TooManyArguments(
            f"`{callee.name}` takes {count}, and this is one more", argument.span, label=describe(argument.value)
        )
    return TensorExpected(
        f"`{callee.name}` takes {count}; here its `{free.name}` is due, which must be known at compile time",
        argument.span,
        label=describe(argument.value),
    )


def _refuse_several(callee: Callee, parameters: Signature, argument: Arg, number: int) -> None:
    """Refuses a tuple of more tensors than there are parameters for."""
    if number > 1:
        names = ", ".join("abcdefgh"[:number])
        raise Refusal(
            TooManyArguments(
                f"`{callee.name}` takes {_count(len(parameters.tensors), 'tensor')}, and these are {number}",
                argument.span,
                label=describe(tuple(argument.value)),
                help=f"bind them to names first, as in {names} = …" if number <= 8 else None,
            )
        )


def not_a_tensor(callee: Callee, name: str, argument: Arg) -> TensorExpected:
    """What is said where a tensor is due and a static value or a layer is given."""
    value = argument.value
    labels: tuple[Label, ...] = ()
    help = apply_first(value, argument.span)
    if isinstance(callee, BlockDef):
        declared = next(parameter for parameter in callee.tree.parameters if parameter.name.id == name)
        labels = (Label(declared.span, "declared here"),)
        if help is None and value is not None:
            help = f"a parameter that takes a static value has no brackets: {name} = {argument.span.text}"
    return TensorExpected(
        f"`{name}` of `{callee.name}` is a tensor, and this is {describe(value)}",
        argument.span,
        labels=labels,
        help=help,
    )


def apply_first(value: Any, span: Span) -> str | None:
    """The advice to whoever writes a layer where its result is due."""
    if not is_layer(value):
        return None
    return f"apply it to a tensor, as in x -> {span.text}" if len(span.text) < 40 else "apply it to a tensor"


def _count(number: int, what: str) -> str:
    return f"no {what}s" if number == 0 else f"one {what}" if number == 1 else f"{number} {what}s"


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


def construct(kind: type[Kind], given: Sequence[Arg], span: Span, name: str = "") -> Kind:
    """A distribution, an optimiser or the like from arguments by place and by name."""
    fields = kind.fields()
    name = name or getattr(kind, "name", kind.__name__)
    values: dict[str, Any] = {}
    spans: dict[str, Span] = {}
    for place, argument in enumerate(given):
        if argument.name is None and place >= len(fields):
            raise Refusal(
                TooManyArguments(f"`{name}` takes {_count(len(fields), 'value')}, and this is one more", argument.span)
            )
        key = argument.name or list(fields)[place]
        if key not in fields:
            near = nearest(key, fields)
            help = f"did you mean `{near}`?" if near else f"its parameters are {', '.join(fields) or 'none'}"
            help = parameter_here(key, list(fields)) or help
            named = argument.name_span or argument.span
            raise Refusal(UnknownParameter(f"`{name}` has no parameter `{key}`", named, help=help))
        if key in values:
            raise Refusal(DuplicateArgument(f"`{key}` of `{name}` is given twice", argument.span))
        values[key], spans[key] = _plain(argument.value), argument.span
    missing = [key for key, entry in fields.items() if entry.required and key not in values]
    if missing:
        raise Refusal(MissingArgument(f"`{name}` needs `{missing[0]}`", span))
    return validate(kind, name, values, spans, span)


def _plain(value: Any) -> Any:
    return value.constant if isinstance(value, Dim) and value.is_constant else value


def validate(
    kind: type[Kind], name: str, values: dict[str, Any], spans: dict[str, Span], span: Span, places: Sequence[str] = ()
) -> Kind:
    try:
        return kind(**values)
    except ValueError as error:
        raise Refusal(*reports.refused(error, f"`{name}`", values, spans, span, places)) from None


def size_of(frame: Frame, given: Sequence[Arg], span: Span) -> Dim:
    """`size(x, axis)`: how long a tensor is along an axis, a static value."""
    if len(given) != 2:
        problem = TooManyArguments if len(given) > 2 else MissingArgument
        raise Refusal(problem("`size` takes a tensor and an axis", span, help="as in size(x, 0)"))
    tensor, axis = given
    if not isinstance(tensor.value, Value):
        raise Refusal(TensorExpected(f"`size` is that of a tensor, and this is {describe(tensor.value)}", tensor.span))
    shape = tensor.value.type.shape
    try:
        return shape[resolve_axis(static.whole(axis.value, axis.span), len(shape))]
    except ShapeError as error:
        raise Refusal(ShapeMismatch(error.message, axis.span, label=error.label)) from None


def gradient(frame: Frame, given: Sequence[Arg], span: Span) -> Value:
    """`grad(loss, x)`: the derivative of a scalar by a tensor."""
    if len(given) != 2:
        problem = TooManyArguments if len(given) > 2 else MissingArgument
        raise Refusal(problem("`grad` takes a scalar and what it is differentiated by", span, help="grad(loss, x)"))
    loss, by = given
    if not isinstance(loss.value, Value) or loss.value.type.rank or not loss.value.type.dtype.is_float:
        problem = f"`grad` differentiates a single float, and this is {describe(loss.value)}"
        raise Refusal(LossNotScalar(problem, loss.span, help="reduce it, as in sum(…)"))
    if isinstance(by.value, Instance | Part):
        from dlc.compiler.elaborate.vectors import vector  # vectors apply models, so they stand above calls

        by = Arg(None, vector(frame, by.value, by.span), by.span)
    if not isinstance(by.value, Value) or not by.value.type.dtype.is_float:
        raise Refusal(TensorExpected(f"`grad` is by a float tensor, and this is {describe(by.value)}", by.span))
    (result,) = frame.graph.add(Gradient(), [loss.value, by.value], [by.value.type], span)
    if id(by.value) in frame.models:
        frame.models[id(result)] = frame.models[id(by.value)]
    return result


def standardize(frame: Frame, given: Sequence[Arg], span: Span) -> Value:
    """`standardize(x)` in a data block: x less its mean over the training part, over its standard deviation."""
    if frame.fits is None:
        raise Refusal(Misplaced("`standardize` is fitted to the training part, so it belongs in a data block", span))
    if len(given) != 1:
        problem = TooManyArguments if given else MissingArgument
        raise Refusal(problem("`standardize` takes one tensor", span))
    x = given[0].value
    if not isinstance(x, Value) or x.type.dtype is DType.BOOL:
        raise Refusal(TensorExpected(f"`standardize` is of numbers, and this is {describe(x)}", given[0].span))
    if not x.type.dtype.is_float:
        x = frame.apply(operations()["cast"](type="float"), [x], span, {})
        assert isinstance(x, Value)
    number, name = 1, frame.graph.name
    while f"{name}_mean" in frame.graph.inputs or f"{name}_std" in frame.graph.inputs:
        number, name = number + 1, f"{frame.graph.name}_{number + 1}"
    frame.fits.append((name, x))
    result: Any = x
    for op, part in (("subtract", "mean"), ("divide", "std")):
        statistic = Value(x.type, span, f"{name}_{part}")
        frame.graph.inputs[f"{name}_{part}"] = statistic
        result = frame.apply(operations()[op](), [result, statistic], span, {})
    return result


# --- application ------------------------------------------------------------------------------------------------


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
