"""The fields of a batch: as a step sees them, and as `augment:` of a data block binds them anew."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import cast

from dlc.compiler.dim import Dim
from dlc.compiler.elaborate import statements
from dlc.compiler.elaborate.frame import Frame
from dlc.compiler.elaborate.scope import Scope
from dlc.compiler.elaborate.values import Origin
from dlc.compiler.errors import BadData, FieldType, Misplaced
from dlc.compiler.graph import Graph, Value
from dlc.compiler.program import Field
from dlc.compiler.types import Tensor
from dlc.grammar import ast
from dlc.grammar.diagnostics import Label, Refusal
from dlc.grammar.source import Span


def enter(frame: Frame, fields: Mapping[str, Field], span: Span) -> None:
    """Binds `N`, the number of examples in a batch, and each field with that as its first axis, inputs of the graph."""
    batch = Dim.symbol("N").at(Origin(span, "`N` is the number of examples in a batch"))
    frame.scope.bind("N", batch, span)
    frame.graph.statics["N"] = batch
    for field in fields.values():
        type = Tensor(field.type.dtype, (batch, *field.type.shape), field.type.below)
        frame.graph.inputs[field.name] = Value(type, field.span, field.name)
        frame.scope.bind(field.name, frame.graph.inputs[field.name], field.span)


def augmentation(outer: Frame, trees: Sequence[ast.Augment], fields: Mapping[str, Field], span: Span) -> Graph | None:
    """What is done to a batch of the training part: a graph from the fields to those that are bound anew.

    None where nothing is. Raises Refusal.
    """
    if not trees:
        return None
    if len(trees) > 1:
        labels = (Label(trees[0].span, "first here"),)
        raise Refusal(BadData("a data block is augmented once", trees[1].span, labels=labels))
    (tree,) = trees
    graph = Graph("augment", tree.span)
    frame = Frame(outer.compilation, graph, Scope(outer.scope), owns=False)
    enter(frame, fields, span)
    returned = statements.run(frame, tree.body)
    if returned is not None:
        frame.refuse(Misplaced("`augment` returns nothing; it binds fields anew", returned.span))
    if frame.failed:
        raise Refusal()
    bound = {name: value for name, value in _bound(frame, fields) if value is not graph.inputs[name]}
    for name, value in bound.items():
        _check(frame, name, value, graph.inputs[name])
    if not any(name in fields for name in _targets(tree.body)):
        told = ", ".join(fields)
        frame.refuse(BadData("`augment` binds no field anew", tree.span, help=f"the fields are {told}"))
    if frame.failed:
        raise Refusal()
    if not bound:  # in no branch that is taken
        return None
    graph.outputs, graph.output_names = tuple(bound.values()), tuple(bound)
    read = {value for node in graph.nodes for value in node.values} | set(graph.outputs)
    graph.inputs = {name: value for name, value in graph.inputs.items() if value in read or name in bound}
    return graph


def _targets(part: object) -> Iterator[str]:
    """The names that statements bind, in branches too that are not taken."""
    if isinstance(part, ast.Assign):
        yield from (target.id for target in part.targets)
    elif isinstance(part, tuple):
        for item in cast("tuple[object, ...]", part):
            yield from _targets(item)
    elif isinstance(part, ast.Node) and not isinstance(part, ast.Expr):
        yield from _targets(part.node_parts())


def _bound(frame: Frame, fields: Mapping[str, Field]) -> list[tuple[str, Value]]:
    """What each field's name stands for in the end."""
    found: list[tuple[str, Value]] = []
    for name in fields:
        value = frame.scope.lookup(name)
        if isinstance(value, Value):
            found.append((name, value))
        else:
            frame.refuse(BadData(f"`{name}` is a field, and so a tensor", frame.graph.span))
    return found


def _check(frame: Frame, name: str, value: Value, due: Value) -> None:
    """An augmented field is what the field is: of its element type and shape, and within its range."""
    fits = value.type.dtype is due.type.dtype and value.type.shape == due.type.shape
    below = due.type.below
    if fits and (below is None or (value.type.below is not None and value.type.below.at_most(below))):
        return
    frame.refuse(
        FieldType(
            f"the field `{name}` is {due.type} in a batch, and `augment` makes {value.type} of it",
            value.span,
            labels=(Label(due.span, "the field"),),
            help="what changes its type belongs into the step" if not fits else None,
        )
    )
