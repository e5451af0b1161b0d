"""What the procedures of a run give, as pictures, and the filters of its first convolutions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

import numpy as np

from dlc.compiler.graph import BlockModule, Graph, Module, OpModule
from dlc.compiler.program import Procedure, TrainSpec
from dlc.grammar.diagnostics import Refusal
from dlc.runtime.infer.pictures import is_images
from dlc.runtime.procedures import Chosen, call
from dlc.runtime.report.charts import curves
from dlc.runtime.report.page import code, paragraph
from dlc.runtime.report.pixels import picture
from dlc.runtime.train.run import Run, weights_of_run
from dlc.runtime.wording import texts

Array = np.ndarray[Any, Any]

_EXAMPLES = 16  # that a procedure is given
_IMAGES = 64  # that are shown
_FILTERS = 64
_SEQUENCES = 4


def samples(run: Run, spec: TrainSpec, fields: Mapping[str, Array], device: str | None) -> Iterator[str]:
    """For each procedure what it gives: called as it stands, or, where its tensors are fields of the data, with the
    first examples of a part. What cannot be shown is said."""
    for name, procedure in spec.procedures.items():
        tensors = procedure.graph.inputs
        missing = [tensor for tensor in tensors if tensor not in fields]
        if missing:
            told = f"needs {', '.join(missing)}: dlc call {run.folder} {name} --{missing[0]} …"
            yield f"<h3>{escape(name)}</h3>{paragraph(told)}"
            continue
        given = {tensor: fields[tensor][:_EXAMPLES] for tensor in tensors}
        yield f"<h3>{escape(name)}</h3>{_shown(run, spec, procedure, given, device)}"


def _shown(run: Run, spec: TrainSpec, procedure: Procedure, given: Mapping[str, Array], device: str | None) -> str:
    try:
        results = call(Chosen(run, spec, procedure), given, device=device)
    except Refusal as refusal:
        return "".join(paragraph(f"failed: {diagnostic.message}") for diagnostic in refusal.diagnostics)
    parts: list[str] = []
    shown = {**{f"{name}, as it was": array for name, array in given.items() if is_images(array)}, **results}
    types = dict(zip(procedure.graph.output_names, procedure.graph.outputs, strict=True))
    for name, array in shown.items():
        told = f"{name}: {array.dtype}{list(array.shape)}"
        parts.append(paragraph(told))
        if is_images(array):
            parts.append(picture(array[:_IMAGES], f"{procedure.name}: {told}"))
        elif name in types and (said := texts(spec.data, types[name].type, array)):
            parts += [code(text) for text in said[:_SEQUENCES]]
        elif array.size <= _EXAMPLES:
            parts.append(paragraph(np.array2string(array, precision=4, separator=", ")))
        elif array.ndim in (1, 2) and array.shape[-1] > _EXAMPLES:
            rows: list[list[float]] = np.atleast_2d(array)[:_SEQUENCES].tolist()
            parts.append(
                curves(name, {str(place): list(enumerate(row)) for place, row in enumerate(rows)}, over="place")
            )
    return "".join(parts)


def filters(run: Run, spec: TrainSpec) -> Iterator[tuple[str, str]]:
    """For each instance the filters of its first convolution of images, scaled from their least to their greatest
    number: a path, and the picture."""
    for instance, module in spec.instances.items():
        path = next(_convolutions(module, ""), None)
        if path is None:
            continue
        weight = weights_of_run(run, instance)[f"{path}.weight"].astype(np.float32)
        if weight.ndim != 4 or weight.shape[1] not in (1, 3) or weight.shape[-1] < 2:
            continue
        low, high = float(weight.min()), float(weight.max())
        scaled = (weight - low) / (high - low) if high > low else weight * 0
        yield f"{instance}.{path}", picture(scaled[:_FILTERS], f"filters of {instance}.{path}")


def _convolutions(module: Module, path: str) -> Iterator[str]:
    """The paths of convolutions, in the order of the spec."""
    match module:
        case OpModule(op=op) if op.name == "conv":
            yield path
        case BlockModule(graph=graph):
            yield from _within(graph, path)
        case _:
            return


def _within(graph: Graph, path: str) -> Iterator[str]:
    for name, module in graph.modules.items():
        yield from _convolutions(module, f"{path}.{name}" if path else name)
