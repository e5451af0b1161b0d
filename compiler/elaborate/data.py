"""`data` blocks: where examples come from, and each field as a graph over the columns of one example."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from dlc.compiler.dim import Dim
from dlc.compiler.elaborate import batches, evaluation, static
from dlc.compiler.elaborate.compilation import Compilation
from dlc.compiler.elaborate.dimensions import element_type, promise, size
from dlc.compiler.elaborate.frame import Frame
from dlc.compiler.elaborate.names import names_in
from dlc.compiler.elaborate.scope import Scope
from dlc.compiler.elaborate.values import POISON, Record, describe, is_sequence
from dlc.compiler.errors import BadData, DuplicateArgument, FieldType, UnknownName
from dlc.compiler.graph import Graph, Value
from dlc.compiler.op import operations
from dlc.compiler.passes.prune import prune
from dlc.compiler.program import DataSpec, Field, Schema, SourceCall, Statistic
from dlc.compiler.types import DType, Tensor, product
from dlc.grammar import ast
from dlc.grammar.diagnostics import Diagnostic, Label, Refusal
from dlc.grammar.source import Span
from dlc.grammar.suggest import nearest

_SETTINGS = ("source", "split")
_PARTS = ("train", "valid", "test")


def elaborate_data(compilation: Compilation, tree: ast.Data, scope: Scope) -> DataSpec:
    """Checks a `data` block. Raises Refusal where its fields cannot be known."""
    frame = Frame(compilation, Graph(tree.name.id, tree.name.span), Scope(scope), owns=False)
    settings = _settings(frame, tree)
    if "source" not in settings and frame.failed:
        raise Refusal()
    if "source" not in settings:
        raise Refusal(
            BadData(f"`{tree.name.id}` has no source", tree.name.span, help='as in source = sklearn("digits")')
        )
    source = _source(frame, settings["source"].value)
    schema = compilation.loader.schema(source)
    fields: dict[str, Field] = {}
    for item in tree.items:
        if not isinstance(item, ast.DataField):
            continue
        if item.name.id in fields:
            labels = (Label(fields[item.name.id].span, "first here"),)
            frame.refuse(BadData(f"there are two fields `{item.name.id}`", item.name.span, labels=labels))
            continue
        try:
            fields[item.name.id] = _field(frame, item, schema, source, fields)
        except Refusal as refusal:
            frame.report(refusal)
            frame.scope.bind(item.name.id, POISON, item.span)
    if not fields and not frame.failed:
        frame.refuse(BadData(f"`{tree.name.id}` has no fields", tree.name.span))
    split = _split(frame, settings["split"].value) if "split" in settings else {"train": 1.0}
    if frame.failed:
        raise Refusal()
    trees = [item for item in tree.items if isinstance(item, ast.Augment)]
    augment = batches.augmentation(frame, trees, fields, tree.name.span)
    return DataSpec(tree.name.id, source, schema, fields, split, tree.name.span, augment)


def _settings(frame: Frame, tree: ast.Data) -> dict[str, ast.Setting]:
    found: dict[str, ast.Setting] = {}
    for item in tree.items:
        if not isinstance(item, ast.Setting):
            continue
        name = item.name.id
        if name not in _SETTINGS:
            near = nearest(name, _SETTINGS)
            help = f"did you mean `{near}`?" if near else f"a field has a type, as in {name}: float[4] = …"
            frame.refuse(BadData(f"`{name}` is nothing that a data block sets", item.name.span, help=help))
        elif name in found:
            labels = (Label(found[name].span, "here already"),)
            frame.refuse(BadData(f"`{name}` is set twice", item.span, labels=labels))
        else:
            found[name] = item
    return found


def _source(frame: Frame, tree: ast.Expr) -> SourceCall:
    if not isinstance(tree, ast.Call) or not isinstance(tree.function, ast.Name):
        raise Refusal(
            BadData("a source is a call that names where the examples are", tree.span, help='as in csv("prices.csv")')
        )
    given: list[object] = []
    named: dict[str, object] = {}
    for argument in tree.arguments:
        nested = argument.value
        if isinstance(nested, ast.Call) and _is_unknown(frame, nested.function):
            value: object = _source(frame, nested)
        else:
            value = _plain(evaluation.evaluate(frame, nested), nested.span)
        if argument.name is None:
            given.append(value)
        elif argument.name.id in named:
            raise Refusal(DuplicateArgument(f"`{argument.name.id}` is given twice", argument.span))
        else:
            named[argument.name.id] = value
    return SourceCall(tree.function.id, tuple(given), named, tree.span)


def _is_unknown(frame: Frame, function: ast.Expr) -> bool:
    """Whether a call is of something that only sources know, such as a tokenizer."""
    return isinstance(function, ast.Name) and function.id not in frame.scope and function.id not in static.FUNCTIONS


def _plain(value: Any, span: Span) -> object:
    """A source's argument as plain Python."""
    if isinstance(value, Dim):
        return static.whole(value, span)
    if value is None or isinstance(value, str | float | bool):
        return value
    if isinstance(value, Record):
        return {name: _plain(item, value.spans[name]) for name, item in value.fields.items()}
    if is_sequence(value):
        return [_plain(item, span) for item in value]
    raise Refusal(BadData(f"a source takes strings, numbers, lists and records, and this is {describe(value)}", span))


