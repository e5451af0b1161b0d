"""What a step of training does besides computing: gradient steps, assignments, reports."""

from __future__ import annotations

from collections.abc import Iterator

from dlc.compiler.elaborate import choosing, evaluation, lookup, reports, vectors
from dlc.compiler.elaborate.frame import Frame
from dlc.compiler.elaborate.values import Instance, Part, describe, is_sequence
from dlc.compiler.errors import ArgumentType, LossNotScalar, Misplaced, TensorExpected
from dlc.compiler.graph import Assign, Value, WeightModule
from dlc.compiler.optimizers import Optimizer
from dlc.compiler.program import Minimize, Report
from dlc.compiler.types import DType, Tensor
from dlc.grammar import ast
from dlc.grammar.diagnostics import Refusal


def minimize(frame: Frame, statement: ast.Minimize) -> None:
    """`minimize e over a, b using sgd(lr=0.1)`"""
    if frame.effects is None:
        raise Refusal(Misplaced(f"`{statement.kind}` belongs in the step of a train block", statement.span))
    value = _scalar(frame, statement.value, "minimised")
    over = tuple(dict.fromkeys(path for tree in statement.over for path in _paths(frame, tree)))
    using = None
    if statement.using is not None:
        using = choosing.choose(frame, "optimizer", Optimizer, statement.using)
    sign = 1 if statement.kind == "minimize" else -1
    frame.effects.append((len(frame.graph.nodes), Minimize(value, over, sign, statement.span, using)))
    for path in over or frame.borrowed:
        frame.changed(path)


def _paths(frame: Frame, tree: ast.Expr) -> Iterator[str]:
    """What `over` names: instances, their parts, weights, lists of these."""
    if isinstance(tree, ast.Name):
        value = lookup.find(frame, tree)
        if is_sequence(value):
            for item in value:
                if isinstance(item, Instance | Part):
                    yield item.path
            return
    yield located(frame, tree).path


def located(frame: Frame, tree: ast.Expr) -> Part:
    """An instance, a part of one, or a weight, as the place where its weights are."""
    match tree:
        case ast.Attribute():
            return lookup.child(located(frame, tree.value), tree.name.id, tree)
        case ast.Index(indices=(index,)) if not isinstance(index, ast.Slice):
            place = int(evaluation.static_size(frame, index))
            if isinstance(tree.value, ast.Name) and is_sequence(items := lookup.find(frame, tree.value)):
                return _whole(items[place], tree)
            return lookup.child(located(frame, tree.value), str(place), tree)
        case _:
            return _whole(evaluation.evaluate(frame, tree), tree)


def _whole(value: object, tree: ast.Expr) -> Part:
    match value:
        case Part():
            return value
        case Instance(module=None):
            problem = f"`{value.path}` has no weights before it is first applied"
            raise Refusal(TensorExpected(problem, tree.span, help=f"compute with `{value.path}` above this line"))
        case Instance():
            assert value.module is not None
            return Part(value.path, value.module, value, tree.span)
        case _:
            problem = f"weights are due here, and this is {describe(value)}"
            raise Refusal(TensorExpected(problem, tree.span, help="name an instance, a part of one, or a weight"))


def update(frame: Frame, statement: ast.Update) -> None:
    """`net.W := value`"""
    if not frame.assigns:
        raise Refusal(Misplaced("weights are assigned in the step of a train block", statement.span))
    value = evaluation.evaluate(frame, statement.value)  # which may be the first to apply what is assigned
    place = located(frame, statement.target)
    if isinstance(place.module, WeightModule):
        what, weight = f"the weight `{place.path}`", place.module.weight
        due = Tensor(weight.dtype, weight.shape)
    else:
        what, due = f"the vector of `{place.path}`", Tensor(DType.FLOAT, (vectors.size(place),))
        if isinstance(value, Instance | Part):
            value = vectors.vector(frame, value, statement.value.span)
    if not isinstance(value, Value):
        raise Refusal(TensorExpected(f"{what} is {due}, and this is {describe(value)}", statement.value.span))
    if value.type.dtype is not due.dtype or value.type.shape != due.shape:
        raise Refusal(
            ArgumentType(
                f"{what} is {due}, and this is {value.type}",
                statement.value.span,
                labels=reports.origins(
                    [size for pair in zip(value.type.shape, due.shape, strict=False) for size in pair],
                    apart_from=statement.value.span,
                ),
            )
        )
    frame.graph.add(Assign(), [value], [], statement.span, place.path)
    frame.changed(place.path)


def report(frame: Frame, statement: ast.Report) -> None:
    """`report name = e`"""
    if frame.effects is None:
        raise Refusal(Misplaced("`report` belongs in the step of a train block", statement.span))
    value = _scalar(frame, statement.value, "reported")
    frame.effects.append((len(frame.graph.nodes), Report(statement.name.id, value, statement.span)))


def _scalar(frame: Frame, tree: ast.Expr, what: str) -> Value:
    value = evaluation.tensor(frame, tree)
    if value.type.rank == 0 and value.type.dtype.is_float:
        return value
    text = tree.span.text if len(tree.span.text) < 40 else "x"
    floats = text if value.type.dtype.is_float else f'cast({text}, "float")'
    raise Refusal(
        LossNotScalar(
            f"what is {what} is one float, and this is {value.type}",
            tree.span,
            help=f"reduce it, as in mean({floats})" if value.type.rank else f"convert it: {floats}",
        )
    )
