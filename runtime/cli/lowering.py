"""The options of `dlc export` for precisions, and what is told of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from dlc.runtime.show.columns import columns

if TYPE_CHECKING:
    from dlc.runtime.infer.precision import Lowered
    from dlc.runtime.lowering import Wanted

Command = TypeVar("Command", bound=Callable[..., Any])

_OPTIONS = (
    click.option(
        "--precision",
        type=click.Choice(("fp32", "fp16", "bf16", "int8")),
        help="Of weights and of what is computed; tells what it costs in the run's own metrics.",
    ),
    click.option(
        "--calibrate", metavar="PART", help="For int8: ranges from this part of the run's data, for convolutions too."
    ),
    click.option(
        "--max-drop",
        type=click.FloatRange(min=0),
        metavar="X",
        help="How much worse a metric may become, as a part of what it is in fp32; 0.01 by default.",
    ),
    click.option("--provider", metavar="NAME", help="Of onnxruntime, what measures the precision; CPU by default."),
)


def precision_options(command: Command) -> Command:
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def wanted(
    precision: str | None, calibrate: str | None, max_drop: float | None, provider: str | None, *, verify: bool
) -> Wanted | None:
    """What the options ask for, none where nothing is said of precision. Raises UsageError where they contradict."""
    if precision is None:
        given = {"--calibrate": calibrate, "--max-drop": max_drop, "--provider": provider}
        for option, value in given.items():
            if value is not None:
                raise click.UsageError(f"{option} goes with --precision")
        return None
    if calibrate is not None and precision != "int8":
        raise click.UsageError("--calibrate goes with --precision int8; the others have no ranges to find")
    if not verify:
        raise click.UsageError("a precision is measured before it is written, so --no-verify does not go with it")
    from dlc.runtime.lowering import Wanted

    return Wanted(precision, calibrate, max_drop, provider or "CPU")


def as_document(lowered: Lowered | None) -> dict[str, Any]:
    """What `--json` adds for a precision that was asked for."""
    if lowered is None:
        return {}
    from dlc.runtime.lowering import document

    return {"lowered": document(lowered)}


def told(lowered: Lowered | None) -> list[str]:
    """What a precision costs, and what it saves, if one was asked for."""
    if lowered is None:
        return []
    share = lowered.size / lowered.size_before
    lines = [f"{lowered.precision}: {lowered.size:,} bytes, {share:.2f} of the {lowered.size_before:,} in fp32"]
    if lowered.calibrated is not None:
        lines[0] += f"; ranges from {lowered.calibrated}"
    if lowered.drops:
        rows = [(f"over {lowered.part}", "PyTorch, fp32", f"onnxruntime, {lowered.precision}", "worse by")]
        rows += [(each.metric, f"{each.before:.6g}", f"{each.after:.6g}", f"{each.drop:.2%}") for each in lowered.drops]
        lines += columns(rows, right=(1, 2, 3))
    rows = [("output", "differs from fp32 by", "most")]
    rows += [(each.output, f"{each.part:.2%}", each.where) for each in lowered.losses]
    return [*lines, *columns(rows, right=(1,))]
