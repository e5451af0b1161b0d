"""The PyTorch target: a graph as a Python file that imports torch alone, a class for each block."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from textwrap import wrap

from dlc.compiler.flow.sharding import batch_of
from dlc.compiler.graph import Graph
from dlc.compiler.measuring import Measuring
from dlc.compiler.passes import LOOPS, Pass
from dlc.compiler.program import DataSpec, TrainSpec
from dlc.compiler.torch.classes import Drafting
from dlc.compiler.torch.forms import blocks, forms
from dlc.compiler.torch.inline import FileParts
from dlc.compiler.torch.layout import INDENT, LIMIT, lines
from dlc.compiler.torch.merge import Merged, Merger, function
from dlc.compiler.torch.names import identifier, unused
from dlc.compiler.torch.training import (
    AUGMENT,
    augment_function,
    build,
    evaluate_function,
    finish_function,
    procedure_function,
    step_function,
)
from dlc.compiler.weights import OpenWeight
from dlc.grammar.source import Span

__all__ = ["OpenWeight", "emit_fields", "emit_graph", "emit_procedure", "emit_training", "field_functions"]


def emit_graph(graph: Graph, passes: tuple[Pass, ...] = LOOPS) -> str:
    """A Python file with a class for each block that owns weights, `graph.name` the last one.

    The keys of the state dict are the graph's weight paths. passes: what each block goes through before it is written;
    without any, the text follows the spec line by line. Raises OpenWeight for a weight whose shape is not known
    in numbers, and Refusal for an instance that would need two classes.
    """
    files = FileParts()
    drafting = Drafting(files, passes)
    drafting.add_all([(graph, True)])
    merged = drafting.merged(top=graph.name)
    return write_file(graph.name, graph.span, files, [definition(unit) for unit in merged.units])


def emit_training(train: TrainSpec, passes: tuple[Pass, ...] = LOOPS, *, shared: bool = False) -> str:
    """A Python file with the classes of the instances, and the functions of a training.

    `build()` gives the instances by their names, with fresh weights. `step(instances, minimize, fields)` does one
    step: it calls `minimize` with each scalar loss, with `over=[...]`, modules and parameters, and with `using="..."`,
    an optimiser's text, where the spec says so, and gives what is reported by name, as scalars. While the instances
    are in training mode, `augment(fields)` binds fields anew before that, if the data has it. Each field has a
    leading batch dimension. Weights are assigned while their instance is in training mode. `evaluate(instances,
    fields)`, if the spec has it, measures a batch in the place of `step`.

    Where the reports of several batches are not the averages of each one's, what a step gives is averaged over
    examples (scalars), summed (tuples of tensors) or joined along axis 0 (lists of tensors), and `finish(measured)`
    makes the reports of that, `finish_evaluate(measured)` those of `evaluate`.

    shared: whether each of several processes calls `step` with its part of a batch; draws for examples then go through
    `of_batch`, so that they can be those of the whole batch.
    """
    augment = train.data.augment
    measured = [step.graph for step in (train.step, train.evaluate) if step is not None]
    graphs = [*([augment] if augment is not None else []), *measured]
    files = FileParts(batch=frozenset(map(batch_of, graphs)) if shared else frozenset())
    taken = ("step", "evaluate", "finish", "finish_evaluate", "minimize", AUGMENT)
    drafting, merged = _drafted(train, graphs, files, taken, passes)
    measuring = Measuring(train.step)
    functions = [build(train, drafting, merged)]
    functions += [augment_function(train, augment, drafting, merged)] if augment is not None else []
    functions += [step_function(train, measuring, drafting, merged)]
    functions += [finish_function("finish", measuring, files)] if measuring.finishes else []
    if train.evaluate is not None:
        measuring = Measuring(train.evaluate)
        functions += [evaluate_function(train, train.evaluate, measuring, drafting, merged)]
        functions += [finish_function("finish_evaluate", measuring, files)] if measuring.finishes else []
    drafting.check(merged)
    return write_file(train.name, train.span, files, _definitions(merged, functions))


def emit_procedure(train: TrainSpec, name: str, passes: tuple[Pass, ...] = LOOPS) -> str:
    """A Python file with the classes of the instances, `build()`, and one procedure of a training.

    The procedure is a function of its name; it takes the instances, then its tensor parameters, and gives its results.
    """
    procedure = train.procedures[name]
    files = FileParts()
    drafting, merged = _drafted(train, [procedure.graph], files, (identifier(name),), passes)
    functions = [build(train, drafting, merged), procedure_function(train, procedure, drafting, merged)]
    drafting.check(merged)
    return write_file(f"{train.name}.{name}", train.span, files, _definitions(merged, functions))


def _definitions(merged: Merger, functions: list[Merged]) -> list[str]:
    """The functions, behind the classes and functions that they lead to: a class of other sizes than its instance was
    made for serves to check the two alone."""
    due = {unit.name: unit for unit in merged.units}
    needed: set[str] = set()
    pending = list(functions)
    while pending:
        unit = pending.pop()
        words = set(re.findall(r"(?<![\w.])[^\W\d]\w*", "\n".join((*unit.constructor, *unit.body))))
        pending += [due[name] for name in due.keys() & words - needed]
        needed |= due.keys() & words
    return [definition(unit) for unit in (*(unit for unit in merged.units if unit.name in needed), *functions)]


def _drafted(
    train: TrainSpec, graphs: list[Graph], files: FileParts, taken: tuple[str, ...], passes: tuple[Pass, ...]
) -> tuple[Drafting, Merger]:
    """The classes of a training's instances, and what some functions over them call. taken: names in use."""
    drafting = Drafting(files, passes)
    instances = [(block, True) for module in train.instances.values() for block in blocks(module)]
    called = [form for form in forms([(graph, False) for graph in graphs]) if form[0] not in graphs]
    drafting.add_all([*instances, *called])
    given = [name for graph in graphs for name in graph.inputs]
    return drafting, drafting.merged(taken=("build", *taken, *map(identifier, (*train.instances, *given))))


