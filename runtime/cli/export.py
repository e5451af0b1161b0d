"""`dlc export`: a run's model as an ONNX file that was compared with PyTorch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dlc.compiler.onnx.opset import NEWEST, OPSET
from dlc.runtime.cli.eval import default_part
from dlc.runtime.cli.lowering import as_document, precision_options, told, wanted
from dlc.runtime.cli.options import SELECTION, Pair, Selection, json_option
from dlc.runtime.cli.output import refusing_to_write, write_json
from dlc.runtime.show.columns import columns

if TYPE_CHECKING:
    from dlc.compiler.onnx.model import Model
    from dlc.runtime.infer.precision import Lowered
    from dlc.runtime.infer.verify import Report
    from dlc.runtime.trained import Trained

_FEW = 4  # sizes that are told one by one


@click.command("export", short_help="Write a trained model as ONNX.")
@click.argument("selection", type=SELECTION, metavar="RUN[:PROCEDURE]")
@click.option("-o", "output", metavar="MODEL.onnx", required=True, help="The file to write.")
@click.option("--procedure", metavar="NAME", help="A procedure of the run, in place of a model.")
@click.option("--model", "name", metavar="NAME", help="Of a run with several instances, the one to export.")
@click.option("--verify/--no-verify", default=True, help="Compare it with PyTorch first; it is, by default.")
@click.option(
    "--set", "statics", type=Pair(example="n=4"), multiple=True, help="A static parameter of the procedure, as in n=4."
)
@click.option("--noise", is_flag=True, help="Make what is drawn at random inputs, one for each draw.")
@click.option(
    "--opset",
    type=click.Choice([str(OPSET), str(NEWEST)]),
    default=str(NEWEST),
    help=f"The newest whose operators may be used: {OPSET} for runtimes without the operators of {NEWEST}.",
)
@click.option("--functions", is_flag=True, help="Write each block as a function; by default all is flat.")
@precision_options
@json_option("Print what was compared as JSON.")
def command(
    selection: Selection,
    output: str,
    procedure: str | None,
    name: str | None,
    verify: bool,
    statics: tuple[tuple[str, str], ...],
    noise: bool,
    opset: str,
    functions: bool,
    precision: str | None,
    calibrate: str | None,
    max_drop: float | None,
    provider: str | None,
    as_json: bool,
) -> None:
    """Write a trained model, or a procedure, as ONNX, with the spec's names and its open dimensions.

    Before it is written, onnxruntime's outputs are compared with PyTorch's on random inputs of several sizes, and for
    the same noise where the model draws.
    """
    from dlc.compiler.onnx.functions import with_functions
    from dlc.runtime.build import onnx_model
    from dlc.runtime.export import write_export
    from dlc.runtime.procedures import choose_procedure, exported
    from dlc.runtime.train.run import Run
    from dlc.runtime.trained import trained_model

    procedure = procedure or selection.name
    if procedure is not None and name is not None:
        raise click.UsageError("either a model is exported, or a procedure")
    if statics and procedure is None:
        raise click.UsageError("--set goes with a procedure; a model keeps the values that it was trained with")
    if calibrate is not None and procedure is not None:
        raise click.UsageError("--calibrate goes with a model; a procedure is not applied to the data")
    lowering = wanted(precision, calibrate, max_drop, provider, verify=verify)
    run = Run.open(selection.path)
    if procedure is None:
        trained = trained_model(run, name)
    else:
        trained = exported(choose_procedure(run, procedure, dict(statics)))
    if noise:
        trained = _with_noise(trained)
    finish = with_functions if functions else _as_it_is
    lowered: Lowered | None = None
    with refusing_to_write(output):
        if lowering is None:
            built = finish(onnx_model(trained.model, trained.weights, newest=int(opset)))
            report = write_export(trained.model, trained.weights, built, Path(output), verify=verify)
        else:
            from dlc.runtime.lowering import write_lowered

            part = default_part(list(run.spec.data.split)) if procedure is None else None
            report, lowered = write_lowered(
                run, trained, Path(output), lowering, part=part, finish=finish, newest=int(opset)
            )
    if as_json:
        write_json(_document(trained, output, report) | as_document(lowered))
    else:
        click.echo("\n".join([_told(trained, output, report), *told(lowered)]))


def _as_it_is(model: Model) -> Model:
    return model


def _with_noise(trained: Trained) -> Trained:
    """The same with its draws as inputs."""
    from dlc.compiler.passes import EXPORT, run
    from dlc.compiler.passes.noise import noise_as_inputs

    graph = noise_as_inputs(run(EXPORT, trained.model.graph))
    if not graph.noise:
        raise click.UsageError(f"{trained.model.name} draws nothing at random, so --noise has nothing to make an input")
    return replace(trained, model=replace(trained.model, graph=graph))


def _told(trained: Trained, output: str, report: Report | None) -> str:
    graph = trained.model.graph
    inputs = ", ".join(f"{name}: {value.type}" for name, value in graph.inputs.items())
    results = zip(graph.output_names, graph.outputs, strict=True)
    lines = [f"{output}: {trained.model.name}({inputs}) -> {', '.join(f'{name}: {v.type}' for name, v in results)}"]
    if report is None:
        lines.append("not compared with PyTorch")
    else:
        same = " for the same noise" if report.random else ""
        lines.append(f"gives what PyTorch gives{same}, at {_sizes(report)}")
        lines += _table(report)
        if report.skipped:
            first = report.skipped[0]
            lines.append(f"not compared at {len(report.skipped)} sizes; at {first.sizes}: {first.reason}")
    return "\n".join(lines)


def _sizes(report: Report) -> str:
    sizes = list(dict.fromkeys(row.sizes for row in report.rows))
    return "; ".join(sizes) if len(sizes) <= _FEW else f"{len(sizes)} sizes, from {sizes[0]} to {sizes[-1]}"


def _table(report: Report) -> list[str]:
    """For each output the largest difference, and the largest as a part of the output's largest value."""
    rows = [("output", "largest difference", "of the largest value", "at")]
    for output in dict.fromkeys(row.output for row in report.rows):
        compared = [row for row in report.rows if row.output == output]
        worst = max(compared, key=lambda row: row.relative)
        greatest = max(row.greatest for row in compared)
        rows.append((output, f"{greatest:.1e}", f"{worst.relative:.1e}", worst.sizes))
    return columns(rows, right=(1, 2))


def _document(trained: Trained, output: str, report: Report | None) -> dict[str, Any]:
    document: dict[str, Any] = {"file": output, "model": trained.model.name, "verified": report is not None}
    if report is not None:
        document["tolerance"] = report.tolerance
        document["same_noise"] = report.random
        document["compared"] = [
            {"sizes": row.sizes, "output": row.output, "greatest": row.greatest, "relative": row.relative}
            for row in report.rows
        ]
        document["skipped"] = [{"sizes": skipped.sizes, "reason": skipped.reason} for skipped in report.skipped]
    return document
