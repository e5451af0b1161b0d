"""`dlc compile`: what a stage of the compiler made of a spec."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dlc.runtime.cli.options import SELECTION, Selection, choose, overrides_option
from dlc.runtime.cli.output import refusing_to_write, write_bytes, write_text
from dlc.runtime.show import ast_text, graph_text
from dlc.runtime.spec import read_checked, read_tree

if TYPE_CHECKING:
    import numpy as np

    from dlc.compiler.program import Model, Program
    from dlc.runtime.mapping.load import Loaded

    Weights = Mapping[str, np.ndarray[Any, Any]]

_STAGES = ("ast", "graph", "torch", "onnx", "onnx-text")


@click.command("compile", short_help="Write what a stage of the compiler made of a spec.")
@click.argument("selection", type=SELECTION, metavar="FILE[:MODEL]")
@click.option("--to", "stage", type=click.Choice(_STAGES), required=True, help="What to write.")
@click.option("-o", "output", metavar="OUT", help="The file to write; text goes to stdout without it.")
@click.option("--weights", metavar="RUN", help="A run or a .safetensors file; else weights are drawn freshly.")
@click.option("--map", "mapping", metavar="FILE.map", help="What the file of --weights calls the weights: a mapping.")
@click.option("--verify/--no-verify", default=None, help="Compare onnx with PyTorch; with --map it is, by default.")
@click.option("--seed", type=click.IntRange(min=0), default=0, help="Of freshly drawn weights.")
@overrides_option
def command(
    selection: Selection,
    stage: str,
    output: str | None,
    weights: str | None,
    mapping: str | None,
    verify: bool | None,
    seed: int,
    overrides: Mapping[str, str],
) -> None:
    """Write what a stage of the compiler made of a spec.

    ast: the syntax tree. graph: the checked graphs, with every type. torch: PyTorch source, of a model or of a train
    block; with --weights, a model's weights as .safetensors beside it. onnx: the model for onnxruntime. onnx-text: the
    same, to read.
    """
    _require_fitting(stage, output, weights, mapping, verify)
    if stage == "ast":
        write_text(ast_text.dump(read_tree(selection.path)), output)
        return
    program = read_checked(selection.path, overrides)
    match stage:
        case "graph":
            write_text(_graph(program, selection), output)
        case "torch" if weights is None:
            write_text(_torch(program, selection), output)
        case _:
            model = choose(program.models, selection, "model")
            given = _weights(program, model, weights, mapping, seed, output)
            if output is not None and stage == "torch":
                _write_torch(model, given or {}, output)
            elif output is not None and stage == "onnx":
                _write_onnx(model, given, seed, output, verify=mapping is not None if verify is None else verify)
            else:
                write_text(_onnx_text(model, given, seed), output)


def _require_fitting(
    stage: str, output: str | None, weights: str | None, mapping: str | None, verify: bool | None
) -> None:
    """Refuses options that do not go together."""
    if weights is not None and stage in ("ast", "graph"):
        raise click.UsageError(f"--weights goes with torch and onnx; what --to {stage} writes holds no weights")
    if mapping is not None and (weights is None or Path(weights).is_dir()):
        raise click.UsageError("--map tells what a .safetensors file calls the weights: name that by --weights")
    if verify is not None and stage != "onnx":
        raise click.UsageError("--verify and --no-verify go with --to onnx")
    if stage == "onnx" and output is None:
        raise click.UsageError("an ONNX model is not text: name its file with -o")
    if stage == "torch" and weights is not None:
        if output is None or Path(output).suffix == ".safetensors":
            raise click.UsageError("weights are written beside the source: name its file with -o, as in -o net.py")
        if Path(weights).absolute() == _beside(output).absolute():
            raise click.UsageError(f"{_beside(output)} would be written over: name another file with -o")


def _weights(
    program: Program, model: Model, weights: str | None, mapping: str | None, seed: int, output: str | None
) -> Weights | None:
    """The weights that were asked for; what a mapping left out is told. None where they are drawn freshly."""
    from dlc.runtime.trained import read_weights

    if weights is None:
        return None
    if mapping is None:
        return read_weights(weights, model)
    from dlc.runtime.mapping.load import load_weights

    loaded = load_weights(model, weights, mapping, models=program.models, seed=seed)
    click.echo(_record(weights, loaded), err=output is None)
    return loaded.weights


def _record(place: str, loaded: Loaded) -> str:
    """What became of each tensor and weight: those that gave and were given are counted, the others named."""
    lines = [f"{place}: {loaded.used} tensors give {len(loaded.weights) - len(loaded.initial)} weights"]
    for what, names in (
        ("equal to what a weight is given", loaded.again),
        ("ignored", loaded.ignored),
        ("weights that start as the spec says", loaded.initial),
    ):
        lines += [f"  {what}: {', '.join(names)}"] if names else []
    return "\n".join(lines)


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


def _beside(output: str) -> Path:
    """Where the weights of PyTorch source go."""
    return Path(output).with_suffix(".safetensors")


def _write_torch(model: Model, weights: Weights, output: str) -> None:
    from importlib import import_module

    from dlc.runtime.build import torch_source

    write_text(torch_source(model), output)
    numpy: Any = import_module("safetensors.numpy")  # whose types are not told
    write_bytes(numpy.save(dict(weights)), str(_beside(output)))


def _write_onnx(model: Model, weights: Weights | None, seed: int, output: str, *, verify: bool) -> None:
    from dlc.runtime.build import compute, onnx_model, require_closed
    from dlc.runtime.export import write_export

    if weights is None and verify:
        from dlc.compiler.weights import draw_weights

        require_closed(model)
        weights = draw_weights(model.graph.weights(), seed, compute)
    built = onnx_model(model, weights, seed=seed)
    with refusing_to_write(output):
        report = write_export(model, weights, built, Path(output), verify=verify)
    if report is not None:
        sizes = "; ".join(dict.fromkeys(row.sizes for row in report.rows))
        worst = report.worst
        difference = f"the largest difference is {worst.relative:.1e} of the largest value, in {worst.output}"
        click.echo(f"{output}: gives what PyTorch gives, at {sizes}; {difference}")


def _onnx_text(model: Model, weights: Weights | None, seed: int) -> str:
    import onnx

    from dlc.compiler.onnx.wire import encode
    from dlc.runtime.build import onnx_model
    from dlc.runtime.show.onnx_text import dump

    return dump(onnx.ModelProto.FromString(encode(onnx_model(model, weights, seed=seed))))
