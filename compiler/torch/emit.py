"""The PyTorch target: a graph as a Python file that imports torch alone, a class for each block."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator

from dlc.compiler.calls import callees_first, called
from dlc.compiler.graph import BlockModule, Graph, ListModule, Module
from dlc.compiler.torch.body import FileParts
from dlc.compiler.torch.classes import Drafting, OpenWeight
from dlc.compiler.torch.layout import INDENT, lines
from dlc.compiler.torch.merge import Merged, merge

__all__ = ["OpenWeight", "emit_graph"]


def emit_graph(graph: Graph) -> str:
    """A Python file with a class for each block that owns weights, `graph.name` the last one.

    The keys of the state dict are the graph's weight paths. Raises OpenWeight for a weight whose shape is not known
    in numbers.
    """
    files = FileParts(set(), {})
    drafting = Drafting(files)
    for callee in callees_first([graph], _parts):
        drafting.add(callee, is_class=callee is graph or bool(callee.modules))
    merged = merge(list(drafting.drafts.values()), [graph.name])
    return write_file(graph, files, [definition(unit) for unit in merged.units])


def _parts(graph: Graph) -> Iterable[Graph]:
    """The graphs that a graph calls, and those whose instances it owns."""
    yield from called(graph)
    for module in graph.modules.values():
        yield from _blocks(module)


def _blocks(module: Module | None) -> Iterator[Graph]:
    match module:
        case BlockModule(graph=graph):
            yield graph
        case ListModule(items=items):
            for item in items:
                yield from _blocks(item)
        case _:
            return


def write_file(graph: Graph, files: FileParts, definitions: list[str]) -> str:
    """The file: where it comes from, the imports that it uses, and its definitions."""
    body = "\n\n\n".join([*files.functions.values(), *definitions])
    source = os.path.basename(graph.span.source.name)
    header = f'"""{graph.name}, compiled from {source}."""\n\n'
    return header + "".join(f"{line}\n" for line in _imports(body, files)) + f"\n\n{body}\n"


def _imports(body: str, files: FileParts) -> list[str]:
    def uses(pattern: str) -> bool:
        return re.search(rf"(?<![\w.]){pattern}", body) is not None

    standard = sorted(files.imports)
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
    if not doc:
        return []
    indent = INDENT * depth
    first, *rest = doc.strip().replace("\\", "\\\\").replace('"""', '\\"\\"\\"').split("\n")
    if not rest:
        return [f'{indent}"""{first}"""']
    return [f'{indent}"""{first}', *(f"{indent}{line.strip()}".rstrip() for line in rest), f'{indent}"""']