def emit_fields(data: DataSpec, passes: tuple[Pass, ...] = LOOPS) -> str:
    """A Python file with a function for each field, from what its graph reads of one example to the field of that
    example, and one for each statistic, to what it is fitted to. `field_functions` tells their names."""
    files = FileParts()
    drafting = Drafting(files, passes)
    named = field_functions(data)
    drafting.add_all([form for graph in named for form in forms([(graph, False)])])
    read = [identifier(name) for graph in named for name in graph.inputs]
    merged = drafting.merged(taken=(*named.values(), *read), apart=named)
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
        return "\n".join([*_decorated(unit, 0), *lines(head, 0), *_doc(doc, 1), *_laid(unit.body, 1)])
    text = [f"class {unit.name}(nn.Module):", *_doc(doc, 1)]
    if doc:
        text.append("")
    if unit.constructor:
        head = f"def __init__({', '.join(['self', *unit.arguments])}) -> None:"
        text += [*lines(head, 1), f"{INDENT * 2}super().__init__()", *_laid(unit.constructor, 2), ""]
    head = f"def forward({', '.join(['self', *unit.parameters])}) -> {unit.returns}:"
    return "\n".join([*text, *_decorated(unit, 1), *lines(head, 1), *_laid(unit.body, 2)])


def _decorated(unit: Merged, depth: int) -> list[str]:
    return [f"{INDENT * depth}@{unit.decorator}"] if unit.decorator else []


def _laid(statements: Iterable[str], depth: int) -> list[str]:
    return [line for statement in statements for line in lines(statement, depth)]


def _doc(doc: str, depth: int) -> list[str]:
    indent = INDENT * depth
    text = "".join(character for character in doc.strip() if character.isprintable() or character == "\n")
    text = text.replace("\\", "\\\\")
    if '"""' in text or text.endswith('"'):
        text = text.replace('"', '\\"')
    room = LIMIT - len(indent) - 6
    paragraphs = ([line.strip() for line in each.split("\n")] for each in text.split("\n\n"))
    first, *rest = "\n\n".join(_fitted(each, room) for each in paragraphs).split("\n")
    if not rest:
        return [f'{indent}"""{first}"""'] if first else []
    return [f'{indent}"""{first}', *(f"{indent}{line}".rstrip() for line in rest), f'{indent}"""']


def _fitted(paragraph: list[str], room: int) -> str:
    """Lines as they were written, or, where one is too long, the text of them all in lines that fit."""
    fits = all(len(line) <= room for line in paragraph)
    return "\n".join(paragraph if fits else wrap(" ".join(paragraph), room))
