"""How a weight starts: a distribution, a number, or the value of an expression that is computed when it is made."""

from __future__ import annotations

from collections.abc import Sequence

from dlc.compiler.calls import called, callees_first, captured, every_node
from dlc.compiler.elaborate import evaluation, pipes, reports, static
from dlc.compiler.elaborate.frame import Frame
from dlc.compiler.elaborate.scope import Scope
from dlc.compiler.elaborate.values import Poisoned, describe, is_sequence
from dlc.compiler.errors import BadDeclaration, BadParameter, ElementType, ShapeMismatch, StaticType
from dlc.compiler.graph import Graph, ModelRef, Value
from dlc.compiler.init import Computed, Constant, Init
from dlc.compiler.op import Op
from dlc.compiler.ops.literals import Literal
from dlc.compiler.types import DType, Tensor
from dlc.grammar import ast
from dlc.grammar.diagnostics import Label, Refusal


def start(frame: Frame, statement: ast.WeightDecl, type: Tensor) -> Init:
    """What a `weight` or `constant` statement says of the start."""
    if statement.distribution is not None:
        return _distribution(frame, statement.distribution, type)
    if statement.value is None:
        raise Refusal(
            BadDeclaration(
                f"`{statement.name.id}` does not say how it starts",
                statement.span,
                help="write `= 0` or a distribution, as in `~ normal(0, 0.02)`",
            )
        )
    graph = Graph(statement.name.id, statement.value.span)
    inner = Frame(frame.compilation, graph, Scope(frame.scope), depth=frame.depth, around=frame)
    value = evaluation.evaluate(inner, statement.value)
    if inner.failed:
        raise Poisoned
    if static.is_number(value):
        return Constant(value=static.real(value, statement.value.span))
    if is_sequence(value):
        value = _listed(inner, statement.value, value, type)
    if not isinstance(value, Value):
        message = f"a weight starts at a number, a tensor or a distribution, not at {describe(value)}"
        raise Refusal(StaticType(message, statement.value.span))
    graph.outputs, graph.output_names = (value,), ("output",)
    _require_closed(statement, statement.value, graph)
    _require_type(statement, statement.value, value.type, type)
    return Computed(graph=graph)


def _listed(frame: Frame, tree: ast.Expr, numbers: Sequence[object], type: Tensor) -> Value | tuple[Value, ...]:
    """A list of numbers as a tensor; whole ones are floats where floats are due."""
    try:
        literal = Literal(elements=numbers)
    except ValueError as error:
        spans = {"elements": tree.span}
        raise Refusal(*reports.refused(error, "a tensor", {"elements": numbers}, spans, tree.span)) from None
    return frame.apply(literal.floats() if type.dtype is DType.FLOAT else literal, (), tree.span, {})


def _distribution(frame: Frame, tree: ast.Expr, type: Tensor) -> Init:
    init = pipes.distribution(frame, tree)
    if type.rank < init.least_rank:
        raise Refusal(
            BadParameter(
                f"`{init.name}` counts inputs and outputs, so it needs a weight of {init.least_rank} axes",
                tree.span,
                label=f"this one has {type.rank}",
            )
        )
    return init


def _require_closed(statement: ast.WeightDecl, tree: ast.Expr, graph: Graph) -> None:
    """Refuses what cannot be computed before the model runs, and a constant that would differ each time."""
    kind = statement.kind
    nodes = list(every_node(graph))
    outside = captured(graph)
    owned = [node for node in nodes if node.module is not None or any(isinstance(x, ModelRef) for x in node.inputs)]
    if outside or owned:
        told = f"`{outside[0].name}`" if outside and outside[0].name else "weights" if owned else "the inputs"
        raise Refusal(
            BadDeclaration(
                f"a {kind} starts at what is known before the model runs, and this depends on {told}",
                tree.span,
                labels=(Label(outside[0].span, "a tensor of the block"),) if outside else (),
                help=f"without the word `{kind}` it is computed whenever the model runs" if outside else None,
            )
        )
    inner = [node for callee in callees_first(called(graph)) for node in every_node(callee)]
    if kind == "constant" and any(isinstance(node.action, Op) and node.action.random for node in (*nodes, *inner)):
        message = "a constant has one value, and this draws random numbers"
        raise Refusal(BadDeclaration(message, tree.span, help="a weight may be drawn: `weight`, or `~` for its start"))


def _require_type(statement: ast.WeightDecl, tree: ast.Expr, found: Tensor, due: Tensor) -> None:
    message = f"`{statement.name.id}` is declared as {statement.type.span.text}, and this is {found}"
    labels = (Label(statement.type.span, "declared here"),)
    if found.dtype is not due.dtype:
        help = f'convert it, as in cast(x, "{due.dtype.value}")'
        raise Refusal(ElementType(message, tree.span, labels=labels, help=help))
    if found.shape != due.shape:
        raise Refusal(ShapeMismatch(message, tree.span, label=f"its shape is not {due}", labels=labels))
