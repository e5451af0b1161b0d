"""What an exported model says about itself besides its graph: where it comes from and what its inputs must satisfy."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from importlib.metadata import version
from os.path import basename

from dlc.compiler.dim import Symbol
from dlc.compiler.graph import Graph
from dlc.grammar.source import Source, Span

PRODUCER = "dlc"
SPEC = "dlc.spec"
SOURCE = "dlc.source"
RANGES = "dlc.ranges"
CHECKS = "dlc.checks"
NOISE = "dlc.noise"
EXAMPLES = "dlc.examples"
VERIFIED = "dlc.verified"
PRECISION = "dlc.precision"
LINE = "dlc.line"
MAIN = "spec.dl"  # what a run calls the spec itself


def producer_version() -> str:
    return version("dlc")


def place(span: Span) -> str:
    """`file:line` of a span."""
    return f"{_file(span.source)}:{span.line}"


def _file(source: Source) -> str:
    """A file as the spec's folder has it, so that a model does not tell where on a machine that lay."""
    place: str | None = getattr(source, "place", None)
    return basename(source.name) if place in (None, MAIN) else place


def verified(tolerance: float, sizes: Sequence[str], noise: bool) -> dict[str, str]:
    """What a model says that gave what PyTorch gave, within a tolerance, at these sizes, and for the same noise."""
    document = {"tolerance": tolerance, "sizes": list(sizes), "same_noise": noise}
    return {VERIFIED: json.dumps(document, ensure_ascii=False)}


def unverified() -> dict[str, str]:
    """What a model says that was not compared with PyTorch."""
    return {VERIFIED: "false"}


def describe(graph: Graph, name: Callable[[Symbol], str], examples: Symbol | None) -> dict[str, str]:
    """The model's metadata.

    The ranges map an int input to what its elements lie below, the checks are objects with `left`, `relation`,
    `right`, `message` and `line`; sizes in both are expressions of the symbols in the inputs' shapes. A model whose
    draws are inputs maps them to the distributions that they follow. examples: the size that counts them, in a model
    that computes each by itself.
    """
    ranges = {
        input: value.type.below.render(name) for input, value in graph.inputs.items() if value.type.below is not None
    }
    checks = [
        {
            "left": check.left.render(name),
            "relation": check.relation,
            "right": check.right.render(name),
            "message": check.message,
            "line": place(check.span),
        }
        for check in graph.checks
    ]
    noise = {NOISE: json.dumps(graph.noise, ensure_ascii=False)} if graph.noise else {}
    apart = {EXAMPLES: name(examples)} if examples is not None else {}
    return {
        SPEC: graph.name,
        SOURCE: _file(graph.span.source),
        RANGES: json.dumps(ranges, ensure_ascii=False),
        CHECKS: json.dumps(checks, ensure_ascii=False),
        **noise,
        **apart,
    }
