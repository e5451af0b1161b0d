"""Which argument fills which parameter, of an operation, a block, a distribution or an optimiser."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from dlc.compiler.checked import Checked
from dlc.compiler.dim import Dim
from dlc.compiler.elaborate import reports
from dlc.compiler.elaborate.elsewhere import parameter_here
from dlc.compiler.elaborate.names import names_of
from dlc.compiler.elaborate.values import (
    Arg,
    BlockDef,
    Callee,
    carries_tensor,
    describe,
    is_layer,
    is_sequence,
)
from dlc.compiler.errors import (
    DuplicateArgument,
    MissingArgument,
    TensorExpected,
    TooManyArguments,
    UnknownParameter,
)
from dlc.compiler.graph import Value
from dlc.compiler.op import Signature, StaticParameter, TensorParameter
from dlc.grammar import ast
from dlc.grammar.diagnostics import Label, Refusal
from dlc.grammar.source import Span
from dlc.grammar.suggest import nearest

Kind = TypeVar("Kind", bound=Checked)


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
    left_out = free is not None and free.optional and value is None
    if free is not None and (takes_number or takes_model or left_out):
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
                help=_size_there(callee, name)
                or parameter_here(name, names)
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
    elif isinstance(value, Dim | float):
        help = f"numbers are made a tensor by a list of them: tensor([{argument.span.text}])"
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


def _size_there(callee: Callee, name: str) -> str | None:
    """Where a name is that of a size of a block's tensors: why it is not given."""
    for parameter in callee.tree.parameters if isinstance(callee, BlockDef) else ():
        if any(each.id == name for each in names_of(parameter)):
            return f"`{name}` is a size of `{parameter.name.id}`, and follows from the tensor that is passed"
    return None


def _count(number: int, what: str) -> str:
    return f"no {what}s" if number == 0 else f"one {what}" if number == 1 else f"{number} {what}s"


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
