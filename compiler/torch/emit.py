"""The PyTorch target: a graph as a Python file that imports torch alone, a class for each block."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from textwrap import wrap

from dlc.compiler.graph import Graph
from dlc.compiler.measuring import Measuring
from dlc.compiler.program import DataSpec, TrainSpec
from dlc.compiler.torch.classes import Drafting, TwoForms, blocks, forms
from dlc.compiler.torch.inline import FileParts
from dlc.compiler.torch.layout import INDENT, LIMIT, lines
from dlc.compiler.torch.merge import Merged, function
from dlc.compiler.torch.names import identifier, unused
from dlc.compiler.torch.training import build, finish_function, step_function
from dlc.compiler.weights import OpenWeight
from dlc.grammar.source import Span

__all__ = ["OpenWeight", "TwoForms", "emit_fields", "emit_graph", "emit_training", "field_functions"]


def emit_graph(graph: Graph) -> str:
    """A Python file with a class for each block that owns weights, `graph.name` the last one.

    The keys of the state dict are the graph's weight paths. Raises OpenWeight for a weight whose shape is not known
    in numbers, and TwoForms for an instance that would need two classes.
    """
    files = FileParts()
    drafting = Drafting(files)
    drafting.add_all([(graph, True)])
    merged = drafting.merged(top=graph.name)
    return write_file(graph.name, graph.span, files, [definition(unit) for unit in merged.units])


def emit_training(train: TrainSpec) -> str:
    """A Python file with the classes of the instances, and two or three functions.

    `build()` gives the instances by their names, with fresh weights. `step(instances, minimize, fields)` does one
    step: it calls `minimize` with each scalar loss, and gives what is reported by name, as scalars. Each field has a
    leading batch dimension. Where the reports of several batches are not the averages of each one's, what a step
    gives is averaged over examples (scalars), summed (tuples of tensors) or joined along axis 0 (lists of tensors),
    and `finish(measured)` makes the reports of that.
    """
    files = FileParts()
    drafting = Drafting(files)
    instances = [(block, True) for module in train.instances.values() for block in blocks(module)]
    step = train.step.graph
    called_by_step = [form for form in forms([(step, False)]) if form[0] is not step]
    drafting.add_all([*instances, *called_by_step])
    merged = drafting.merged(taken=("build", "step", "finish", "minimize", *train.instances))
    measuring = Measuring(train.step)
    functions = [build(train, drafting, merged), step_function(train, measuring, drafting, merged)]
    functions += [finish_function("finish", measuring, files)] if measuring.finishes else []
    return write_file(train.name, train.span, files, [definition(unit) for unit in (*merged.units, *functions)])


def emit_fields(data: DataSpec) -> str:
    """A Python file with a function for each field, from what its graph reads of one example to the field of that
    example, and one for each statistic, to what it is fitted to. `field_functions` tells their names."""
    files = FileParts()
    drafting = Drafting(files)
    named = field_functions(data)
    drafting.add_all([form for graph in named for form in forms([(graph, False)])])
    merged = drafting.merged(taken=named.values(), apart=named)
    functions = [function(name, drafting.drafts[graph, False], merged) for graph, name in named.items()]
    return write_file(data.name, data.span, files, [definition(unit) for unit in (*merged.units, *functions)])


def field_functions(data: DataSpec) -> dict[Graph, str]:
    """The name of the function that `emit_fields` writes for each graph of a `data` block, statistics' graphs first."""
    taken = {identifier(name) for name in data.fields}
    named: dict[Graph, str] = {}
    for field in data.fields.values():
        for statistic in field.statistics:
            named[statistic.graph] = unused(identifier(f"{statistic.name}_fitted"), taken, "_")
            taken.add(named[statistic.graph])
        named[field.graph] = identifier(field.name)
    return named


def write_file(name: str, span: Span, files: FileParts, definitions: list[str]) -> str:
    """The file: where it comes from, the imports that it uses, and its definitions."""
    body = "\n\n\n".join([*files.functions.values(), *definitions])
    source = os.path.basename(span.source.name)
    header = "\n".join(_doc(f"{name}, compiled from {source}.", 0)) + "\n\n"
    return header + "".join(f"{line}\n" for line in _imports(body, files)) + f"\n\n{body}\n"


def _imports(body: str, files: FileParts) -> list[str]:
    def uses(pattern: str) -> bool:
        return re.search(rf"(?<![\w.]){pattern}", body) is not None

    standard = sorted(files.imports | ({"from collections.abc import Callable"} if uses(r"Callable\[") else set[str]()))
    third = ["import torch"] if uses(r"torch\.") else []
    third += ["import torch.nn.functional as F"] if uses(r"F\.") else []
    names = [name for name in ("Tensor", "nn") if uses(rf"{name}\b")]
    third += [f"from torch import {', '.join(names)}"] if names else []
    return [*standard, *([""] if standard and third else []), *third]


def definition(unit: Merged) -> str:
    """A class or a function, laid out."""
    doc = unit.doc
    if not unit.is_class:
        head = f"def {unit.name}({', '.join(unit.parameters)}) -> {unit.returns}:"
        return "\n".join([*lines(head, 0), *_doc(doc, 1), *_laid(unit.body, 1)])
    text = [f"class {unit.name}(nn.Module):", *_doc(doc, 1)]
    if doc:
        text.append("")
    if unit.constructor:
        head = f"def __init__({', '.join(['self', *unit.arguments])}) -> None:"
        text += [*lines(head, 1), f"{INDENT * 2}super().__init__()", *_laid(unit.constructor, 2), ""]
    head = f"def forward({', '.join(['self', *unit.parameters])}) -> {unit.returns}:"
    return "\n".join([*text, *lines(head, 1), *_laid(unit.body, 2)])


def _laid(statements: Iterable[str], depth: int) -> list[str]:
    return [line for statement in statements for line in lines(statement, depth)]


def _doc(doc: str, depth: int) -> list[str]:
    indent = INDENT * depth
    text = "".join(character for character in doc.strip() if character.isprintable() or character == "\n")
    text = text.replace("\\", "\\\\")
    if '"""' in text or text.endswith('"'):
        text = text.replace('"', '\\"')
    room = LIMIT - len(indent) - 6
    first, *rest = (part for line in text.split("\n") for part in wrap(line.strip(), room) or [""])
    if not rest:
        return [f'{indent}"""{first}"""'] if first else []
    return [f'{indent}"""{first}', *(f"{indent}{line}".rstrip() for line in rest), f'{indent}"""']
