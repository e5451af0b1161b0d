"""`dlc compile`: what a stage of the compiler made of a spec."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dlc.runtime.cli.options import SELECTION, Selection, choose, overrides_option
from dlc.runtime.cli.output import refusing_to_write, write_text
from dlc.runtime.show import ast_text, graph_text
from dlc.runtime.spec import read_checked, read_tree

if TYPE_CHECKING:
    from dlc.compiler.program import Model, Program

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
        write_text(ast_text.dump(read_tree(selection.path)), output)
        return
    program = read_checked(selection.path, overrides)
    match stage:
        case "graph":
            write_text(_graph(program, selection), output)
        case "torch":
            write_text(_torch(program, selection), output)
        case _:
            _write_onnx(choose(program.models, selection, "model"), weights, seed, stage == "onnx-text", output)


def _graph(program: Program, selection: Selection) -> str:
    if selection.name is None:
        return graph_text.dump(program)
    return graph_text.dump_graph(choose(program.models, selection, "model").graph)


def _torch(program: Program, selection: Selection) -> str:
    from dlc.runtime.build import torch_source

    if selection.name is not None and selection.name in program.trains:
        from dlc.compiler.torch.emit import emit_training

        return emit_training(program.trains[selection.name])
    return torch_source(choose(program.models, selection, "model"))


def _write_onnx(model: Model, weights: str | None, seed: int, as_text: bool, output: str | None) -> None:
    from dlc.compiler.onnx.emit import save_model
    from dlc.runtime.build import onnx_model
    from dlc.runtime.trained import read_weights

    if not as_text and output is None:
        raise click.UsageError("an ONNX model is not text: name its file with -o")
    built = onnx_model(model, None if weights is None else read_weights(weights, model), seed=seed)
    if as_text:
        import onnx

        from dlc.compiler.onnx.wire import encode
        from dlc.runtime.show.onnx_text import dump

        write_text(dump(onnx.ModelProto.FromString(encode(built))), output)
    elif output is not None:
        with refusing_to_write(output):
            save_model(built, Path(output))
