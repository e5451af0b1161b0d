"""The summary of a model: its layers with what each gives and costs, as a table and as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from dlc.compiler.cost import Costs
from dlc.compiler.dim import Dim
from dlc.compiler.graph import Graph, Value
from dlc.compiler.memory.formulas import Activations, activations
from dlc.compiler.program import Model
from dlc.compiler.receptive import fields
from dlc.compiler.sequence import sequential_depth
from dlc.compiler.types import Tensor
from dlc.runtime.show.columns import columns

_HEAD = ("layer", "operation", "output", "weights", "biases", "multiply-adds", "activations")
_NUMBERS = (3, 4, 5, 6)
_NONE = Dim.of(0)


def table(model: Model, depth: int = 1) -> str:
    """A line a layer, blocks opened down to `depth` levels, and the totals below."""
    graph = model.graph
    costs = Costs()
    learned, macs = costs.learned(graph), costs.macs(graph)
    held, seen = activations(graph), fields(graph)
    rows = [
        (
            layer.path,
            layer.op,
            ", ".join(map(str, layer.outputs)),
            number(layer.learned.weights, blank_zero=True),
            number(layer.learned.biases, blank_zero=True),
            number(layer.macs, blank_zero=True),
            number(held.layers.get(layer.trail, _NONE), blank_zero=True) if held else "",
            *((_window(seen.get(layer.trail)),) if seen else ()),
        )
        for layer in costs.layers(graph, depth)
    ]
    head = (*_HEAD, *(("sees",) if seen else ()))
    trained = number(held.training) if held else ""
    total = ("total", "", "", number(learned.weights), number(learned.biases), number(macs), trained)
    total += ("",) if seen else ()
    head_line, *body, last = columns([head, *rows, total], right=_NUMBERS)
    rule = "-" * max(len(head_line), *(min(len(line), 120) for line in (*body, last)))
    inputs = ", ".join(f"{name}: {value.type}" for name, value in graph.inputs.items())
    results = ", ".join(f"{name}: {value.type}" for name, value in _outputs(graph).items())
    return "\n".join(
        [
            f"{model.name}({inputs}) -> {results}",
            "",
            head_line,
            rule,
            *body,
            rule,
            last,
            f"{number(learned.total)} learned numbers",
            _told(held),
            f"{number(sequential_depth(graph))} operations with multiply-adds one after another",
        ]
    )


def _told(held: Activations | None) -> str:
    """The memory of activations in words."""
    if held is None:
        return "activations: not counted, the model calls too many operations"
    one, *others = held.inference
    if all(each.is_constant for each in held.inference):
        inference = f"at most {number(max(held.inference, key=int))}"
    else:
        inference = f"at most {one}" if not others else f"the greatest of {1 + len(others)} formulas (--json has them)"
    return f"bytes of activations: {number(held.training)} kept in training, {inference} at once in inference"


def _window(seen: tuple[int | None, ...] | None) -> str:
    """The positions that a layer sees along each axis that is seen by windows."""
    return "" if seen is None else " x ".join("all" if size is None else str(size) for size in seen)


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
    held, seen = activations(graph), fields(graph)
    return {
        "name": model.name,
        "inputs": _ports(graph.inputs),
        "outputs": _ports(_outputs(graph)),
        "weights": [
            {"path": path, "shape": [_size(size) for size in weight.shape], "trainable": weight.trainable}
            for path, weight in graph.weights().items()
        ],
        "parameters": _size(costs.learned(graph).total),
        "macs": _size(costs.macs(graph)),
        "activations": held
        and {"training": _size(held.training), "inference": [_size(each) for each in held.inference]},
        "sequential_depth": _size(sequential_depth(graph)),
        "layers": [
            {
                "path": layer.path,
                "op": layer.op,
                "output": _results(layer.outputs),
                "weights": _size(layer.learned.weights),
                "biases": _size(layer.learned.biases),
                "macs": _size(layer.macs),
                "activations": _size(held.layers.get(layer.trail, _NONE)) if held else None,
                "receptive_field": list(seen[layer.trail]) if layer.trail in seen else None,
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
