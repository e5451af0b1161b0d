"""Whether an exported model computes what PyTorch does: both are run on several sizes, and compared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dlc.compiler.calls import every_node
from dlc.compiler.graph import Graph, Loop, Node, Value
from dlc.compiler.onnx.errors import ExportDiffers, NothingCompared
from dlc.compiler.op import Op
from dlc.compiler.passes import EXPORT, run
from dlc.compiler.program import Model
from dlc.grammar.diagnostics import Refusal
from dlc.runtime.infer.errors import RunFailed
from dlc.runtime.infer.trials import LARGER, Sizes, draw_inputs, sizes_to_try

if TYPE_CHECKING:
    import torch

    from dlc.runtime.infer.session import Session

Array = np.ndarray[Any, Any]

TOLERANCE = 1e-4


@dataclass(frozen=True, slots=True)
class Difference:
    """How far one output is from PyTorch's at some sizes.

    greatest: the greatest absolute difference. relative: the same, as a part of the output's largest magnitude.
    """

    sizes: str
    output: str
    greatest: float
    relative: float


@dataclass(frozen=True, slots=True)
class Skipped:
    """Sizes at which PyTorch itself does not run the model, and why."""

    sizes: str
    reason: str


@dataclass(frozen=True, slots=True)
class Report:
    """What was compared. `random`: the model draws random numbers, so that shapes alone were compared."""

    rows: tuple[Difference, ...]
    skipped: tuple[Skipped, ...]
    tolerance: float
    random: bool

    @property
    def worst(self) -> Difference:
        return max(self.rows, key=lambda row: row.relative)


def verify(
    model: Model, weights: Mapping[str, Array], onnx_path: str | Path, *, tolerance: float = TOLERANCE, seed: int = 0
) -> Report:
    """Compares the exported file with the model in PyTorch, on random inputs of several sizes.

    tolerance: how far an output may lie from PyTorch's, as a part of its largest magnitude. Raises Refusal where one
    lies further, naming the first operation that differs, and where no sizes are found at which the model runs.
    """
    from dlc.runtime.infer.session import Session

    graph = run(EXPORT, model.graph)
    comparison = _Comparison(graph, PyTorch(model.graph, weights), Session(onnx_path))
    for wanted in (None, *LARGER):
        trials = sizes_to_try(graph) if wanted is None else sizes_to_try(graph, (wanted,))
        for sizes in trials:
            comparison.compare(sizes, draw_inputs(graph, sizes, seed), weights, tolerance)
        if comparison.rows:
            break
    else:
        reasons = tuple(f"{skipped.sizes}: {skipped.reason}" for skipped in comparison.skipped)
        message = f"no sizes were found at which `{model.name}` runs, so its export cannot be compared"
        raise Refusal(NothingCompared(message, model.graph.span, notes=reasons[:8]))
    return Report(tuple(comparison.rows), tuple(comparison.skipped), tolerance, comparison.random)


class PyTorch:
    """The emitted PyTorch of a graph, with weights, in evaluation mode."""

    def __init__(self, graph: Graph, weights: Mapping[str, Array]) -> None:
        import torch

        from dlc.compiler.torch.emit import emit_graph
        from dlc.compiler.torch.names import identifier
        from dlc.runtime.emitted import load_module

        emitted = load_module(graph.name, emit_graph(graph))
        made: torch.nn.Module = getattr(emitted, identifier(graph.name))()
        made.load_state_dict({path: torch.tensor(array) for path, array in weights.items()})
        self._module = made.eval()
        self._names = graph.output_names

    def __call__(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """The outputs by name."""
        import torch

        with torch.no_grad():
            given: Any = self._module(*map(torch.as_tensor, inputs.values()))
        results: list[torch.Tensor] = [*given] if isinstance(given, tuple) else [given]
        return {name: result.numpy() for name, result in zip(self._names, results, strict=True)}


class _Comparison:
    def __init__(self, graph: Graph, pytorch: PyTorch, session: Session) -> None:
        self.rows: list[Difference] = []
        self.skipped: list[Skipped] = []
        self.random = any(_draws(node) for node in every_node(graph))
        self._graph = graph
        self._pytorch = pytorch
        self._session = session

    def compare(
        self, sizes: Sizes, inputs: Mapping[str, Array], weights: Mapping[str, Array], tolerance: float
    ) -> None:
        try:
            expected = self._pytorch(inputs)
        except (RuntimeError, ValueError, IndexError) as error:
            self.skipped.append(Skipped(str(sizes), str(error).strip().split("\n")[0]))
            return
        actual = self._session.call(inputs)
        rows = [Difference(str(sizes), name, *distance(actual[name], expected[name], self.random)) for name in expected]
        self.rows += rows
        worst = max(rows, key=lambda row: row.relative)
        if worst.relative > tolerance:
            node = first_difference(self._graph, weights, inputs, tolerance)
            raise Refusal(self._differs(worst, node))

    def _differs(self, row: Difference, node: Node | None) -> ExportDiffers:
        others = tuple(f"{row.sizes}: {row.output} differs by {row.relative:.1e}" for row in self.rows)
        label = "" if node is None else f"the first that differs: `{_action(node)}`"
        return ExportDiffers(
            f"onnxruntime and PyTorch differ in `{row.output}`, by {row.relative:.1e} of its largest value",
            self._graph.span if node is None else node.span,
            label=label,
            notes=others,
        )


def distance(actual: Array, expected: Array, shapes_alone: bool = False) -> tuple[float, float]:
    """The greatest difference, and that as a part of the largest finite magnitude that is expected.

    Infinite where shapes, element types, or the places of infinities and of what is no number differ.
    """
    if actual.shape != expected.shape or actual.dtype != expected.dtype:
        return np.inf, np.inf
    if shapes_alone or actual.size == 0:
        return 0.0, 0.0
    left, right = actual.astype(np.float64), expected.astype(np.float64)
    finite = np.isfinite(right)
    if not np.array_equal(left[~finite], right[~finite], equal_nan=True) or not np.isfinite(left[finite]).all():
        return np.inf, np.inf
    greatest = float(np.abs(left[finite] - right[finite]).max(initial=0.0))
    largest = float(np.abs(right[finite]).max(initial=0.0))
    return greatest, greatest / largest if largest else greatest


def first_difference(
    graph: Graph, weights: Mapping[str, Array], inputs: Mapping[str, Array], tolerance: float
) -> Node | None:
    """The first node of a flat graph after which onnxruntime and PyTorch differ, found by halving.

    The graph is cut after a node, a loop being one, and what is alive there is compared; few outputs are added, since
    they keep onnxruntime from the very fusions that may be at fault. None where the difference is gone when looked at.
    """
    low, high = 0, len(graph.nodes)
    if not _differs_at(graph, high, weights, inputs, tolerance):
        return None
    while high - low > 1:
        middle = (low + high) // 2
        if _differs_at(graph, middle, weights, inputs, tolerance):
            high = middle
        else:
            low = middle
    return graph.nodes[high - 1]


def _differs_at(
    graph: Graph, cut: int, weights: Mapping[str, Array], inputs: Mapping[str, Array], tolerance: float
) -> bool:
    alive = list(_alive(graph, cut))
    if not alive:
        return False
    names = tuple(f"alive_{place}" for place in range(len(alive)))
    part = replace(graph, nodes=graph.nodes[:cut], outputs=tuple(alive), output_names=names, checks=[])
    expected = PyTorch(part, weights)(inputs)
    try:
        actual = _run(part, weights, inputs)
    except Refusal as refusal:
        if not all(isinstance(diagnostic, RunFailed) for diagnostic in refusal.diagnostics):
            raise
        return True
    return any(distance(actual[name], expected[name])[1] > tolerance for name in names)


def _run(graph: Graph, weights: Mapping[str, Array], inputs: Mapping[str, Array]) -> dict[str, Array]:
    from tempfile import TemporaryDirectory

    from dlc.compiler.onnx.emit import build_model, save_model
    from dlc.runtime.infer.session import Session

    with TemporaryDirectory() as folder:
        path = Path(folder) / "part.onnx"
        save_model(build_model(graph, weights), path)
        return Session(path).call(inputs)


def _alive(graph: Graph, cut: int) -> Iterator[Value]:
    """The values made before the cut that are needed behind it."""
    needed = {value for node in graph.nodes[cut:] for value in node.values} | set(graph.outputs)
    for node in graph.nodes[:cut]:
        yield from (output for output in node.outputs if output in needed)


def _draws(node: Node) -> bool:
    """Whether a node draws random numbers; those that do so in training alone are at rest here."""
    return isinstance(node.action, Op) and node.action.random and not node.action.stateful


def _action(node: Node) -> str:
    match node.action:
        case Op() as op:
            return op.name
        case Loop():
            return "loop"
        case _:
            return str(node.module)
