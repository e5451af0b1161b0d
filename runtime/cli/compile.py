"""`dlc compile`: what a stage of the compiler made of a spec."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from dlc.runtime.cli.options import SELECTION, Selection, choose, overrides_option
from dlc.runtime.cli.output import write_bytes, write_text
from dlc.runtime.spec import read_checked, read_tree

if TYPE_CHECKING:
    import onnx

    from dlc.compiler.program import Program

_STAGES = ("ast", "graph", "torch", "onnx", "onnx-text")


@click.command("compile", short_help="Write what a stage of the compiler made of a spec.")
@click.argument("selection", type=SELECTION, metavar="FILE[:MODEL]")
@click.option("--to", "stage", type=click.Choice(_STAGES), required=True, help="What to write.")
@click.option("-o", "output", metavar="OUT", help="The file to write; text goes to stdout without it.")
@click.option("--weights", metavar="RUN", help="A run or a .safetensors file, for onnx; else they are drawn freshly.")
@click.option("--seed", type=click.IntRange(min=0), default=0, help="Of freshly drawn weights.")
@overrides_option
def command(
    selection: Selection,
    stage: str,
    output: str | None,
    weights: str | None,
    seed: int,
    overrides: Mapping[str, str],
) -> None:
    """Write what a stage of the compiler made of a spec.

    ast: the syntax tree. graph: the checked graphs, with every type. torch: PyTorch source, of a model or of a train
    block. onnx: the model for onnxruntime. onnx-text: the same, to read.
    """
    if weights is not None and not stage.startswith("onnx"):
        raise click.UsageError(f"--weights goes with onnx; what --to {stage} writes holds no weights")
    if stage == "ast":
        _write_tree(selection, output)
        return
    program = read_checked(selection.path, overrides)
    if stage == "graph":
        write_text(_graph(program, selection), output)
    elif stage == "torch":
        write_text(_torch(program, selection), output)
    else:
        if stage == "onnx" and output is None:
            raise click.UsageError("an ONNX model is not text: name its file with -o")
        model = _onnx(program, selection, weights, seed)
        if stage == "onnx-text":
            write_text(_onnx_text(model), output)
        elif output is not None:
            write_bytes(model.SerializeToString(), output)
