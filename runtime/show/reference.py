"""The reference of all operations, `docs/operations.md`: `python -m dlc.runtime.show.reference docs/operations.md`."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path

from dlc.compiler.init import Init, initialisations
from dlc.compiler.op import Op, operations
from dlc.runtime.show import operation

# The families, files of dlc.compiler.ops, in the order of a course; those not named here follow by themselves.
CHAPTERS: dict[str, tuple[str, ...]] = {
    "Element by element": ("elementwise", "activations", "choosing", "operators", "comparisons"),
    "Along axes": ("reductions", "scans"),
    "Shape": ("shape", "joining", "moving", "indexing", "selection", "rearranging", "resampling"),
    "Linear algebra": ("linalg", "contraction", "decompositions"),
    "Layers with weights": ("linear", "conv", "norms", "recurrent", "cells"),
    "Pooling": ("pooling",),
    "Attention and positions": ("attention", "positions"),
    "Making tensors": ("making", "literals"),
    "Noise": ("noise", "draws", "augmentations"),
    "Losses": ("losses", "class_losses", "divergences", "contrast", "alignment", "penalties"),
    "Metrics": ("classification", "metrics", "translation"),
    "Graphs and sets": ("segments",),
    "Gradients": ("gradients",),
    "What the compiler makes of others": ("products", "steps", "sequences"),
}

_HEAD = """\
# Operations

All operations that a spec can call. This page is made from their classes; `dlc ops NAME` shows the same on one of
them, and `dlc ops` lists them.

How to read an entry:

- The heading is the operation with its parameters. Tensors come first; what has a default may be left out; `x...` takes
  any number. A call without its tensors is a layer: `conv(8, 3)`, or `relu`.
- In the examples each tensor stands with its type: `conv(x: float[N, 3, H, W], out=4, kernel=3)` is a call
  `conv(x, 4, 3)` where `x` is a `float[N, 3, H, W]`. Capitals are sizes that need not be known before the network runs.
- *PyTorch* is what `dlc compile --to torch` writes for the first example: what the constructor has, then what `forward`
  has. Functions such as `run_recurrent` that are not PyTorch's stand at the top of the emitted file.
- *ONNX* are the operators that its export is made of, what computes sizes included.
"""


def reference() -> str:
    """The whole page, as Markdown."""
    families: dict[str, list[type[Op]]] = {}
    for op in operations().values():
        families.setdefault(op.__module__.rpartition(".")[2], []).append(op)
    placed = {family for chapter in CHAPTERS.values() for family in chapter}
    others = {_title(family): (family,) for family in sorted(families) if family not in placed}
    chapters = {title: [families[family] for family in names] for title, names in (CHAPTERS | others).items()}
    parts = [_HEAD, "\n".join(["## Contents", "", *_contents(chapters), _line("Initialisations", initialisations())])]
    for title, found in chapters.items():
        parts.append(f"## {title}")
        for ops in found:
            parts.append(_introduction(ops[0]))
            parts += map(_entry, ops)
    parts.append("\n\n".join(["## Initialisations", *_initialisations()]))
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _contents(chapters: dict[str, list[list[type[Op]]]]) -> Iterator[str]:
    for title, families in chapters.items():
        yield _line(title, [op.name for ops in families for op in ops])


def _line(title: str, names: Sequence[str] | dict[str, type[Init]]) -> str:
    anchor = title.lower().replace(" ", "-")
    return f"- [{title}](#{anchor}): " + " ".join(f"[{name}](#{_anchor(title, name)})" for name in names)


def _anchor(title: str, name: str) -> str:
    """Initialisations have the names of some operations."""
    return f"init-{name}" if title == "Initialisations" else f"op-{name}"


def _title(family: str) -> str:
    return family.replace("_", " ").capitalize()


def _introduction(op: type[Op]) -> str:
    """What the file of an operation says of its family."""
    family = op.__module__.rpartition(".")[2]
    return f"### {_title(family)}\n\n{(import_module(op.__module__).__doc__ or '').strip()}"


def _entry(op: type[Op]) -> str:
    parts = [f'<a id="op-{op.name}"></a>\n\n#### `{operation.signature(op)}`', operation.text(op)]
    rows = [f"| `{name}` | {kind.replace('|', chr(92) + '|')} |" for name, kind in operation.parameters_of(op)]
    if any(kind != "a tensor" for _, kind in operation.parameters_of(op)):
        parts.append("\n".join(["| parameter | is |", "| --- | --- |", *rows]))
    weights = [f"`{name}` {type}" for name, type in operation.weights_of(op)]
    if weights:
        parts.append(f"Weights, in the first example that has them: {', '.join(weights)}.")
    parts.append("\n".join(["```", *operation.examples_of(op), "```"]))
    parts.append("\n".join(["PyTorch:", "", "```python", *operation.torch_of(op), "```"]))
    parts.append(f"ONNX: {operation.onnx_of(op)}")
    parts += operation.remarks(op)
    return "\n\n".join(parts)


def _initialisations() -> Iterator[str]:
    yield (
        "How a weight starts: after `~` in a `weight` statement, or as `init=` of a layer, as in "
        "`linear(10, init=orthogonal(gain=0.5))`."
    )
    for name, kind in initialisations().items():
        fields = ", ".join(
            field if parameter.required else f"{field}={parameter.default:.4g}"
            for field, parameter in kind.fields().items()
        )
        yield f'<a id="init-{name}"></a>\n\n#### `{name}({fields})`\n\n{(kind.__doc__ or "").strip()}'


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(reference())