def _split(frame: Frame, tree: ast.Expr) -> dict[str, float]:
    value = evaluation.evaluate(frame, tree)
    if not isinstance(value, Record):
        raise Refusal(
            BadData(f"a split names its parts, and this is {describe(value)}", tree.span, help="(train=0.8, valid=0.2)")
        )
    shares: dict[str, float] = {}
    for name, share in value.fields.items():
        if name not in _PARTS:
            near = nearest(name, _PARTS)
            help = f"did you mean `{near}`?" if near else "the parts are train, valid and test"
            raise Refusal(BadData(f"`{name}` is no part of a split", value.spans[name], help=help))
        number = static.real(share, value.spans[name])
        if not 0 < number <= 1:
            raise Refusal(BadData(f"a share lies between 0 and 1, and this is {number:g}", value.spans[name]))
        shares[name] = number
    total = sum(shares.values())
    if abs(total - 1) > 1e-9:
        raise Refusal(BadData(f"the shares of a split sum to 1, and these to {total:g}", tree.span))
    if "train" not in shares:
        raise Refusal(BadData("a split has a part `train`", tree.span))
    return shares


# --- fields -----------------------------------------------------------------------------------------------------


def _field(outer: Frame, item: ast.DataField, schema: Schema, source: SourceCall, above: Mapping[str, Field]) -> Field:
    declared = item.type
    if declared.dims is None:
        raise Refusal(
            BadData(
                "a field's type has brackets, those of one example",
                declared.span,
                help=f"{declared.span.text}[] for a single number",
            )
        )
    for name in (name for dim in declared.dims for name in names_in(dim) if name.id not in outer.scope):
        message = f"a field's type is that of ONE example, in numbers, so there is no `{name.id}`"
        raise Refusal(BadData(message, name.span, help="the batch axis is added in training: leave it out"))
    shape = tuple(size(outer, dim) for dim in declared.dims)
    due = Tensor(element_type(declared), shape, promise(outer, declared))
    graph = Graph(item.name.id, item.name.span)
    frame = Frame(outer.compilation, graph, Scope(outer.scope), owns=False)
    places = dict.fromkeys(schema.columns, source.span) | {name: field.span for name, field in above.items()}
    for name, type in {**schema.columns, **{name: field.type for name, field in above.items()}}.items():
        if outer.scope.own().get(name) is POISON:
            continue  # a field that has failed hides the column of its name
        graph.inputs[name] = Value(type, places[name], name)
        frame.scope.bind(name, graph.inputs[name], places[name])
    frame.fits = []
    tree = item.value or ast.Name(item.name.span, item.name.id)
    try:
        value = evaluation.tensor(frame, tree)
    except Refusal as refusal:
        raise Refusal(*(_with_names(diagnostic, graph.inputs, schema) for diagnostic in refusal.diagnostics)) from None
    graph.outputs = (_fitted(frame, value, due, item, tree.span),)
    graph.output_names = (item.name.id,)
    statistics = tuple(Statistic(name, _giving(graph, fitted)) for name, fitted in frame.fits)
    return Field(item.name.id, due, _giving(graph, graph.outputs[0]), item.span, statistics)


def _giving(graph: Graph, value: Value) -> Graph:
    """The part of a graph that one of its values is computed by."""
    part = prune(replace(graph, outputs=(value,), output_names=graph.output_names[:1]))
    used = {id(value) for node in part.nodes for value in node.values} | {id(value)}
    part.inputs = {name: value for name, value in part.inputs.items() if id(value) in used}
    return part


def _fitted(frame: Frame, value: Value, due: Tensor, item: ast.DataField, span: Span) -> Value:
    """The value in the declared type: ints become floats, and axes of size 1 are added or dropped; nothing else."""
    if value.type.dtype is not due.dtype:
        if not (due.dtype is DType.FLOAT and value.type.dtype.is_int):
            raise Refusal(_misfit(value, due, item, span))
        value = _apply(frame, "cast", value, span, type="float")
    if value.type.shape != due.shape:
        if _without_ones(value.type) != _without_ones(due):
            raise Refusal(_misfit(value, due, item, span))
        value = _apply(frame, "reshape", value, span, shape=due.shape)
    return value


def _apply(frame: Frame, name: str, value: Value, span: Span, **static: Any) -> Value:
    result = frame.apply(operations()[name](**static), [value], span, {})
    assert isinstance(result, Value)
    return result


def _without_ones(type: Tensor) -> list[Dim]:
    return [size for size in type.shape if size != 1]


def _with_names(diagnostic: Diagnostic, known: Iterable[str], schema: Schema) -> Diagnostic:
    """A report of an unknown name, with the columns and fields that there are."""
    if not isinstance(diagnostic, UnknownName) or diagnostic.span is None:
        return diagnostic
    name = diagnostic.span.text
    if name in schema.texts:
        help = f"say what its words stand for: {schema.texts[name]} in the call of the source"
        return BadData(f"`{name}` holds words, and a column is of numbers", diagnostic.span, help=help)
    if diagnostic.help or not (names := ", ".join([*known, *schema.texts])):
        return diagnostic
    return replace(diagnostic, help=f"the columns and fields here are {names}")


def _misfit(value: Value, due: Tensor, item: ast.DataField, span: Span) -> FieldType:
    sizes = ", ".join(map(str, due.shape))
    help = None
    if due.shape and due.shape[1:] == value.type.shape:
        help = "the type is that of ONE example: the batch axis is added in training"
    elif value.type.shape != due.shape and product(value.type.shape) == product(due.shape):
        help = f"bring it into that shape: {span.text} -> reshape({sizes})"
    elif value.type.shape == due.shape:
        help = f'convert it: cast({span.text}, "{due.dtype.value}")'
    return FieldType(
        f"`{item.name.id}` is declared as {item.type.span.text}, and one example gives {value.type}",
        span,
        labels=(Label(item.type.span, "declared here"),),
        help=help,
    )
