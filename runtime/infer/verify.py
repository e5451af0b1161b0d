"""Whether an exported model computes what PyTorch does: both are run on several sizes, and compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from dlc.compiler.graph import Graph, Loop, Node
from dlc.compiler.onnx.emit import build_model, save_model
from dlc.compiler.onnx.errors import ExportDiffers, NothingCompared
from dlc.compiler.onnx.opset import NEWEST
from dlc.compiler.op import Op
from dlc.compiler.ops.drawing import Given
from dlc.compiler.passes import EXPORT, export, run
from dlc.compiler.passes.noise import draws, noise_as_inputs
from dlc.compiler.program import Model
from dlc.grammar.diagnostics import Refusal
from dlc.runtime.infer.bisecting import first_difference
from dlc.runtime.infer.reference import PyTorch, distance
from dlc.runtime.infer.stored import read_stored
from dlc.runtime.infer.trials import LARGER, Sizes, draw_inputs, sizes_to_try

if TYPE_CHECKING:
    from dlc.runtime.infer.session import Session

Array = np.ndarray[Any, Any]

TOLERANCE = 1e-4
_ATTEMPTS = 4
_SHIFT = 1e-5  # some hundred times what single precision can tell apart


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
    """Sizes at which nothing can be told, since PyTorch itself does not run the model, or has no stable result."""

    sizes: str
    reason: str


@dataclass(frozen=True, slots=True)
class Report:
    """What was compared. `random`: the model draws random numbers; both sides were given the same ones."""

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

    A file that draws random numbers is compared draw for draw: both sides are written with the noise as inputs, and
    the file itself must give the same shapes.

    tolerance: how far an output may lie from PyTorch's, as a part of its largest magnitude. Raises Refusal where one
    lies further, naming the first operation that differs, and where no sizes are found at which the model runs.
    """
    from dlc.runtime.infer.session import Session

    graph = run(EXPORT, model.graph)
    if not draws(graph):
        sides = PyTorch(model.graph, weights), Session(onnx_path)
        newest = read_stored(Path(onnx_path)).opsets.get("", NEWEST)
        graph = run(export(newest), model.graph)
        return _compared(model, _Comparison(graph, weights, *sides, None, tolerance, newest), seed)
    given = noise_as_inputs(graph)
    with TemporaryDirectory(prefix="dlc-") as folder:
        path = Path(folder) / "given.onnx"
        save_model(build_model(given, weights), path)
        sessions = Session(path), Session(onnx_path)
        comparison = _Comparison(given, weights, PyTorch(given, weights), *sessions, tolerance, NEWEST)
        return _compared(model, comparison, seed)


def _compared(model: Model, comparison: _Comparison, seed: int) -> Report:
    graph = comparison.graph
    for wanted in (None, *LARGER):
        trials = sizes_to_try(graph) if wanted is None else sizes_to_try(graph, (wanted,), None)
        for sizes in trials:
            comparison.compare(sizes, seed)
        if comparison.rows:
            break
    else:
        reasons = tuple(f"{skipped.sizes}: {skipped.reason}" for skipped in comparison.skipped)
        message = f"no sizes were found at which `{model.name}` runs, so its export cannot be compared"
        raise Refusal(NothingCompared(message, model.graph.span, notes=reasons[:8]))
    return Report(tuple(comparison.rows), tuple(comparison.skipped), comparison.tolerance, bool(graph.noise))


