"""Exports in lower precision: made, measured by the run's own metrics, and refused where too much is lost."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from dlc.compiler.onnx import model as onnx
from dlc.compiler.onnx.elements import schema_type
from dlc.compiler.onnx.emit import build_model
from dlc.compiler.onnx.errors import NoKernels
from dlc.compiler.onnx.half import half_precision
from dlc.compiler.onnx.int8 import Ranges, int8
from dlc.compiler.onnx.rewriting import every_node
from dlc.compiler.onnx.save import save_model
from dlc.compiler.passes import EXPORT, run
from dlc.compiler.passes.noise import draws, noise_as_inputs
from dlc.compiler.types import DType
from dlc.grammar.diagnostics import Refusal
from dlc.runtime.infer.losses import Drop, Loss, drawn, losses
from dlc.runtime.infer.providers import resolve
from dlc.runtime.infer.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy as np

    from dlc.compiler.graph import Graph

    Array = np.ndarray[Any, Any]

PRECISIONS = ("fp32", "fp16", "bf16", "int8")
MAX_DROP = 0.01
"""How much worse a metric may become, as a part of what it was, where nothing else is asked for."""

TOLERANCES = {"fp32": 1e-4, "fp16": 0.02, "bf16": 0.15, "int8": 0.3}
"""How far an output may lie from that in single precision, as a part of its largest magnitude.

It is found on data where there are metrics, else on random inputs; and it finds faults, such as an overflow, not what
a model is worth, which is for the metrics to tell.
"""

_HALVES = {"fp16": DType.FLOAT16, "bf16": DType.BFLOAT16}
_MISSING = re.compile(r"Could not find an implementation for (?P<kind>\w+)\(\d+\) node with name '(?P<node>[^']*)'")
_UNTYPED = re.compile(r"of operator \((?P<kind>\w+)\) in node \((?P<node>[^)]*)\) is invalid")  # by the standard itself


@dataclass(frozen=True, slots=True)
class Lowered:
    """What is told of an export in some precision.

    part: of the data, over which the metrics were measured; none where there are none, as for a procedure.
    size_before, size: bytes of the files in single precision and in this one.
    """

    precision: str
    calibrated: str | None
    provider: str
    part: str | None
    drops: tuple[Drop, ...]
    losses: tuple[Loss, ...]
    max_drop: float
    size_before: int
    size: int

    @property
    def worst(self) -> float:
        """The largest drop of a metric, or where there are none, the largest difference of an output."""
        return max((each.drop for each in self.drops), default=max((each.part for each in self.losses), default=0.0))


def lower(model: onnx.Model, precision: str, ranges: Ranges | None = None) -> onnx.Model:
    """A built model, which is used up, in one of `PRECISIONS`. ranges: for int8, what a calibration has seen."""
    if precision == "fp32":
        return model
    return int8(model, ranges) if precision == "int8" else half_precision(model, _HALVES[precision])


def require_kernels(model: onnx.Model, path: Path, precision: str, provider: str) -> None:
    """Opens the model that was written there. Raises Refusal where the provider has no kernels for its precision."""
    try:
        Session(path, provider=provider).close()
    except Refusal as refusal:
        notes = [note for diagnostic in refusal.diagnostics for note in diagnostic.notes]
        found = next((match for note in notes if (match := _MISSING.search(note) or _UNTYPED.search(note))), None)
        if found is None or precision not in _HALVES:
            raise
        raise Refusal(_no_kernels(model, found, _HALVES[precision], provider)) from None


def _no_kernels(model: onnx.Model, found: re.Match[str], half: DType, provider: str) -> NoKernels:
    lines = {str(node.name): node.metadata.get("dlc.line") for node in every_node(model.graph)}
    kind, name = found["kind"], found["node"]  # the name may have words of onnxruntime's behind it
    line = lines.get(name) or next((line for known, line in lines.items() if name.startswith(f"{known}/")), None)
    where = f", which {line} needs" if line else ""
    others = sorted(_without_kernel(model, half, resolve(provider)) - {kind})
    notes = (f"nor for {', '.join(others)}",) if others else ()
    short = resolve(provider).removesuffix("ExecutionProvider")
    told = f"onnxruntime's provider {short} has no kernel for `{kind}` in {half.value}{where}"
    return NoKernels(told, None, notes=notes, help="--precision fp16 has the same size; another --provider may do")


def _without_kernel(model: onnx.Model, half: DType, provider: str) -> set[str]:
    """The kinds of operators of the model that compute in the type and of which the provider has no kernel for it."""
    state: Any = import_module("onnxruntime.capi.onnxruntime_pybind11_state")
    known = {
        str(each.op_name)
        for each in state.get_all_opkernel_def()
        if each.provider == provider and any(schema_type(half) in types for types in each.type_constraints.values())
    }
    used = {
        node.op_type
        for node in every_node(model.graph)
        if not node.graphs and any(value is not None and value.dtype is half for value in [*node.inputs, *node.outputs])
    }
    return used - known


def compare(
    model: Graph,
    weights: Mapping[str, Array],
    path: Path,
    lowering: Callable[[onnx.Model], onnx.Model],
    provider: str,
    inputs: Sequence[Mapping[str, Array]] | None,
) -> list[Loss]:
    """How far the outputs of a lowered file lie from those in single precision.

    What is drawn at random is given to both sides, which are written once more for it. lowering: from the built model
    to that in lower precision. inputs: to compare on, none for random ones of several sizes. Raises Refusal.
    """
    graph = run(EXPORT, model)
    drawing = draws(graph)
    if drawing:
        graph = noise_as_inputs(graph)
    with TemporaryDirectory(prefix="dlc-") as folder:
        single, lowered = Path(folder) / "single.onnx", Path(folder) / "lowered.onnx"
        save_model(build_model(graph, weights), single)
        if drawing:
            save_model(lowering(build_model(graph, weights)), lowered)
        given = drawn(graph) if inputs is None or drawing else [("on data", arrays) for arrays in inputs]
        return losses(single, lowered if drawing else path, given, provider)
