"""A block's results: matched with its head, what the head leaves open bound to them."""

from __future__ import annotations

from collections.abc import Sequence

from dlc.compiler.dim import Dim
from dlc.compiler.elaborate import reports
from dlc.compiler.elaborate.dimensions import element_type, size
from dlc.compiler.elaborate.frame import Frame
from dlc.compiler.errors import BadDeclaration, DuplicateName, ResultType, WrongCount
from dlc.compiler.graph import Value
from dlc.grammar import ast
from dlc.grammar.diagnostics import Label, Refusal
from dlc.grammar.source import Span


def bind_results(frame: Frame, tree: ast.Block, values: Sequence[Value], spans: Sequence[Span], span: Span) -> None:
    """Checks what a block returns against its head, binds what the head leaves open, and sets the graph's outputs."""
    graph = frame.graph
    graph.outputs = tuple(values)
    results = tree.results
    if results is None:
        names = ["output"] if len(values) == 1 else [f"output_{place + 1}" for place in range(len(values))]
        graph.output_names = tuple(names)
        return
    if len(results) != len(values):
        raise Refusal(
            WrongCount(
                f"`{tree.name.id}` declares {_results(len(results))}, and returns {len(values)}",
                span,
                labels=(Label(results[0].span.to(results[-1].span), "declared here"),),
            )
        )
    graph.output_names = tuple(result.name.id if result.name else "output" for result in results)
    for result in results:
        if tree.kind == "model" and result.name and result.name.id in graph.inputs:
            labels = (Label(graph.inputs[result.name.id].span, "the input"),)
            message = f"a result of `{tree.name.id}` has the name of an input, `{result.name.id}`"
            raise Refusal(DuplicateName(message, result.name.span, labels=labels, help="name it after what it is"))
    for result, value, place in zip(results, values, spans, strict=True):
        _check_result(frame, tree, result, value, place)


_FLATTEN = "flatten makes one axis of all but the first; mean(axes=[2, 3]) averages over an image"


def _results(count: int) -> str:
    return "1 result" if count == 1 else f"{count} results"


def _check_result(frame: Frame, tree: ast.Block, result: ast.Result, value: Value, place: Span) -> None:
    declared = result.type
    what = f"`{result.name.id}`" if result.name else "the result"

    def misfit(label: str, sizes: tuple[Dim, ...] = (), help: str | None = None) -> Refusal:
        return Refusal(
            ResultType(
                f"{what} of `{tree.name.id}` is declared as {declared.span.text}, and this is {value.type}",
                place,
                label=label,
                labels=(
                    Label(declared.span, "declared here"),
                    *reports.origins(sizes, apart_from=place, outside=declared.span),
                ),
                help=help,
            )
        )

    dtype = element_type(declared)
    if declared.dims is None:
        raise Refusal(
            BadDeclaration("a result is a tensor, so its type has brackets", declared.span, help=f"{dtype.value}[…]")
        )
    if value.type.dtype is not dtype:
        raise misfit(
            f"its elements are {value.type.dtype.value}",
            help=f'convert it: cast({reports.in_short(place, "x")}, "{dtype.value}")',
        )
    shape = list(value.type.shape)
    dims = list(declared.dims)
    at = next((index for index, dim in enumerate(dims) if isinstance(dim, ast.EllipsisLiteral)), None)
    if at is not None:
        leading = list(frame.leading or ())
        if shape[at : at + len(leading)] != leading:
            raise misfit("its leading dimensions differ")
        del shape[at : at + len(leading)]
        del dims[at]
    if len(shape) != len(dims):
        image = value.type.rank > 2 and len(dims) == 2
        raise misfit(f"it has {reports.axes(value.type.rank)}", help=_FLATTEN if image else None)
    for dim, actual in zip(dims, shape, strict=True):
        if isinstance(dim, ast.Name) and dim.id not in frame.scope:
            frame.scope.bind(dim.id, actual, dim.span)
            frame.graph.statics.setdefault(dim.id, actual)
            continue
        due = size(frame, dim)
        if due != actual:
            raise misfit(f"{actual} where {reports.told(dim, due)} is due", (actual, due))
