"""`dlc fit`: the largest value of a dimension for which a model fits into a memory."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from dlc.compiler.optimizers import AdamW, Optimizer
from dlc.compiler.program import Model, Program, TrainSpec
from dlc.grammar.diagnostics import Refusal
from dlc.grammar.suggest import nearest
from dlc.runtime.cli.options import SELECTION, Selection, choose, json_option, overrides_option
from dlc.runtime.cli.output import write_json
from dlc.runtime.errors import DoesNotFit
from dlc.runtime.spec import read_checked

if TYPE_CHECKING:
    from dlc.compiler.memory.fitting import Fit
    from dlc.compiler.memory.training import Budget, Memory

_UNITS = {"": 1, "B": 1} | {
    f"{prefix}{unit}": base**power
    for power, prefix in enumerate(("K", "M", "G", "T"), 1)
    for unit, base in (("B", 1000), ("iB", 1024))
}


class Bytes(click.ParamType[int]):
    """`24GB`, `80GiB`, or a plain number of bytes."""

    name = "SIZE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]*)", str(value).strip())
        if found is None or found[2] not in _UNITS or float(found[1]) <= 0:
            self.fail(f"{value}: a size is due, as in 24GB or 512MiB", param, ctx)
        return int(float(found[1]) * _UNITS[found[2]])


class Call(click.ParamType[Optimizer]):
    """`adamw`, or with arguments as a spec has them: `sgd(momentum=0.9)`."""

    name = "OPTIMIZER"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Optimizer:
        found = re.fullmatch(r"(\w+)(?:\((.*)\))?", str(value).strip())
        kinds = Optimizer.choices()
        if found is None or found[1] not in kinds:
            self.fail(f"{value}: the optimisers are {', '.join(kinds)}", param, ctx)
        pairs = [pair.partition("=") for pair in (found[2] or "").split(",") if pair.strip()]
        try:
            return kinds[found[1]](**{name.strip(): _number(number.strip()) for name, _, number in pairs})
        except (TypeError, ValueError) as error:
            self.fail(f"{value}: {error}", param, ctx)


@click.command("fit", short_help="Find the largest batch, or other dimension, that fits into a memory.")
@click.argument("selection", type=SELECTION, metavar="FILE[:NAME]")
@click.option("--memory", type=Bytes(), required=True, help="How much there is, as in 24GB or 80GiB.")
@click.option("--solve", "name", metavar="NAME", required=True, help="The dimension that is looked for.")
@click.option("--optimizer", type=Call(), help="As a spec has it; that of the train block, or adamw.")
@click.option("--precision", type=click.Choice(["fp32", "bf16", "fp16"]), help="That of the train block, or fp32.")
@click.option("--inference", is_flag=True, help="Without gradients and an optimiser.")
@click.option("--on", type=click.Choice(["accelerator", "cpu"]), default="accelerator", help="Whose kernels are run.")
@overrides_option
@json_option("Print the size and what it takes as JSON.")
def command(
    selection: Selection,
    memory: int,
    name: str,
    optimizer: Optimizer | None,
    precision: str | None,
    inference: bool,
    on: str,
    overrides: Mapping[str, str],
    as_json: bool,
) -> int:
    """Find the largest value of a dimension for which a step of training, or inference, fits into a memory.

    NAME is a model, which is trained by the gradients of its outputs, or a train block, whose whole step is counted.
    Every other open dimension is given a number by --set. docs/costs.md tells what is counted, and what is not.
    """
    from dlc.compiler.memory.fitting import fit, open_names
    from dlc.compiler.memory.recording import TooManyCalls
    from dlc.compiler.memory.records import Setting
    from dlc.compiler.memory.training import Budget

    program = read_checked(selection.path, overrides)
    of = _chosen(program, selection)
    settings = of.settings if isinstance(of, TrainSpec) else None
    numbers = precision or (settings.precision if settings else "fp32")
    setting = Setting(
        training=not inference,
        accelerator=on == "accelerator",
        half=numbers != "fp32",
        recompute=settings.recompute if settings else None,
    )
    chosen = optimizer or (settings.optimizer if settings else AdamW())
    try:
        budget = Budget(
            of,
            setting,
            chosen,
            accumulates=settings is not None and settings.accumulate > 1,
            scaled=numbers == "fp16",
            averages=settings is not None and settings.average is not None,
        )
    except TooManyCalls:
        raise click.UsageError(f"{of.name} calls too many operations to go through them one by one") from None
    names = open_names(budget.symbols)
    _require_open(name, [*names], of.name)
    graph = of.graph if isinstance(of, Model) else of.step.graph
    found = fit(budget, graph, names[name], {}, memory)
    if found is None:
        raise click.UsageError(f"what {of.name} takes does not grow with {name}")
    if found.size is None:
        raise Refusal(_too_much(found, of, name, memory))
    document = _document(found, of.name, name, memory, budget)
    if as_json:
        write_json(document)
    else:
        click.echo(_told(found, name, memory, budget, chosen, setting.training))
    return 0


def _chosen(program: Program, selection: Selection) -> Model | TrainSpec:
    if selection.name is not None and selection.name in program.trains:
        return program.trains[selection.name]
    if selection.name is None and len(program.models) != 1 and len(program.trains) == 1:
        return next(iter(program.trains.values()))
    return choose(program.models, selection, "model")


def _require_open(name: str, names: list[str], of: str) -> None:
    if name not in names:
        near = nearest(name, names)
        hint = f"; did you mean {near}?" if near else f": {', '.join(names)}" if names else ""
        raise click.UsageError(f"{of} has no open dimension {name}{hint}")
    others = [other for other in names if other != name]
    if others:
        given = " ".join(f"--set {other}=…" for other in others)
        raise click.UsageError(f"a number is due for {' and '.join(others)}: add {given}")


def _too_much(found: Fit, of: Model | TrainSpec, name: str, memory: int) -> DoesNotFit:
    if found.memory.total <= memory and found.bound is not None:
        return DoesNotFit(f"no {name} is allowed: {found.bound.message}", found.bound.span)
    message = f"{of.name} takes {_size(found.memory.total)} at {name} = {found.least}, and there are {_size(memory)}"
    return DoesNotFit(message, None, notes=tuple(f"{what}: {_size(size)}" for what, size in _parts(found.memory)))


def _parts(memory: Memory) -> list[tuple[str, int]]:
    return [
        ("weights", memory.weights),
        ("what the optimiser remembers", memory.optimizer),
        ("inputs, activations and gradients at once", memory.peak),
    ]


def _told(found: Fit, name: str, memory: int, budget: Budget, optimizer: Optimizer, training: bool) -> str:
    how = f"training by {optimizer.text.removesuffix('()')}" if training else "inference"
    lines = [f"{name} = {found.size:,}: {how} takes {_size(found.memory.total)} of {_size(memory)}"]
    lines += [f"  {what}: {_size(size)}" for what, size in _parts(found.memory) if size]
    if found.bound is not None:
        lines.append(f"  there is room for more, which the spec does not allow: {found.bound.message}")
    if budget.unsure and training:
        lines.append("  the step takes gradients of gradients, and what those keep is not counted")
    return "\n".join(lines)


def _document(found: Fit, of: str, name: str, memory: int, budget: Budget) -> dict[str, Any]:
    taken = found.memory
    return {
        "name": of,
        "solve": name,
        "size": found.size,
        "memory": memory,
        "total": taken.total,
        "weights": taken.weights,
        "optimizer": taken.optimizer,
        "gradients": taken.gradients,
        "inputs": taken.inputs,
        "activations": taken.activations,
        "peak": taken.peak,
        "bound": None if found.bound is None else found.bound.message,
        "complete": not budget.unsure,
    }


def _size(bytes: int) -> str:
    """As people say it, with three digits."""
    for unit, scale in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if bytes >= scale:
            return f"{bytes / scale:.3g} {unit}" if bytes < 1000 * scale else f"{bytes / scale:,.0f} {unit}"
    return f"{bytes} bytes"


def _number(text: str) -> object:
    if text in ("true", "false"):
        return text == "true"
    return float(text) if re.search(r"[.e]", text) else int(text)
