"""`dlc eval`: what a run's step reports, over a part of its data."""

from __future__ import annotations

import click

from dlc.runtime.cli.options import json_option
from dlc.runtime.cli.output import write_json


@click.command("eval", short_help="Measure a run on a part of its data.")
@click.argument("run", metavar="RUN")
@click.option("--split", "part", metavar="PART", help="The part of the data: test if there is one, else valid.")
@click.option("--onnx", metavar="MODEL.onnx", help="Let onnxruntime and this export compute the network.")
@click.option("--model", "name", metavar="NAME", help="Of a run with several instances, the one that was exported.")
@click.option("--device", metavar="NAME", help="As PyTorch names it; the accelerator by default, if there is one.")
@json_option("Print the measures as JSON.")
def command(run: str, part: str | None, onnx: str | None, name: str | None, device: str | None, as_json: bool) -> None:
    """Measure a run: the means of what its step minimises and reports over a part of the data.

    Nothing is updated, and layers are in evaluation mode. With --onnx the network's outputs come from onnxruntime, and
    the very same reports tell what the export is worth.
    """
    from dlc.runtime.measure import measure_run
    from dlc.runtime.train.progress import means
    from dlc.runtime.train.run import Run

    opened = Run.open(run)
    chosen = part if part is not None else default_part(list(opened.spec.data.split))
    values = measure_run(opened, chosen, onnx=onnx, name=name, device=device)
    if as_json:
        write_json({"part": chosen, "by": "onnxruntime" if onnx else "PyTorch", "measures": values})
    else:
        click.echo(f"{chosen}, by {'onnxruntime' if onnx else 'PyTorch'}: {means(values)}")


def default_part(parts: list[str]) -> str:
    """The part that says most about a model: `test`, else `valid`, else the last."""
    return next((part for part in ("test", "valid") if part in parts), parts[-1])