class _Comparison:
    """Both sides of a graph. drawing: the file in which what is given as noise here is drawn, if that is another.
    newest: the opset of the file, in which its parts are written too where they are looked at."""

    def __init__(
        self,
        graph: Graph,
        weights: Mapping[str, Array],
        pytorch: PyTorch,
        session: Session,
        drawing: Session | None,
        tolerance: float,
        newest: int,
    ) -> None:
        self.rows: list[Difference] = []
        self.skipped: list[Skipped] = []
        self.graph = graph
        self.tolerance = tolerance
        self._weights = weights
        self._pytorch = pytorch
        self._session = session
        self._drawing = drawing
        self._newest = newest

    def compare(self, sizes: Sizes, seed: int) -> None:
        """Compares the outputs at these sizes. Raises Refusal where they differ.

        A result may hang on rounding errors, as where a probability is that close to a uniform number, or a matrix
        is nearly singular; then the sides may differ and both be right. So where they do, and slightly other inputs
        give PyTorch other results as well, all is drawn anew. A draw must be agreed on in the end; sizes at which every
        problem is ill-conditioned are skipped, and told.
        """
        for attempt in range(_ATTEMPTS):
            inputs = draw_inputs(self.graph, sizes, seed + attempt)
            try:
                expected = self._pytorch(inputs)
            except (RuntimeError, ValueError, IndexError) as error:
                self.skipped.append(Skipped(str(sizes), str(error).strip().split("\n")[0]))
                return
            actual = self._session.call(inputs)
            rows = [Difference(str(sizes), name, *distance(actual[name], expected[name])) for name in expected]
            worst = max(rows, key=lambda row: row.relative)
            if worst.relative <= self.tolerance:
                self.rows += rows
                self._compare_types(sizes, inputs, expected)
                return
            moved = self._moved_by_rounding(inputs, expected)
            if attempt + 1 == _ATTEMPTS and moved > self.tolerance:
                reason = f"rounding errors in the inputs move PyTorch's own results by {moved:.1e} of the largest value"
                self.skipped.append(Skipped(str(sizes), reason))
                return
            if attempt + 1 == _ATTEMPTS or not (moved > self.tolerance or self._hangs_on_a_draw(inputs, expected)):
                self.rows += rows
                node = first_difference(self.graph, self._weights, inputs, self.tolerance, self._newest)
                raise Refusal(self._differs(worst, node))

    def _compare_types(self, sizes: Sizes, inputs: Mapping[str, Array], expected: Mapping[str, Array]) -> None:
        """Compares what the file gives that draws its noise itself: shapes and element types."""
        if self._drawing is None:
            return
        actual = self._drawing.call({name: array for name, array in inputs.items() if name not in self.graph.noise})
        for name, array in expected.items():
            if (actual[name].shape, actual[name].dtype) != (array.shape, array.dtype):
                raise Refusal(self._differs(Difference(str(sizes), name, np.inf, np.inf), None))

    def _hangs_on_a_draw(self, inputs: Mapping[str, Array], expected: Mapping[str, Array]) -> bool:
        """Whether PyTorch gives something else as soon as what is uniform moves by a few rounding errors."""
        uniform = [name for name, distribution in self.graph.noise.items() if distribution == "uniform"]
        for shift in (-_SHIFT, _SHIFT) if uniform else ():
            moved = {name: np.clip(inputs[name] + inputs[name].dtype.type(shift), 0, 1 - _SHIFT) for name in uniform}
            found = self._pytorch({**inputs, **moved})
            if _apart(found, expected) > self.tolerance:
                return True
        return False

    def _moved_by_rounding(self, inputs: Mapping[str, Array], expected: Mapping[str, Array]) -> float:
        """How far PyTorch's results move when every float that is no noise moves by a few rounding errors."""
        signs = np.random.default_rng(0)
        moved = {
            name: (array * (1 + _SHIFT * signs.choice((-1, 1), array.shape))).astype(array.dtype)
            for name, array in inputs.items()
            if array.dtype.kind == "f" and name not in self.graph.noise
        }
        return _apart(self._pytorch({**inputs, **moved}), expected) if moved else 0.0

    def _differs(self, row: Difference, node: Node | None) -> ExportDiffers:
        others = tuple(f"{row.sizes}: {row.output} differs by {row.relative:.1e}" for row in self.rows)
        label = "" if node is None else f"the first that differs: `{_action(node)}`"
        return ExportDiffers(
            f"onnxruntime and PyTorch differ in `{row.output}`, by {row.relative:.1e} of its largest value",
            self.graph.span if node is None else node.span,
            label=label,
            notes=others,
        )


def _apart(found: Mapping[str, Array], expected: Mapping[str, Array]) -> float:
    return max(distance(found[name], expected[name])[1] for name in expected)


def _action(node: Node) -> str:
    match node.action:
        case Given(op=op):
            return op.name
        case Op() as op:
            return op.name
        case Loop():
            return "loop"
        case _:
            return str(node.module)
