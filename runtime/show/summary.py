"""The summary of a model: its layers with what each gives and costs, as a table and as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from dlc.compiler.cost import Costs
from dlc.compiler.dim import Dim
from dlc.compiler.graph import Graph, Value
from dlc.compiler.program import Model
from dlc.compiler.types import Tensor
from dlc.runtime.show.columns import columns

_HEAD = ("layer", "operation", "output", "weights", "biases", "multiply-adds")
_NUMBERS = (3, 4, 5)


def table(model: Model, depth: int = 1) -> str:
    """A line a layer, blocks opened down to `depth` levels, and the totals below."""
    graph = model.graph
    costs = Costs()
    learned, macs = costs.learned(graph), costs.macs(graph)
    rows = [
        (
            layer.path,
            layer.op,
            ", ".join(map(str, layer.outputs)),
            number(layer.learned.weights, blank_zero=True),
            number(layer.learned.biases, blank_zero=True),
            number(layer.macs, blank_zero=True),
        )
        for layer in costs.layers(graph, depth)
    ]
    total = ("total", "", "", number(learned.weights), number(learned.biases), number(macs))
    head, *body, last = columns([_HEAD, *rows, total], right=_NUMBERS)
    rule = "-" * max(len(head), *(min(len(line), 120) for line in (*body, last)))
    inputs = ", ".join(f"{name}: {value.type}" for name, value in graph.inputs.items())
    results = ", ".join(f"{name}: {value.type}" for name, value in _outputs(graph).items())
    return "\n".join(
        [
            f"{model.name}({inputs}) -> {results}",
            "",
            head,
            rule,
            *body,
            rule,
            last,
            f"{number(learned.total)} learned numbers",
        ]
    )


def number(count: Dim, *, blank_zero: bool = False) -> str:
    """A count with its thousands apart, or the expression that it is."""
    if blank_zero and count == 0:
        return ""
    return f"{int(count):,}" if count.is_constant else str(count)


def document(models: Iterable[Model], depth: int = 1) -> dict[str, Any]:
    """What `dlc show --json` prints: numbers, and expressions of the symbols as strings."""
    return {"models": [_model(model, depth) for model in models]}


def _model(model: Model, depth: int) -> dict[str, Any]:
    graph = model.graph
    costs = Costs()
    return {
        "name": model.name,
        "inputs": _ports(graph.inputs),
        "outputs": _ports(_outputs(graph)),
        "weights": [
            {"path": path, "shape": [_size(size) for size in weight.shape], "trainable": weight.trainable}
            for path, weight in graph.weights().items()
        ],
        "parameters": _size(costs.learned(graph).total),
        "layers": [
            {
                "path": layer.path,
                "op": layer.op,
                "output": _results(layer.outputs),
                "weights": _size(layer.learned.weights),
                "biases": _size(layer.learned.biases),
                "macs": _size(layer.macs),
            }
            for layer in costs.layers(graph, depth)
        ],
    }


def _outputs(graph: Graph) -> Mapping[str, Value]:
    return dict(zip(graph.output_names, graph.outputs, strict=True))


def _ports(values: Mapping[str, Value]) -> list[dict[str, Any]]:
    return [
        {"name": name, "dtype": value.type.dtype.value, "shape": [_size(size) for size in value.type.shape]}
        for name, value in values.items()
    ]


def _results(types: tuple[Tensor, ...]) -> list[Any]:
    """A layer's output shape, or a list of them where it has several outputs."""
    shapes = [[_size(size) for size in type.shape] for type in types]
    return shapes[0] if len(shapes) == 1 else shapes


def _size(size: Dim) -> int | str:
    return int(size) if size.is_constant else str(size)
