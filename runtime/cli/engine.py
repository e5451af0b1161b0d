"""How a model is run, as options that commands share: by what, with how many threads, within which limits."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])

_UNITS = {"": 1, "kb": 1e3, "mb": 1e6, "gb": 1e9, "tb": 1e12, "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40}
_AMOUNT = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]*)")


class Bytes(click.ParamType[int]):
    """An amount of memory, `8GB` or `512MiB`."""

    name = "BYTES"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        found = _AMOUNT.fullmatch(str(value).strip().lower())
        if found is None or found[2] not in _UNITS:
            self.fail(f"{value}: an amount of memory is due, as in 8GB or 512MiB", param, ctx)
        amount = math.floor(float(found[1]) * _UNITS[found[2]])
        if not 0 < amount < 2**63:
            self.fail(f"{value} is out of range", param, ctx)
        return amount


def engine_options(command: Command) -> Command:
    """`--threads`, `--spinning`, `--prepared`, `--trust`, `--memory`, `--seconds`, as `engine(...)` takes them."""
    added = (
        click.option("--threads", type=click.IntRange(min=1), help="How many compute an operation; a core each."),
        click.option("--spinning/--no-spinning", default=True, help="Whether threads wait for work busily."),
        click.option(
            "--prepared", is_flag=True, help="Keep what onnxruntime makes of the model beside it, and open that."
        ),
        click.option(
            "--trust", is_flag=True, help="Run the model in this process, without limits: you know its author."
        ),
        click.option("--memory", type=Bytes(), help="What the model may take up, as in 8GB; 4GiB by default."),
        click.option(
            "--seconds",
            type=click.FloatRange(min=0, min_open=True),
            help="How long a call of the model may take; 600 by default.",
        ),
    )
    for option in reversed(added):
        command = option(command)
    return command


def engine(
    model: str,
    *,
    threads: int | None,
    spinning: bool,
    prepared: bool,
    trust: bool,
    memory: int | None,
    seconds: float | None,
) -> dict[str, Any]:
    """What `Session` takes, but for the provider. UsageError where a run is to be kept in its prepared form."""
    from dlc.runtime.infer.isolated import Limits

    if prepared and Path(model).is_dir():
        raise click.UsageError(
            "--prepared needs a model's file, beside which its prepared form is kept: export the run"
        )
    usual = Limits()
    limits = Limits(memory or usual.memory, usual.opening, seconds or usual.seconds)
    return {"threads": threads, "spinning": spinning, "prepared": prepared, "trusted": trust, "limits": limits}
